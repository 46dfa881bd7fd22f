"""The silver stream: bronze to the newest valid row of each key, and to quarantine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lakehouse.audit import trail
from lakehouse.audit.records import recorded
from lakehouse.snapshots import computing
from lakehouse.turns import each_batch
from quarantine import table as quarantine
from silver import desk, rules
from silver.batch import begin
from silver.breaker import breaker
from silver.counts import count
from silver.merge import merge
from silver.newest import newest
from silver.parse import parse
from silver.report import report
from silver.source import messages
from silver.table import prepare
from silver.triage import triage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from lakehouse.entities import Entity
    from lakehouse.health import BatchCounts
    from lakehouse.run import Run
    from lakehouse.turns import Turn
    from silver.batch import Batch
    from silver.rules import Unfinished


def start(spark: SparkSession, entity: Entity, run: Run, turn: Turn) -> StreamingQuery:
    """Keep the silver table of *entity* equal to the newest valid row of each key in bronze."""
    silver = run.lake.table("silver", entity.name)
    desk.finish(spark, entity.name, run.lake)
    checkpoint = prepare(spark, entity, run.lake)
    limit = breaker(spark, silver, run.config.breaker, run.config.state_dir)
    limit.refuse_start(checkpoint.id if checkpoint else None)
    for layer in ("silver", "quarantine"):
        trail.catch_up(spark, run.lake.table(layer, entity.name), run.lake)
    rules.archive(spark, entity, run.lake)
    unfinished = rules.unfinished(spark, entity, run.lake, checkpoint)
    rows = messages(spark, entity, run, checkpoint)
    if not (unfinished and unfinished.changed):
        rows = judge(rows, entity)
    own = partial(begin, run=run, breaker=limit)
    refined = partial(take, entity=entity, unfinished=unfinished, begin=own)
    return (
        rows.writeStream.queryName(silver.name)
        .foreachBatch(each_batch(refined, turn))
        .option("checkpointLocation", silver.checkpoint)
        .trigger(**run.trigger)
        .start()
    )


def judge(messages: DataFrame, entity: Entity) -> DataFrame:
    """Return rows of bronze typed and judged, as `triage` leaves them.

    As a part of the stream's own plan it is analysed once; inside of a batch, for each batch.
    """
    return triage(parse(messages, entity), entity)


def take(
    rows: DataFrame,
    batch_id: int,
    *,
    entity: Entity,
    unfinished: Unfinished | None,
    begin: Callable[..., Batch],
) -> BatchCounts | None:
    """Refine batch *batch_id* under today's rules; one that a crash cut short, under its own.

    The *rows* are judged already, unless rules have changed since the crash: then each batch of
    this run is judged here.
    """
    if unfinished and unfinished.batch_id == batch_id:
        if unfinished.merged:
            return None
        entity = unfinished.entity
    if unfinished and unfinished.changed:
        rows = judge(rows, entity)
    return refine(rows, begin(rows.sparkSession, entity, batch_id))


def refine(judged: DataFrame, batch: Batch) -> BatchCounts:
    """Refine one micro-batch. Safe to repeat: the same batch again changes no row of any table.

    Either table takes the batch in one commit, bound to the batch by its transaction. Quarantine
    comes first, so a silver commit proves the whole batch done; an empty batch makes one too. A
    batch that trips the breaker writes nothing.
    """
    spark = judged.sparkSession
    triaged = judged.persist()
    try:
        with computing(spark, batch.quarantine, batch.silver):
            counts = count(triaged, batch.entity)
            record = batch.breaker.judge(batch.record(spark, counts))
            with recorded(spark, record):
                if record.rows.quarantined:
                    quarantine.append(batch.corrupt(triaged), to=batch.quarantine)
                rows = newest(batch.valid(triaged), batch.entity)
                merged = merge(rows, batch.entity, into=batch.silver, counts=counts)
        batch.breaker.passed(record)
        outcome = batch.outcome(spark, counts, merged)
        report(triaged, record, outcome, batch)
    finally:
        triaged.unpersist()
    return outcome
