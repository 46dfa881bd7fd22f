"""Silver and quarantine derived afresh from bronze, all of it under the rules of today.

Into shadow tables first. They are compared with the live ones, and only if that is asked for the
live ones are overwritten: quarantine, and then silver, each in one commit with the same number. If
the process dies in between, silver follows before any batch or any other request goes on. Older
versions stay readable, and decisions stay: what was discarded is not judged.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import checkpoints, layout, log, storage, tables
from lakehouse.audit import conditions, deeds, trail
from lakehouse.audit.deeds import begun
from lakehouse.audit.records import recorded
from lakehouse.errors import TableError
from lakehouse.layout import DESK
from lakehouse.reading.decisions import Decided
from lakehouse.tables import Lake
from quarantine import decisions
from quarantine import table as quarantine
from silver import rules
from silver.batch import Judgement
from silver.difference import difference
from silver.newest import newest
from silver.parse import parse
from silver.table import columns
from silver.triage import triage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.audit.deeds import Deed
    from lakehouse.entities import Entity
    from lakehouse.owner import Request
    from lakehouse.run import Run
    from lakehouse.tables import Table

ENDS = "topic STRING, topic_id STRING, partition INT, last LONG"


@dataclass(frozen=True)
class Derived:
    """The shadow tables of a rebuild, how many rows they have, and in what they differ."""

    judgement: Judgement
    shadow: Lake
    rows: dict[str, int]
    differs: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What is told of it."""
        return {"rules": self.judgement.entity.fingerprint, "rows": self.rows, **self.differs}


def preview(spark: SparkSession, entity: Entity, request: Request, run: Run) -> dict[str, Any]:
    """Return how silver and quarantine would differ if they were rebuilt; no table changes.

    Safe beside a running stream.

    Raises:
        LakehouseError: as `derive` does.
    """
    shadow = _shadow(run.lake, f"{entity.name}-preview", request.id)
    made = derive(spark, entity, run.lake, shadow)
    storage.delete(spark, shadow.root)
    return made.facts


def rebuild(spark: SparkSession, entity: Entity, request: Request, run: Run) -> dict[str, Any]:
    """Have silver and quarantine be what all messages make under the rules of *entity*.

    Of the messages that silver has read: its stream goes on where it is. Columns, keys, order and
    partitions may have changed; the topic may not. Returns in what the tables differ from before.

    Raises:
        LakehouseError: as `derive` does; BATCH_UNFINISHED or CHECKPOINT_MISMATCH.
    """
    lake = run.lake
    _refuse_unfinished(spark, entity, lake)
    storage.delete(spark, _shadow(lake, entity.name, "").root)  # what a killed one left
    made = derive(spark, entity, lake, _shadow(lake, entity.name, request.id))
    one = made.judgement
    facts = {"rules": entity.fingerprint, "at": one.at.isoformat(), "done": made.rows}
    deed = begun(request, run.id, one.id, **facts)
    versions = install(spark, deed, lake)
    log.get(deed.stream).info("Rebuilt", by=deed.by, note=deed.note, **made.rows)
    return {**made.facts, "versions": versions}


def derive(spark: SparkSession, entity: Entity, lake: Lake, shadow: Lake) -> Derived:
    """Write the tables of *lake* into *shadow* as all messages make them that silver has read.

    Discarded messages are not judged: their rows of quarantine are taken over as they are.

    Raises:
        ConfigError: the entity's schema, a derived column or an expectation is not usable.
        TableError: TABLE_MISSING, or ENTITY_CONFLICT for another topic.
    """
    silver = _buildable(spark, entity, lake)
    conditions.check(spark, entity)
    rules.archive(spark, entity, lake)
    version = silver.version(spark)  # first: what silver has read, bronze and quarantine hold
    ends = _ends(spark, silver, lake, version)
    at = datetime.fromisoformat(decisions.clock(spark, entity.name, lake))
    number = decisions.next_number(spark, entity.name, lake)
    judgement = Judgement(entity, lake, DESK, number, at)
    standing = _within(decisions.decided(spark, entity.name, lake), ends)
    discarded = standing.where(F.col("_status") == Decided.DISCARDED)
    bronze = _within(lake.table("bronze", entity.name).read(spark), ends).alias("b")
    messages = bronze.join(discarded.alias("d"), decisions.same("b", "d"), "left_anti")
    try:
        derived, refused = _write(spark, messages, judgement, shadow)
        rows = {"silver": derived.count(), "quarantine": refused.count() + discarded.count()}
        was = decisions.unsettled(standing)
        differs = difference(entity, (silver.read(spark, version), derived), (was, refused))
        quarantine.append(discarded, to=shadow.table("quarantine", entity.name))
    except BaseException:
        storage.delete(spark, shadow.root)
        raise
    return Derived(judgement, shadow, rows, differs)


def install(spark: SparkSession, deed: Deed, lake: Lake) -> dict[str, int]:
    """Overwrite quarantine and silver with the shadows of *deed*, and return their versions.

    Safe to repeat: either overwrite is the deed's one transaction on its table.
    """
    entity = rules.recall(spark, str(deed.rules), lake)
    shadow = _shadow(lake, entity.name, deed.request)
    silver, refused = (lake.table(layer, entity.name) for layer in ("silver", "quarantine"))
    if deeds.number(spark, refused) < deed.number:
        tables.alter(spark, refused, {layout.APPEND_ONLY: "false"})
        rows = shadow.table("quarantine", entity.name).read(spark)
        with recorded(spark, deed):
            rows.write.format("delta").mode("overwrite").save(refused.path)
    tables.alter(spark, refused, {layout.APPEND_ONLY: "true"})
    tables.alter(spark, silver, {layout.IDENTITY: entity.identity})
    rows = shadow.table("silver", entity.name).read(spark)
    writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    with recorded(spark, deed):
        writer.partitionBy(*entity.partition_by).save(silver.path)
    storage.delete(spark, shadow.root)
    return {table.name: table.version(spark) for table in (silver, refused)}


def _write(
    spark: SparkSession, messages: DataFrame, judgement: Judgement, shadow: Lake
) -> tuple[DataFrame, DataFrame]:
    """Write the shadow tables of *messages*, and return what is in them."""
    entity = judgement.entity
    silver, refused = (shadow.table(layer, entity.name) for layer in ("silver", "quarantine"))
    parts = entity.partition_by
    tables.create(spark, silver, columns(spark, entity), shadow, partition_by=parts)
    tables.create(spark, refused, quarantine.QUARANTINE, shadow)
    triaged = triage(parse(messages, entity), entity).persist()
    try:
        quarantine.append(judgement.corrupt(triaged), to=refused)
        rows = newest(judgement.valid(triaged), entity)
        rows.write.format("delta").mode("append").partitionBy(*parts).save(silver.path)
    finally:
        triaged.unpersist()
    # Of this version: what is added to it later is not among them.
    derived, rest = (table.read(spark, table.version(spark)) for table in (silver, refused))
    return derived, rest


def _ends(spark: SparkSession, silver: Table, lake: Lake, version: int) -> DataFrame:
    """Return the last offset of each Kafka partition that *silver* had read in *version*.

    It takes each partition in the order of its offsets, so all before it are read too.
    """
    last: dict[tuple[str, str | None, int], int] = {}
    for commit in trail.trail(spark, silver, lake, version):
        for one in commit.ranges:
            place = (one.topic, one.topic_id, one.partition)
            last[place] = max(one.max, last.get(place, -1))
    names = ("topic", "topic_id", "partition")
    rows = [{**dict(zip(names, place, strict=True)), "last": n} for place, n in last.items()]
    return tables.frame(spark, rows, ENDS)


def _within(rows: DataFrame, ends: DataFrame) -> DataFrame:
    """Return those of *rows* whose position is not beyond *ends*."""
    one, end = rows.alias("o"), F.broadcast(ends).alias("e")
    read = (
        (F.col("o.topic") == F.col("e.topic"))
        & F.col("o.topic_id").eqNullSafe(F.col("e.topic_id"))
        & (F.col("o.partition") == F.col("e.partition"))
        & (F.col("o.offset") <= F.col("e.last"))
    )
    return one.join(end, read, "left_semi")


def _buildable(spark: SparkSession, entity: Entity, lake: Lake) -> Table:
    """Return the silver table of *entity*, which can be derived anew from its bronze."""
    for layer in ("bronze", "quarantine", "silver"):
        table = lake.table(layer, entity.name)
        if not table.exists(spark):
            cure = f"run `lakehouse start all --entity {entity.name} --once` first"
            reason = "there is nothing to rebuild before its stream has run"
            raise TableError(
                "TABLE_MISSING", table=table.name, path=table.path, reason=reason, cure=cure
            )
    before = json.loads(table.properties(spark)[layout.IDENTITY])["topic"]
    if before != entity.topic:
        raise TableError(
            "ENTITY_CONFLICT", key="topic", entity=entity.name, before=before, now=entity.topic
        )
    return table


def _refuse_unfinished(spark: SparkSession, entity: Entity, lake: Lake) -> None:
    """Refuse where a batch is in quarantine and not in silver: it has to end by its own rules."""
    silver, refused = (lake.table(layer, entity.name) for layer in ("silver", "quarantine"))
    if not silver.exists(spark) or not refused.exists(spark):
        return
    checkpoint = checkpoints.compare(spark, silver)
    if checkpoint is None:
        return
    last = [table.transactions(spark).get(checkpoint.id, -1) for table in (silver, refused)]
    if last[1] > last[0]:
        raise TableError("BATCH_UNFINISHED", stream=silver.name, batch_id=last[1])


def _shadow(lake: Lake, entity: str, request: str) -> Lake:
    return Lake(f"{lake.root.rstrip('/')}/_rebuild/{entity}/{request}", lake.time_travel)
