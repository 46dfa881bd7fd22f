"""Great Expectations' own results of what was counted of a batch, without a Spark job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.audit.conditions import FORMAT
from lakehouse.audit.records import Expectations, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

    from lakehouse.audit.conditions import Condition


@dataclass(frozen=True)
class Tally:
    """What was counted for a rule: rows among which, of those judged, and not as expected."""

    rows: int
    judged: int
    unmet: int


def results(of: Sequence[Condition], tallies: Iterable[Tally]) -> list[ExpectationValidationResult]:
    """Return GX's own result for each condition, made by GX from its tally."""
    found = []
    for condition, tally in zip(of, tallies, strict=True):
        expectation = condition.rule.expectation
        needed = expectation.get_validation_dependencies(runtime_configuration=dict(FORMAT))
        metrics = {
            configuration.id: _metric(name, expectation, tally)
            for name, configuration in needed.metric_configurations.items()
        }
        found.append(expectation.metrics_validate(metrics, dict(FORMAT)))
    return found


def verdict(suite: str, of: Sequence[Condition], tallies: Sequence[Tally]) -> Expectations:
    """Return what a commit record says of *suite*, from GX's results."""
    told = {
        condition.rule.name: Verdict(
            condition.rule.severity, bool(result.success), tally.rows, tally.judged, tally.unmet
        )
        for condition, tally, result in zip(of, tallies, results(of, tallies), strict=True)
    }
    return Expectations(suite, all(one.success for one in told.values()), told)


def _metric(name: str, expectation: Any, tally: Tally) -> Any:
    """Return the value of the metric *name*, one of those a map expectation asks for."""
    own = getattr(expectation, "map_metric", None) or "unexpected_rows_query"
    # Of one column GX sums up the unexpected rows, and the sum over no rows is NULL.
    summed = tally.unmet if tally.rows or not hasattr(expectation, "column") else None
    values: dict[str, Any] = {
        "table.row_count": tally.rows,
        "column_values.nonnull.unexpected_count": tally.rows - tally.judged,
        f"{own}.unexpected_count": summed,
        f"{own}.row_count": tally.unmet,
        f"{own}.filtered_row_count": tally.judged,
        f"{own}.unexpected_values": [],
        f"{own}.table": [],
    }
    return values[name]
