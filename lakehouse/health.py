"""How the streams of this process are doing, watched together through Spark's events."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pyspark.sql.streaming.listener import StreamingQueryListener

from lakehouse import log

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql.streaming.listener import (
        QueryIdleEvent,
        QueryProgressEvent,
        QueryStartedEvent,
        QueryTerminatedEvent,
    )


@dataclass
class StreamHealth:
    """The last that is known of one stream. Counts begin with the process."""

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


class Health(StreamingQueryListener):
    """The health of every stream of the process.

    Logs each batch of bronze, query progress every *progress_every* batches, and a warning when a
    stream's lag grew at *backlog_after* such reports in a row. `lag_of` tells a stream's lag, in
    records, from a progress event; it runs in Spark's listener thread, never in a batch.
    """

    def __init__(self, *, progress_every: int, backlog_after: int) -> None:
        super().__init__()
        self.progress_every = progress_every
        self.backlog_after = backlog_after
        self.streams: dict[str, StreamHealth] = {}
        self.lag_of: dict[str, Callable[[Any], int | None]] = {}
        self.topics: dict[str, str] = {}
        self.changed = threading.Event()
        self._names: dict[str, str] = {}

    def watch(self, stream: str, topic: str, lag_of: Callable[[Any], int | None]) -> None:
        """Watch *stream*, which reads *topic* or what came from it."""
        self.streams[stream] = StreamHealth()
        self.topics[stream] = topic
        self.lag_of[stream] = lag_of

    def set(self, stream: str, state: str, *, error: str | None = None) -> None:
        """Put *stream* in *state*; an error stays shown until the stream runs again."""
        health = self.streams[stream]
        if error is not None or state in {"running", "idle"}:
            health.error = error
        if health.state != state:
            health.state = state
            self.changed.set()

    def onQueryStarted(self, event: QueryStartedEvent) -> None:  # noqa: N802 - Spark's name
        """Note which stream the query is: later events name it by this id alone."""
        self._names[str(event.id)] = event.name or ""

    def onQueryIdle(self, event: QueryIdleEvent) -> None:  # noqa: N802 - Spark's name
        """Note that a stream has nothing to do."""
        if (name := self._names.get(str(event.id))) in self.streams:
            self.set(str(name), "idle")

    def onQueryTerminated(self, event: QueryTerminatedEvent) -> None:  # noqa: N802 - Spark's name
        """Do nothing: whoever waits for the query learns it first."""

    def onQueryProgress(self, event: QueryProgressEvent) -> None:  # noqa: N802 - Spark's name
        """Take in the progress of a stream; never let an error of ours reach Spark's thread."""
        try:
            self._take(event.progress)
        except Exception:  # noqa: BLE001 - a fault in watching must not end the watching
            log.get("lakehouse.health").exception("Progress could not be read")

    def _take(self, progress: Any) -> None:
        stream = progress.name
        health = self.streams.get(stream)
        if health is None:
            return
        if "addBatch" not in progress.durationMs:
            self.set(stream, "idle")
            return
        self.set(stream, "running")
        rows = progress.numInputRows
        health.batch_id, health.last_batch_at = progress.batchId, time.time()
        health.batches += 1
        health.rows += rows
        rate = progress.processedRowsPerSecond
        health.rows_per_second = rate if math.isfinite(rate) else 0.0
        if stream.startswith("bronze."):
            log.get(stream).info(
                f"Batch {progress.batchId} landed",
                batch_id=progress.batchId,
                record_count=rows,
                topic=self.topics[stream],
                duration_ms=progress.batchDuration,
            )
        if health.batches % self.progress_every == 0:
            self._report(stream, health, progress)
        self.changed.set()

    def _report(self, stream: str, health: StreamHealth, progress: Any) -> None:
        health.lag = self.lag_of[stream](progress)
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
