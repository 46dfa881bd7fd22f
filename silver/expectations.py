"""Expectations of the suite as verdicts on rows. Pure.

Which expectations a row does not meet is kept as bits, `WIDTH` to a number: it costs each row a
few additions, where an array of names or numbers would cost more than the rules themselves.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.tables import quoted
from quarantine.reasons import Reason
from quarantine.table import REASONS
from silver.reasons import reason, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column

    from lakehouse.audit.conditions import Condition

WIDTH = 62


def unmet(conditions: Sequence[Condition]) -> Column:
    """Return the bits of the *conditions* that a row does not meet: an array of BIGINT."""
    numbers = []
    for start in range(0, len(conditions), WIDTH):
        bits = (
            F.when(one.unmet, F.lit(1 << place)).otherwise(F.lit(0)).cast("bigint")
            for place, one in enumerate(conditions[start : start + WIDTH])
        )
        numbers.append(reduce(lambda one, other: one + other, bits))
    return F.array(*numbers).cast("array<bigint>")


def is_unmet(number: int) -> Column:
    """Say whether the row does not meet the *number*-th condition."""
    return F.col("_unmet")[number // WIDTH].bitwiseAND(F.lit(1 << number % WIDTH)) != 0


def is_refused(conditions: Sequence[Condition]) -> Column:
    """Say whether the row does not meet one of the critical *conditions*."""
    critical = [is_unmet(number) for number, _ in _critical(conditions)]
    return F.coalesce(reduce(lambda one, other: one | other, critical, F.lit(False)), F.lit(False))


def with_refusals(conditions: Sequence[Condition], reasons: Column) -> Column:
    """Return *reasons* with those of the critical *conditions* that the row does not meet.

    A condition on a column that has a reason already says nothing more: what stands there is not
    what the message meant.
    """
    refusals = [
        F.when(is_unmet(number) & ~_blamed(one, reasons), _refusal(one))
        for number, one in _critical(conditions)
    ]
    if not refusals:
        return reasons
    return F.concat(reasons, F.array_compact(F.array(*refusals)).cast(REASONS))


def _critical(conditions: Sequence[Condition]) -> list[tuple[int, Condition]]:
    return [(n, one) for n, one in enumerate(conditions) if one.rule.severity == "critical"]


def _blamed(condition: Condition, reasons: Column) -> Column:
    names = F.array(*map(F.lit, condition.columns))
    return F.coalesce(F.arrays_overlap(reasons["column"], names), F.lit(False))


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
