"""The product put together: which streams a run has, and running them under their locks."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import bronze.stream
import silver.stream
from lakehouse import lag, metrics, owner, session, streams
from lakehouse.health import Health
from lakehouse.upkeep import Upkeep
from silver import breaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.run import Run
    from lakehouse.signals import Asked

LAYERS = ("bronze", "silver")


def run(run: Run, entities: Sequence[Entity], layers: Sequence[str], asked: Asked) -> None:
    """Run the streams of *layers* for *entities* until asked to stop, or with `once` are done.

    Each stream is owned first, before Spark starts, so a second start fails within a second. With
    `once` bronze ends before silver begins. When this returns, no process of ours is left.

    Raises:
        LakehouseError: what the first stream failed with.
    """
    config = run.config
    with ExitStack() as stack:
        names = [f"{layer}.{entity.name}" for layer in layers for entity in entities]
        locks = [stack.enter_context(owner.owning(config.state_dir, name)) for name in names]
        if asked():
            return
        stack.enter_context(run.alarms)
        spark = session.start(config, log=config.state_dir / "spark.log", inherit=locks)
        stack.callback(session.stop, spark)
        asked.listen()
        for phase in [[layer] for layer in layers] if run.once else [layers]:
            built, health = build(spark, run, entities, phase)
            try:
                with metrics.published(health, phase, run):
                    streams.run_all(spark, built, run, health, asked=asked)
            finally:
                spark.streams.removeListener(health)


def build(
    spark: SparkSession, run: Run, entities: Sequence[Entity], layers: Sequence[str]
) -> tuple[list[streams.Stream], Health]:
    """Return the streams of *layers* for *entities*, bronze first, and what watches them."""
    health = Health(
        progress_every=run.config.streams.progress_every,
        backlog_after=run.config.streams.backlog_after,
    )
    built = []
    for layer in layers:
        for entity in entities:
            table = run.lake.table(layer, entity.name)
            if layer == "bronze":
                health.watch(table.name, entity.topic, lag.behind_kafka)
                start = partial(bronze.stream.start, spark, entity, run)
                written, verbs = [table], {}
            else:
                tail = lag.Tail(spark, run.lake.table("bronze", entity.name))
                health.watch(table.name, entity.topic, tail.behind)
                start = partial(silver.stream.start, spark, entity, run)
                written = [table, run.lake.table("quarantine", entity.name)]
                verbs = {"resume": partial(breaker.resumed, table.name, run)}
            upkeep = Upkeep(spark, run, entity, written)
            stream = streams.Stream(table, entity.topic, start, verbs=verbs, upkeep=upkeep)
            stream.turn.tell = partial(health.count, table.name)
            built.append(stream)
    spark.streams.addListener(health)
    return built, health
