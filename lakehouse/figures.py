"""What is told of each stream, metric by metric: its name, its labels, its values."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lakehouse.durations import Durations
    from lakehouse.health import StreamHealth

STREAM = ("layer", "entity")
STATES = (
    "starting",
    "waiting for broker",
    "waiting for bronze",
    "running",
    "idle",
    "failing",
    "tripped",
    "stopped",
)


@dataclass(frozen=True)
class Figure:
    """One metric: its name, labels and help, and its values of a stream by the labels that vary.

    A stream's own labels, layer and entity, are filled in for each value.
    """

    name: str
    labels: tuple[str, ...]
    help: str
    values: Callable[[StreamHealth, Durations], Mapping[tuple[str, ...], float]]

    def family(self) -> CounterMetricFamily | GaugeMetricFamily:
        """Return the metric without values."""
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        return kind(self.name, self.help, labels=self.labels)


def _by(figures: Mapping[str, float]) -> dict[tuple[str, ...], float]:
    return {(name,): figure for name, figure in figures.items()}


def _one(figure: float | None) -> dict[tuple[str, ...], float]:
    return {} if figure is None else {(): figure}


FIGURES = (
    Figure(
        "lakehouse_rows_total",
        (*STREAM, "outcome"),
        "Rows: landed in bronze; valid or quarantined in silver.",
        lambda health, _: _by(health.outcomes),
    ),
    Figure(
        "lakehouse_quarantined_total",
        ("entity", "reason"),
        "Quarantined rows by reason; a row with two reasons counts under both.",
        lambda health, _: _by(health.reasons),
    ),
    Figure(
        "lakehouse_expectation_failures_total",
        ("entity", "rule", "severity"),
        "Rows that failed an expectation.",
        lambda health, _: {
            (rule, severity): rows
            for rule, by_severity in health.failures.items()
            for severity, rows in by_severity.items()
        },
    ),
    Figure(
        "lakehouse_superseded_total",
        ("entity", "why"),
        "Valid rows that are not the row of their key, because a newer one is.",
        lambda health, _: _by(health.superseded),
    ),
    Figure(
        "lakehouse_batch_part_seconds_total",
        (*STREAM, "part"),
        "Seconds spent in each part of the batches; triggerExecution is the whole.",
        lambda _, durations: _by(durations.part_seconds),
    ),
    Figure(
        "lakehouse_batches_total",
        STREAM,
        "Batches that are done.",
        lambda health, _: _one(health.batches),
    ),
    Figure(
        "lakehouse_rows_per_second",
        STREAM,
        "Rows per second while the last batch ran.",
        lambda health, _: _one(health.rows_per_second),
    ),
    Figure(
        "lakehouse_lag_records",
        (*STREAM, "partition"),
        "Records left to take when the stream last looked; absent while it cannot look.",
        lambda health, _: _by(health.lag_by_partition),
    ),
    Figure(
        "lakehouse_last_batch_timestamp_seconds",
        STREAM,
        "When the last batch was done, in seconds since 1970; absent before the first.",
        lambda health, _: _one(health.last_batch_at),
    ),
    Figure(
        "lakehouse_seconds_since_last_batch",
        STREAM,
        "Seconds since the last batch was done; absent before the first.",
        lambda health, _: _one(health.last_batch_at and time.time() - health.last_batch_at),
    ),
    Figure(
        "lakehouse_table_version",
        ("table",),
        "The last Delta version that this process wrote of the table.",
        lambda health, _: _by(health.versions),
    ),
    Figure(
        "lakehouse_restarts_total",
        STREAM,
        "Times the stream was started again after its source was away.",
        lambda health, _: _one(health.restarts),
    ),
    Figure(
        "lakehouse_stream_state",
        (*STREAM, "state"),
        "1 for the state that the stream is in, 0 for each other.",
        lambda health, _: _by({state: health.state == state for state in STATES}),
    ),
)
