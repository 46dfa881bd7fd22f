"""Streams as processes: started, watched, restarted when Kafka was away, stopped in order."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from lakehouse import alarms, checkpoints, failures, log, owner
from lakehouse.alarms import Alarm
from lakehouse.errors import (
    ExpectationError,
    LakehouseError,
    SourceError,
    first_line,
    to_facts,
)
from lakehouse.turns import StopRequested, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from lakehouse.health import Health
    from lakehouse.run import Run
    from lakehouse.settings import Config
    from lakehouse.tables import Table
    from lakehouse.upkeep import Upkeep

POLL_SECONDS = 0.2


@dataclass
class Stream:
    """One stream of this process: how to start it, and what became of it.

    `verbs` are what it can be asked beside to stop; each returns what is to be answered.
    `tripped`: its breaker keeps it from starting.
    """

    table: Table
    topic: str
    start: Callable[[Turn], StreamingQuery]
    turn: Turn = field(default_factory=Turn)
    query: StreamingQuery | None = None
    done: bool = False
    attempts: int = 0
    next_try: float = 0.0
    waiting_since: float | None = None
    asked_by: list[owner.Request] = field(default_factory=list)
    verbs: Mapping[str, Callable[[owner.Request], dict[str, Any]]] = field(default_factory=dict)
    upkeep: Upkeep | None = None
    tripped: ExpectationError | None = None

    @property
    def name(self) -> str:
        """The query's name, `layer.entity`."""
        return self.table.name


def run_all(
    spark: SparkSession,
    streams: Sequence[Stream],
    run: Run,
    health: Health,
    *,
    asked: Callable[[], int],
) -> None:
    """Run *streams* until each is done, or until *asked* counts a request to stop.

    A stream whose source is away is started again with growing pauses, for ever, or with `once`
    for `kafka.once_wait_seconds`; meanwhile the others go on. Any other failure stops them all.
    Asked once, each batch in hand is finished; asked twice, streams are interrupted.

    Raises:
        LakehouseError: what the first stream failed with.
    """
    config, shown = run.config, 0.0
    try:
        while not asked() and any(not stream.done for stream in streams):
            for stream in streams:
                for request in owner.claim(config.state_dir, stream.name):
                    _serve(request, stream, config)
                _tend(spark, stream, run, health)
            if health.changed.is_set() or time.monotonic() > shown + 5:
                health.changed.clear()
                shown = time.monotonic()
                _note_versions(spark, streams, health)
                _show(streams, config, health)
            health.changed.wait(POLL_SECONDS)
    finally:
        for stream in streams:
            stream.turn.stopping = True
        deadline = time.monotonic() + config.streams.stop_seconds
        while asked() <= 1 and time.monotonic() < deadline:
            if all(_may_stop(spark, stream) for stream in streams):
                break
            health.changed.wait(POLL_SECONDS / 4)
        ended = [_end(stream, run, health) for stream in streams]
        for stream in streams:
            if stream.upkeep is not None:
                stream.upkeep.close()
        _show(streams, config, health)
    if failed := next((error for error in ended if error is not None), None):
        raise failed


def _tend(spark: SparkSession, stream: Stream, run: Run, health: Health) -> None:
    """Start *stream* if it is due, notice if it ended, and see to what it ended with."""
    if stream.done or (stream.tripped and not stream.turn.stopping):
        return
    if stream.turn.stopping:
        _finish(spark, stream, run, health)
        return
    try:
        _advance(spark, stream, run, health)
        if stream.upkeep is not None and stream.query is not None:
            batches = health.streams[stream.name].batches
            stream.upkeep.after(batches, stream.turn, ended=stream.done)
    except ExpectationError as error:
        _trip(stream, error, run, health)
    except LakehouseError as error:
        _fail(stream, error, run, health)
        if not error.retryable:
            raise
        _wait(stream, error, run, health)
    except Exception as error:  # nobody foresaw it: it ends the process, but not unheard
        run.alarms.raised(stream.name, *alarms.failure(error))
        raise


def _advance(spark: SparkSession, stream: Stream, run: Run, health: Health) -> None:
    """Start the query of *stream* if it is due, or raise what it ended with."""
    if stream.query is None:
        if time.monotonic() >= stream.next_try:
            stream.turn.error = None
            stream.query = stream.start(stream.turn)
            health.set(stream.name, "starting")
            log.get(stream.name).info("Stream started", checkpoint=stream.table.checkpoint)
    elif not stream.query.isActive:
        if failures.fell_after_its_batch(spark, stream.query, stream.table):
            stream.query = None
        else:
            _raise_failure(stream, run)
            stream.done = True
            _runs_again(stream, run)
    elif health.streams[stream.name].state in {"running", "idle"}:
        stream.attempts, stream.waiting_since = 0, None
        _runs_again(stream, run)


def _finish(spark: SparkSession, stream: Stream, run: Run, health: Health) -> None:
    """End a stream that was asked to stop, once it may be, and answer who asked."""
    if not _may_stop(spark, stream):
        return
    failed = _end(stream, run, health)
    # No batch comes any more, so what else is asked of it can be done.
    stream.done, stream.turn.stopping = True, False
    for request in stream.asked_by:
        owner.answer(run.config.state_dir, stream.name, request, ok=failed is None)
    if failed is not None:
        raise failed


def _trip(stream: Stream, error: ExpectationError, run: Run, health: Health) -> None:
    """Keep *stream* from going on until a person lets it; the others are not concerned."""
    health.set(stream.name, "tripped", error=str(error))
    run.alarms.raised(stream.name, Alarm.BREAKER_TRIPPED, alarms.told(error))
    log.get(stream.name).error(error.message.what, why=error.message.why, do=error.message.cure)
    stream.query, stream.tripped, stream.done = None, error, run.once


def _wait(stream: Stream, error: LakehouseError, run: Run, health: Health) -> None:
    now, kafka_settings = time.monotonic(), run.config.kafka
    stream.waiting_since = stream.waiting_since or now
    limit = kafka_settings.once_wait_seconds if isinstance(error, SourceError) else 0.0
    if run.once and now - stream.waiting_since >= limit:
        run.alarms.raised(stream.name, *alarms.failure(error))
        raise error
    growing = kafka_settings.retry_first_seconds * 2 ** min(stream.attempts, 20)
    pause = min(growing, kafka_settings.retry_longest_seconds)
    stream.query, stream.attempts, stream.next_try = None, stream.attempts + 1, now + pause
    health.streams[stream.name].restarts += 1
    what = "waiting for broker" if isinstance(error, SourceError) else "waiting for bronze"
    health.set(stream.name, what, error=str(error))
    log.get(stream.name).warning(
        what.capitalize(),
        reason=error.message.what,
        attempt=stream.attempts,
        retry_in_seconds=pause,
    )


def _serve(request: owner.Request, stream: Stream, config: Config) -> None:
    reply = partial(owner.answer, config.state_dir, stream.name, request)
    if request.verb == "stop" and stream.done:
        reply(ok=True)
    elif request.verb == "stop":
        log.get(stream.name).info("Stop requested", by=request.by)
        stream.turn.stopping = True
        stream.asked_by.append(request)
    elif stream.turn.stopping:
        reply(ok=False, why="it is about to stop")
    elif request.verb in stream.verbs:
        try:
            reply(ok=True, **stream.verbs[request.verb](request))
        except LakehouseError as error:
            reply(ok=False, error=to_facts(error))
        except Exception as error:  # noqa: BLE001 - what was asked did not succeed; that ends no stream
            log.get(stream.name).exception(f"Could not {request.verb}")
            reply(ok=False, why=f"{type(error).__name__}: {first_line(error)}")
    else:
        reply(ok=False, why=f"unknown verb {request.verb}")


def pause(spark: SparkSession, stream: Stream, run: Run) -> None:
    """Have no query of *stream* run; the batch in hand is finished. It is started when next tended.

    One that takes longer than `streams.stop_seconds` is interrupted, and planned again unchanged.
    """
    stream.turn.stopping = True
    try:
        deadline = time.monotonic() + run.config.streams.stop_seconds
        while not _may_stop(spark, stream) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 4)  # Spark notes the end of a batch in a file
        if stream.query is not None:
            stream.query.stop()
    finally:  # a pause that fails is no stop
        stream.turn.stopping = False
    stream.query, stream.next_try, stream.turn.error = None, 0.0, None


def _may_stop(spark: SparkSession, stream: Stream) -> bool:
    """Say whether the query can be stopped: of silver, once the batch in hand is done and noted."""
    query, turn = stream.query, stream.turn
    if query is None or not query.isActive:
        return True
    return not turn.lock.locked() and _is_noted(spark, stream)


def _end(stream: Stream, run: Run, health: Health) -> LakehouseError | None:
    """Stop the query of *stream* and return what it had failed with, if it had."""
    failed: LakehouseError | None = stream.tripped
    try:
        if stream.query is not None:
            if not stream.query.isActive and not stream.done:
                _raise_failure(stream, run)
            stream.query.stop()
    except LakehouseError as error:
        failed = error
    except (PySparkException, Py4JError) as error:
        # Spark did not stop in time, or its JVM is gone: what is planned is planned again.
        log.get(stream.name).warning("Spark did not stop in order", reason=str(error)[:200])
    if failed is not None and failed is not stream.tripped:
        _fail(stream, failed, run, health)
    elif health.streams[stream.name].state != "failing":
        health.set(stream.name, "stopped")
    return failed if run.once or failed is not stream.tripped else None


def _fail(stream: Stream, error: LakehouseError, run: Run, health: Health) -> None:
    """Show that *stream* failed with *error*, with an alarm unless it only has to wait."""
    health.set(stream.name, "failing", error=str(error))
    if not error.retryable:
        run.alarms.raised(stream.name, *alarms.failure(error))


def _runs_again(stream: Stream, run: Run) -> None:
    """End the alarms that *stream* had failed with, if any stand."""
    for kind in (Alarm.STREAM_FAILED, Alarm.DATA_LOSS):
        run.alarms.ended(stream.name, kind, f"{stream.name} takes messages again")


def _is_noted(spark: SparkSession, stream: Stream) -> bool:
    """Say whether Spark has noted the last batch that was refined, so that it is not run again."""
    last = stream.turn.batch_id
    return last is None or checkpoints.is_committed(spark, stream.table.checkpoint, last)


def _raise_failure(stream: Stream, run: Run) -> None:
    """Raise what the query of *stream* ended with; nothing if it ended by itself, or was asked."""
    own = stream.turn.error
    if stream.query is not None and not isinstance(own, StopRequested):
        kafka, topic = run.config.kafka, stream.topic
        failures.raise_failure(stream.query, own, stream.name, topic, kafka)


def _note_versions(spark: SparkSession, streams: Sequence[Stream], health: Health) -> None:
    """Note the last version of each bronze table; silver tells those that it writes by itself."""
    for stream in streams:
        if stream.name.startswith("bronze.") and health.streams[stream.name].batches:
            health.written(stream.name, stream.table.version(spark))


def _show(streams: Sequence[Stream], config: Config, health: Health) -> None:
    for stream in streams:
        seen, _ = health.look(stream.name)
        owner.show(config.state_dir, stream.name, **asdict(seen))
