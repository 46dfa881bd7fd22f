"""Expectations of the suite as verdicts on rows. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.tables import quoted
from quarantine.reasons import REASONS, Reason
from silver.verdicts import reason, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column

    from lakehouse.audit.expectations import Condition


def unmet(conditions: Sequence[Condition]) -> Column:
    """Return the numbers of the *conditions* that a row does not meet: most often none."""
    numbers = [F.when(one.unmet, F.lit(number)) for number, one in enumerate(conditions)]
    return F.array_compact(F.array(*numbers).cast("array<int>"))


def refusals(conditions: Sequence[Condition]) -> Column:
    """Return the reasons of the critical *conditions* among `_unmet`; of most rows none.

    A condition on a column that has a reason of its own in `_reasons` says nothing more: what
    stands there is not what the message meant.
    """
    none = F.array().cast(REASONS)
    critical = [
        F.when(F.array_contains("_unmet", number) & ~_blamed(one), _refusal(one))
        for number, one in enumerate(conditions)
        if one.rule.severity == "critical"
    ]
    if not critical:
        return none
    found = F.array_compact(F.array(*critical))
    return F.when(F.size("_unmet") > 0, found).otherwise(none)


def _blamed(condition: Condition) -> Column:
    names = F.array(*map(F.lit, condition.columns))
    return F.coalesce(F.arrays_overlap(F.col("_reasons")["column"], names), F.lit(False))


def _refusal(condition: Condition) -> Column:
    names = condition.columns
    if len(names) == 1:
        field = F.to_json(F.to_variant_object(F.struct(F.col(quoted(names[0])).alias("v"))))
        got = F.regexp_extract(field, r'(?s)^\{"v":(.*)\}$', 1)
    else:
        # A NULL field is shown as null, not left out.
        fields = F.struct(*(F.col(quoted(name)) for name in names))
        got = F.to_json(fields, {"ignoreNullFields": "false"})
    return reason(
        Reason.EXPECTATION_FAILED,
        rule=F.lit(condition.rule.name),
        column=F.lit(", ".join(names)),
        expected=F.lit(condition.expected),
        got=short(got),
    )
