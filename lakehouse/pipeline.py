"""The product put together: which streams a run has, and running them under their locks."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import bronze.stream
import silver.stream
from lakehouse import lag, log, owner, session, streams
from lakehouse.health import Health

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.run import Run

LAYERS = ("bronze", "silver")


class Asked:
    """How often this process was asked to stop, by SIGINT, SIGTERM or SIGHUP."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        """Return the number of times."""
        return self.times

    def listen(self) -> None:
        """Count the signals from now on; again after Spark, which takes SIGINT for itself."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.times += 1
        what = "after the batch in hand" if self.times == 1 else "now"
        log.get("lakehouse").info(f"Stopping {what}", signal=signal.Signals(number).name)


def run(run: Run, entities: Sequence[Entity], layers: Sequence[str]) -> None:
    """Run the streams of *layers* for *entities* until asked to stop, or with `once` are done.

    Each stream is owned first, before Spark starts, so a second start fails within a second. With
    `once` bronze ends before silver begins. When this returns, no process of ours is left.

    Raises:
        LakehouseError: what the first stream failed with.
    """
    config, asked = run.config, Asked()
    asked.listen()
    with ExitStack() as stack:
        names = [f"{layer}.{entity.name}" for layer in layers for entity in entities]
        locks = [stack.enter_context(owner.owning(config.state_dir, name)) for name in names]
        spark = session.start(config, log=config.state_dir / "spark.log", inherit=locks)
        stack.callback(session.stop, spark)
        asked.listen()
        for phase in [[layer] for layer in layers] if run.once else [layers]:
            built, health = build(spark, run, entities, phase)
            streams.run_all(spark, built, run, health, asked=asked)


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
            else:
                tail = lag.Tail(spark, run.lake.table("bronze", entity.name))
                health.watch(table.name, entity.topic, tail.behind)
                start = partial(silver.stream.start, spark, entity, run)
            built.append(streams.Stream(table, entity.topic, start))
    spark.streams.addListener(health)
    return built, health
