"""The silver stream: bronze to the newest valid row of each key, and to quarantine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from lakehouse.audit import trail
from lakehouse.audit.records import recorded
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
    own = partial(begin, run=run, breaker=limit)
    refined = partial(take, entity=entity, unfinished=unfinished, begin=own)
    return (
        messages(spark, entity, run, checkpoint)
        .writeStream.queryName(silver.name)
        .foreachBatch(each_batch(refined, turn))
        .option("checkpointLocation", silver.checkpoint)
        .trigger(**run.trigger)
        .start()
    )


def take(
    messages: DataFrame,
    batch_id: int,
    *,
    entity: Entity,
    unfinished: Unfinished | None,
    begin: Callable[..., Batch],
) -> BatchCounts | None:
    """Refine batch *batch_id* under today's rules; one that a crash cut short, under its own."""
    if unfinished and unfinished.batch_id == batch_id:
        if unfinished.merged:
            return None
        entity = unfinished.entity
    return refine(messages, begin(messages.sparkSession, entity, batch_id))


def refine(messages: DataFrame, batch: Batch) -> BatchCounts:
    """Refine one micro-batch. Safe to repeat: the same batch again changes no row of any table.

    Either table takes the batch in one commit, bound to the batch by its transaction. Quarantine
    comes first, so a silver commit proves the whole batch done; an empty batch makes one too. A
    batch that trips the breaker writes nothing.
    """
    spark = messages.sparkSession
    triaged = triage(parse(messages, batch.entity), batch.entity).persist()
    try:
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
