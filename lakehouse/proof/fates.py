"""The fate of every bronze row, found by its position; no term of a sum is a remainder.

    current       the message is the silver row of its key
    superseded    it is valid, and the silver row of its key is newer in the total order
    quarantined   it is in quarantine
    unread        silver has not consumed it yet

    none          it is in no table and nothing supersedes it
    several       it is in two places, or twice in one
    stray         silver or quarantine hold it, and bronze does not

The last three are faults. Everything is taken from the tables and from the rules that each
batch's record names; nothing from a counter.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.audit.records import records
from lakehouse.tables import quoted
from silver import rules
from silver.newest import recency
from silver.parse import parse
from silver.triage import triage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.entities import Entity
    from lakehouse.tables import Lake

POSITION = ("topic", "topic_id", "partition", "offset")
EXAMPLES = 5
RANGES = "topic string, topic_id string, partition int, first long, last long, rules string"


class Fate(StrEnum):
    """What became of a message."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"
    UNREAD = "unread"
    NONE = "none"
    SEVERAL = "several"
    STRAY = "stray"


FAULTS = (Fate.NONE, Fate.SEVERAL, Fate.STRAY)


@dataclass(frozen=True)
class Proof:
    """The fates of an entity's messages, counted, and the positions of the faults."""

    entity: str
    counts: dict[Fate, int]
    without_sequence: int
    faults: tuple[str, ...]

    @property
    def bronze(self) -> int:
        """The bronze rows: the sum of the fates they can have."""
        return sum(n for fate, n in self.counts.items() if fate is not Fate.STRAY)

    @property
    def holds(self) -> bool:
        """Whether every message has exactly one fate."""
        return not any(self.counts[fate] for fate in FAULTS)


def prove(spark: SparkSession, entity: Entity, lake: Lake) -> Proof:
    """Return the proof for *entity*: each bronze row judged once."""
    judged = fates(spark, entity, lake).persist()
    try:
        grouped = judged.groupBy("fate").agg(
            F.count("*").alias("n"), F.count_if("without_sequence").alias("bare")
        )
        found = {row["fate"]: row for row in grouped.collect()}
        faulty = judged.where(F.col("fate").isin(*FAULTS)).orderBy(*POSITION).limit(EXAMPLES)
        faults = tuple(
            f"{row['topic']}:{row['partition']}:{row['offset']} has {row['fate']}"
            for row in faulty.collect()
        )
    finally:
        judged.unpersist()
    counts = Counter({fate: int(found[fate]["n"]) if fate in found else 0 for fate in Fate})
    bare = int(found[Fate.SUPERSEDED]["bare"]) if Fate.SUPERSEDED in found else 0
    return Proof(entity.name, dict(counts), bare, faults)


def fates(spark: SparkSession, entity: Entity, lake: Lake) -> DataFrame:
    """Return one row per position of bronze, silver and quarantine, with its fate.

    Columns: topic, topic_id, partition, offset, fate, without_sequence (a superseded message that
    had no sequence). Silver's version is fixed first and the others are judged only as far as
    silver's records reach, so it can run beside live streams.
    """
    tables = {layer: lake.table(layer, entity.name) for layer in ("bronze", "silver", "quarantine")}
    version = tables["silver"].version(spark)
    silver = tables["silver"].read(spark, version)
    consumed = _consumed(spark, entity, lake, version)
    # Quarantine before bronze: what it holds by now was in bronze before.
    refused = tables["quarantine"].read(spark, tables["quarantine"].version(spark))
    refused = refused.alias("q").join(consumed.alias("c"), _within("q", "c"), "left_semi")
    bronze = tables["bronze"].read(spark)
    read = bronze.alias("b").join(consumed.alias("c"), _within("b", "c"), "left_semi")
    superseded = _superseded(spark, read, silver, consumed, lake)

    places = {
        "bronze": bronze.select(*POSITION),
        "read": read.select(*POSITION),
        "silver": silver.select(*(F.col(f"_{name}").alias(name) for name in POSITION)),
        "quarantine": refused.select(*POSITION),
        "superseded": superseded,
    }
    marked = [
        frame.select(
            *POSITION,
            *(F.lit(int(other == place)).alias(other) for other in places),
            F.col("bare") if place == "superseded" else F.lit(False).alias("bare"),
        )
        for place, frame in places.items()
    ]
    found = reduce(lambda one, other: one.unionByName(other), marked)
    counted = found.groupBy(*POSITION).agg(
        *(F.sum(place).alias(place) for place in places),
        F.max("bare").alias("without_sequence"),
    )
    return counted.select(*POSITION, _fate().alias("fate"), "without_sequence")


def _fate() -> Column:
    bronze, silver, quarantine = F.col("bronze"), F.col("silver"), F.col("quarantine")
    held = silver + quarantine
    return (
        F.when(bronze == 0, Fate.STRAY)
        .when((bronze > 1) | (held + F.col("superseded") > 1), Fate.SEVERAL)
        .when(silver == 1, Fate.CURRENT)
        .when(quarantine == 1, Fate.QUARANTINED)
        .when(F.col("superseded") == 1, Fate.SUPERSEDED)
        .when(F.col("read") == 0, Fate.UNREAD)
        .otherwise(Fate.NONE)
    )


def _superseded(
    spark: SparkSession, read: DataFrame, silver: DataFrame, consumed: DataFrame, lake: Lake
) -> DataFrame:
    """Return the positions of valid messages whose key has a newer silver row."""
    elsewhere = silver.select(*(F.col(f"_{name}").alias(name) for name in POSITION))
    open_ = read.alias("b").join(elsewhere.alias("s"), _same_position("b", "s"), "left_anti")
    found = []
    for row in consumed.select("rules").distinct().collect():
        under = rules.recall(spark, row["rules"], lake)
        own = consumed.where(F.col("rules") == row["rules"])
        batch = open_.alias("b").join(own.alias("c"), _within("b", "c"), "left_semi")
        triaged = triage(parse(batch, under), under)
        valid = triaged.where(F.size("_reasons") == 0).alias("old")
        keys = [F.col(f"old.{quoted(k)}") == F.col(f"new.{quoted(k)}") for k in under.keys]
        newer = recency(under, "new") > recency(under, "old")
        met = valid.join(
            silver.alias("new"), reduce(lambda a, b: a & b, [*keys, newer]), "left_semi"
        )
        sequence = under.sequence_by
        bare = F.col(quoted(sequence)).isNull() if sequence else F.lit(False)
        positions = (F.col(f"_{name}").alias(name) for name in POSITION)
        found.append(met.select(*positions, bare.alias("bare")))
    if not found:
        return read.limit(0).select(*POSITION, F.lit(False).alias("bare"))
    return reduce(lambda one, other: one.unionByName(other), found)


def _consumed(spark: SparkSession, entity: Entity, lake: Lake, version: int) -> DataFrame:
    """Return the offset ranges that silver's records up to *version* name, each under its rules.

    Neighbouring batches under the same rules are one range: gaps between offsets are Kafka's own.
    """
    merged: list[list[object]] = []
    last: dict[tuple[object, ...], list[object]] = {}
    for at, record in records(spark, lake.table("silver", entity.name)):
        if at > version:
            break
        for one in record["source"]["ranges"]:
            partition = (one["topic"], one["topic_id"], one["partition"])
            before = last.get(partition)
            if before is not None and before[-1] == record["rules"]:
                before[4] = one["max"]
            else:
                last[partition] = [*partition, one["min"], one["max"], record["rules"]]
                merged.append(last[partition])
    return F.broadcast(frame(spark, [tuple(one) for one in merged], RANGES))


def frame(spark: SparkSession, rows: Sequence[tuple[object, ...]], ddl: str) -> DataFrame:
    """Return *rows* as a DataFrame of *ddl*; unlike `createDataFrame`, without Python workers."""
    names = [column.split()[0] for column in ddl.split(",")]
    text = json.dumps([dict(zip(names, row, strict=True)) for row in rows])
    return spark.range(1).select(F.inline(F.from_json(F.lit(text), f"array<struct<{ddl}>>")))


def _within(rows: str, ranges: str) -> Column:
    return (
        (F.col(f"{rows}.topic") == F.col(f"{ranges}.topic"))
        & F.col(f"{rows}.topic_id").eqNullSafe(F.col(f"{ranges}.topic_id"))
        & (F.col(f"{rows}.partition") == F.col(f"{ranges}.partition"))
        & F.col(f"{rows}.offset").between(F.col(f"{ranges}.first"), F.col(f"{ranges}.last"))
    )


def _same_position(one: str, other: str) -> Column:
    return reduce(
        lambda a, b: a & b,
        [F.col(f"{one}.{name}").eqNullSafe(F.col(f"{other}.{name}")) for name in POSITION],
    )
