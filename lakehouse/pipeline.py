"""The product put together: which streams a run has, and running them under their locks."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import bronze.stream
import silver.desk
import silver.stream
from lakehouse import entities, lag, log, metrics, owner, session, streams
from lakehouse.health import Health
from lakehouse.run import Run
from lakehouse.upkeep import Upkeep
from silver import breaker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.owner import Request
    from lakehouse.settings import Config
    from lakehouse.signals import Asked
    from lakehouse.streams import Stream

LAYERS = ("bronze", "silver")


def run(run: Run, chosen: Sequence[Entity], layers: Sequence[str], asked: Asked) -> None:
    """Run the streams of *layers* for *chosen* until asked to stop, or with `once` are done.

    Each stream is owned first, before Spark starts, so a second start fails within a second. With
    `once` bronze ends before silver begins. When this returns, no process of ours is left.

    Raises:
        LakehouseError: what the first stream failed with.
    """
    config = run.config
    with ExitStack() as stack:
        names = [f"{layer}.{entity.name}" for layer in layers for entity in chosen]
        locks = [stack.enter_context(owner.owning(config.state_dir, name)) for name in names]
        if asked():
            return
        stack.enter_context(run.alarms)
        spark = session.start(config, log=config.state_dir / "spark.log", inherit=locks)
        stack.callback(session.stop, spark)
        asked.listen()
        for phase in [[layer] for layer in layers] if run.once else [layers]:
            built, health = build(spark, run, chosen, phase)
            try:
                with metrics.published(health, phase, run):
                    streams.run_all(spark, built, run, health, asked=asked)
            finally:
                spark.streams.removeListener(health)


def build(
    spark: SparkSession, run: Run, chosen: Sequence[Entity], layers: Sequence[str]
) -> tuple[list[Stream], Health]:
    """Return the streams of *layers* for *chosen*, bronze first, and what watches them."""
    health = Health(
        progress_every=run.config.streams.progress_every,
        backlog_after=run.config.streams.backlog_after,
    )
    built = [stream_of(spark, run, entity, layer) for layer in layers for entity in chosen]
    for stream in built:
        behind = lag.behind_kafka
        if stream.name.startswith("silver."):
            bronze_table = run.lake.table("bronze", stream.name.partition(".")[2])
            behind = lag.Tail(spark, bronze_table).behind
        health.watch(stream.name, stream.topic, behind)
        stream.turn.tell = partial(health.count, stream.name)
    spark.streams.addListener(health)
    return built, health


def stream_of(spark: SparkSession, run: Run, entity: Entity, layer: str) -> Stream:
    """Return the stream of *entity* in *layer*, which has not started."""
    table = run.lake.table(layer, entity.name)
    starts = {"bronze": bronze.stream.start, "silver": silver.stream.start}
    beside = [run.lake.table("quarantine", entity.name)] if layer == "silver" else []
    upkeep = Upkeep(spark, run, entity, [table, *beside])
    start = partial(starts[layer], spark, entity, run)
    stream = streams.Stream(table, entity.topic, start, upkeep=upkeep)
    stream.verbs = verbs(spark, stream, upkeep, run)
    return stream


def ask(config: Config, name: str, verb: str, *, seconds: float, **args: Any) -> dict[str, Any]:
    """Have *verb* done to the tables of the stream *name*, and return what was done.

    By its owner, asked and waited for; where nobody is, here and now, as its owner.

    Raises:
        MachineError: NO_ANSWER after *seconds*, REQUEST_REFUSED.
        LakehouseError: what the verb fails with.
    """
    if owner.holder(config.state_dir, name) is not None:
        answer = owner.asked(config.state_dir, name, verb, seconds=seconds, **args)
        return {key: value for key, value in answer.items() if key not in owner.ENVELOPE}
    layer, _, entity = name.partition(".")
    chosen, run = entities.load(config.folder / "entities" / entity), Run(config)
    with ExitStack() as stack:
        lock = stack.enter_context(owner.owning(config.state_dir, name))
        stack.enter_context(run.alarms)
        spark = session.start(config, log=config.state_dir / "spark.log", inherit=[lock])
        stack.callback(session.stop, spark)
        stream = stream_of(spark, run, chosen, layer)
        return stream.verbs[verb](owner.request(verb, **args))


def verbs(
    spark: SparkSession, stream: Stream, upkeep: Upkeep, run: Run
) -> Mapping[str, Callable[[Request], dict[str, Any]]]:
    """Return what the owner of *stream* can be asked to do to its tables, by name."""
    kept = {name: partial(kept_up, stream, upkeep) for name in ("optimize", "vacuum")}
    if stream.name.startswith("bronze."):
        return kept
    desk = {name: partial(at_the_desk, spark, stream, upkeep, run) for name in silver.desk.VERBS}
    return {**kept, **desk, "resume": partial(resumed, stream, run)}


def kept_up(stream: Stream, upkeep: Upkeep, request: Request) -> dict[str, Any]:
    """Do the upkeep that *request* asks for, in the turn of *stream*: while no batch is at work."""
    with stream.turn.lock:
        return upkeep.asked(request)


def resumed(stream: Stream, run: Run, request: Request) -> dict[str, Any]:
    """Let *stream* go on after its breaker has tripped."""
    answer = breaker.resumed(stream.name, run, **request.args)
    stream.tripped, stream.next_try = None, 0.0
    return answer


def at_the_desk(
    spark: SparkSession, stream: Stream, upkeep: Upkeep, run: Run, request: Request
) -> dict[str, Any]:
    """Do what *request* asks of silver and quarantine, while *stream* pauses.

    Where it judges, the rules are read anew, and the stream goes on under them: what a request
    judged by, the next batch is judged by. A request that fails leaves the stream with the rules
    that it had.
    """
    before = entity = upkeep.entity
    if request.verb in silver.desk.JUDGING:
        entity = entities.load(run.config.folder / "entities" / before.name)
    streams.pause(spark, stream, run)
    answer = silver.desk.serve(spark, entity, request, run)
    if entity.fingerprint != before.fingerprint:
        stream.start = partial(silver.stream.start, spark, entity, run)
        upkeep.entity = entity
        told = {"before": before.fingerprint, "now": entity.fingerprint}
        log.get(stream.name).info("Rules reloaded", **told)
    return {**answer, "reloaded": entity.fingerprint != before.fingerprint}
