"""The silver stream: bronze to the newest valid row of each key, and to quarantine."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from lakehouse import checkpoints
from lakehouse.audit.expectations import conditions
from lakehouse.audit.records import recorded
from lakehouse.streams import each_batch
from quarantine import table as quarantine
from silver import rules
from silver.batch import Batch
from silver.counts import count
from silver.merge import merge
from silver.newest import newest
from silver.parse import parse
from silver.report import report
from silver.source import messages
from silver.table import prepare
from silver.triage import triage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from lakehouse.audit.records import Record
    from lakehouse.entities import Entity
    from lakehouse.run import Run
    from lakehouse.streams import Turn
    from silver.rules import Unfinished


def start(spark: SparkSession, entity: Entity, run: Run, turn: Turn) -> StreamingQuery:
    """Keep the silver table of *entity* equal to the newest valid row of each key in bronze."""
    checkpoint = prepare(spark, entity, run.lake)
    rules.archive(spark, entity, run.lake)
    unfinished = rules.unfinished(spark, entity, run.lake, checkpoint)
    silver = run.lake.table("silver", entity.name)
    return (
        messages(spark, entity, run)
        .writeStream.queryName(silver.name)
        .foreachBatch(
            each_batch(partial(take, entity=entity, run=run, unfinished=unfinished), turn)
        )
        .option("checkpointLocation", silver.checkpoint)
        .trigger(**run.trigger)
        .start()
    )


def take(
    messages: DataFrame, batch_id: int, *, entity: Entity, run: Run, unfinished: Unfinished | None
) -> None:
    """Refine batch *batch_id* under today's rules; one that a crash cut short, under its own."""
    if unfinished and unfinished.batch_id == batch_id:
        if unfinished.merged:
            return
        entity = unfinished.entity
    path = run.lake.table("silver", entity.name).checkpoint
    checkpoint = checkpoints.identity(messages.sparkSession, path)
    refine(messages, Batch(entity, run.lake, checkpoint, batch_id, run.id, datetime.now(UTC)))


def refine(messages: DataFrame, batch: Batch) -> Record:
    """Refine one micro-batch. Safe to repeat: the same batch again changes no row of any table.

    Either table takes the batch in one commit, bound to the batch by its transaction. Quarantine
    comes first, so a silver commit proves the whole batch done; an empty batch makes one too.
    """
    spark = messages.sparkSession
    triaged = triage(parse(messages, batch.entity), batch.entity).persist()
    try:
        record = batch.record(spark, count(triaged, conditions(spark, batch.entity)))
        with recorded(spark, record):
            if record.rows.quarantined:
                quarantine.append(batch.corrupt(triaged), to=batch.quarantine)
            merge(newest(batch.valid(triaged), batch.entity), batch.entity, into=batch.silver)
        report(triaged, record, batch)
    finally:
        triaged.unpersist()
    return record
