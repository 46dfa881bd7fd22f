"""How the streams of this process are doing, watched together through Spark's events."""

from __future__ import annotations

import math
import threading
import time
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pyspark.sql.streaming.listener import StreamingQueryListener

from lakehouse import log
from lakehouse.durations import Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql.streaming.listener import (
        QueryIdleEvent,
        QueryProgressEvent,
        QueryStartedEvent,
        QueryTerminatedEvent,
    )

# States in which nobody looks at the source, so that what was behind once says nothing now.
BLIND = {"starting", "waiting for broker", "waiting for bronze", "failing", "tripped"}
# What a stream ends in: Spark's last events come after that, and change no state any more.
ENDED = {"failing", "stopped", "tripped"}
# Shown as 0 from the start: a rate needs the value before the first row.
OUTCOMES = {"bronze": ("landed",), "silver": ("valid", "quarantined")}
SUPERSEDED = {"bronze": (), "silver": ("older", "without_sequence")}


@dataclass(frozen=True)
class BatchCounts:
    """The rows of one finished silver batch: those it was made of, and what became of them.

    A row with two reasons counts under both. `failures` is by rule and severity, `superseded` by
    why, and `versions` names the last version of each table that the batch wrote to.
    """

    valid: int
    quarantined: int
    reasons: Mapping[str, int]
    failures: Mapping[tuple[str, str], int]
    superseded: Mapping[str, int]
    versions: Mapping[str, int]


@dataclass
class StreamHealth:
    """The last that is known of one stream, as its status file shows it.

    Counts begin with the process. `lag` is in records: what the last batch left, 0 once there is
    nothing to do, None while nobody looks at the source.
    """

    state: str = "starting"
    batch_id: int | None = None
    batches: int = 0
    rows: int = 0
    rows_per_second: float = 0.0
    lag: int | None = None
    restarts: int = 0
    error: str | None = None
    last_batch_at: float | None = None
    lags: list[int] = field(default_factory=list)
    lag_by_partition: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    superseded: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    last_batch_ms: dict[str, int] = field(default_factory=dict)
    metrics: str | None = None


class Health(StreamingQueryListener):
    """The health of every stream of the process.

    Logs each batch of bronze, query progress every *progress_every* batches, and a warning when a
    stream's lag grew at *backlog_after* such reports in a row. `lag_of` tells a stream's lag, in
    records by partition, from a progress event; it runs in Spark's listener thread, never in a
    batch. What is read by another thread is read through `look`.
    """

    def __init__(self, *, progress_every: int, backlog_after: int) -> None:
        super().__init__()
        self.progress_every = progress_every
        self.backlog_after = backlog_after
        self.streams: dict[str, StreamHealth] = {}
        self.lag_of: dict[str, Callable[[Any], dict[str, int] | None]] = {}
        self.topics: dict[str, str] = {}
        self.changed = threading.Event()
        self._durations: dict[str, Durations] = {}
        self._names: dict[str, str] = {}
        self._told = threading.Condition(threading.RLock())
        self._unended = 0

    def watch(
        self, stream: str, topic: str, lag_of: Callable[[Any], dict[str, int] | None]
    ) -> None:
        """Watch *stream*, which reads *topic* or what came from it."""
        layer = stream.partition(".")[0]
        self.streams[stream] = StreamHealth(
            outcomes=dict.fromkeys(OUTCOMES[layer], 0),
            superseded=dict.fromkeys(SUPERSEDED[layer], 0),
        )
        self._durations[stream] = Durations()
        self.topics[stream] = topic
        self.lag_of[stream] = lag_of

    def look(self, stream: str) -> tuple[StreamHealth, Durations]:
        """Return what is known of *stream* now: copies, and no batch counted by half."""
        with self._told:
            return deepcopy((self.streams[stream], self._durations[stream]))

    def set(self, stream: str, state: str, *, error: str | None = None) -> None:
        """Put *stream* in *state*; an error stays shown until the stream runs again."""
        with self._told:
            health = self.streams[stream]
            if error is not None or state in {"running", "idle"}:
                health.error = error
            if state in BLIND:
                health.lag, health.lag_by_partition = None, {}
            elif state == "idle" and health.lag is not None:
                health.lag, health.lag_by_partition = 0, dict.fromkeys(health.lag_by_partition, 0)
            changed, health.state = health.state != state, state
        if changed:
            self.changed.set()

    def count(self, stream: str, counts: BatchCounts) -> None:
        """Add what became of the rows of one finished batch of *stream*; never fails a batch."""
        with self._told:
            if (health := self.streams.get(stream)) is None:
                return
            _add(health.outcomes, {"valid": counts.valid, "quarantined": counts.quarantined})
            _add(health.reasons, counts.reasons)
            _add(health.superseded, counts.superseded)
            for (rule, severity), rows in counts.failures.items():
                _add(health.failures.setdefault(rule, {}), {severity: rows})
            health.versions.update(counts.versions)

    def written(self, stream: str, version: int) -> None:
        """Note the last version of the table that *stream* writes."""
        with self._told:
            self.streams[stream].versions[stream] = version

    def publish(self, layer: str, url: str) -> None:
        """Show in the status of each stream of *layer* that its metrics are at *url*."""
        for stream, health in self.streams.items():
            if stream.startswith(f"{layer}."):
                health.metrics = url

    def settle(self, seconds: float) -> bool:
        """Wait until Spark has told all there is of the queries that ended, at most *seconds*.

        Its events come later than the end itself, the end of a query as the last of its events.
        """
        with self._told:
            return self._told.wait_for(lambda: self._unended <= 0, timeout=seconds)

    def onQueryStarted(self, event: QueryStartedEvent) -> None:  # noqa: N802 - Spark's name
        """Note which stream the query is: later events name it by this id alone."""
        with self._told:
            self._names[str(event.id)] = event.name or ""
            self._unended += 1

    def onQueryIdle(self, event: QueryIdleEvent) -> None:  # noqa: N802 - Spark's name
        """Note that a stream has nothing to do."""
        if (name := self._names.get(str(event.id))) in self.streams:
            self._hear(str(name), "idle")

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:  # noqa: ARG002, N802 - Spark names both
        """Note that nothing more will be told of the query. Whoever waits for it knows already."""
        with self._told:
            self._unended -= 1
            self._told.notify_all()

    def onQueryProgress(self, event: QueryProgressEvent) -> None:  # noqa: N802 - Spark's name
        """Take in the progress of a stream; never let an error of ours reach Spark's thread."""
        try:
            self._take(event.progress)
        except Exception:  # noqa: BLE001 - a fault in watching must not end the watching
            log.get("lakehouse.health").exception("Progress could not be read")

    def _take(self, progress: Any) -> None:
        stream = progress.name
        if (health := self.streams.get(stream)) is None:
            return
        if "addBatch" not in progress.durationMs:
            self._hear(stream, "idle")
            return
        self._hear(stream, "running")
        self._add_batch(stream, progress)
        if stream.startswith("bronze."):
            log.get(stream).info(
                f"Batch {progress.batchId} landed",
                batch_id=progress.batchId,
                record_count=progress.numInputRows,
                topic=self.topics[stream],
                duration_ms=progress.batchDuration,
            )
        behind = self.lag_of[stream](progress)  # reads files: not while others wait to look
        with self._told:
            if health.state in BLIND:
                behind = None
            health.lag = None if behind is None else sum(behind.values())
            health.lag_by_partition = behind or {}
        if health.batches % self.progress_every == 0:
            self._report(stream, health, progress)
        self.changed.set()

    def _hear(self, stream: str, state: str) -> None:
        with self._told:
            if self.streams[stream].state not in ENDED:
                self.set(stream, state)

    def _add_batch(self, stream: str, progress: Any) -> None:
        rate = progress.processedRowsPerSecond
        with self._told:
            health = self.streams[stream]
            health.batch_id, health.last_batch_at = progress.batchId, time.time()
            health.batches += 1
            health.rows += progress.numInputRows
            health.rows_per_second = rate if math.isfinite(rate) else 0.0
            health.last_batch_ms = dict(progress.durationMs)
            self._durations[stream].add(progress.batchDuration, progress.durationMs)
            if stream.startswith("bronze."):
                _add(health.outcomes, {"landed": progress.numInputRows})

    def _report(self, stream: str, health: StreamHealth, progress: Any) -> None:
        log.get(stream).info(
            "Query progress",
            batch_id=progress.batchId,
            input_rows=progress.numInputRows,
            input_rows_per_second=round(progress.inputRowsPerSecond, 1),
            processed_rows_per_second=round(progress.processedRowsPerSecond, 1),
            batch_duration_ms=progress.batchDuration,
            offsets_behind=health.lag,
            streams={name: other.state for name, other in self.streams.items()},
        )
        if health.lag is None:
            return
        health.lags = [*health.lags, health.lag][-self.backlog_after - 1 :]
        grew = all(before < after for before, after in pairwise(health.lags))
        if grew and len(health.lags) > self.backlog_after:
            log.get(stream).warning(
                f"Backlog keeps growing: {health.lag} records behind",
                offsets_behind=health.lag,
                reports_in_a_row=self.backlog_after,
            )


def _add(into: dict[str, int], more: Mapping[str, int]) -> None:
    for name, rows in more.items():
        into[name] = into.get(name, 0) + rows
