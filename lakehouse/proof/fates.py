"""The fate of every bronze row, found by its position; no term of a sum is a remainder.

    current       the message is the silver row of its key
    superseded    it is valid, and the silver row of its key is newer in the total order
    quarantined   it is in quarantine, and neither released nor discarded
    discarded     it is in quarantine, and a decision discards it
    unread        silver has not consumed it yet

    none          it is in no table and nothing supersedes it
    several       it is in two places, or twice in one
    stray         silver or quarantine hold it, and bronze does not

The last three are faults. Everything is taken from the tables and from the rules that each
batch's record names; nothing from a counter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.proof.judged import judge
from lakehouse.proof.view import view
from lakehouse.reading.decisions import Decided
from lakehouse.reading.positions import COLUMNS
from lakehouse.tables import quoted
from quarantine import decisions
from silver.newest import recency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.entities import Entity
    from lakehouse.proof.judged import Judged
    from lakehouse.proof.view import View
    from lakehouse.tables import Lake

EXAMPLES = 20


class Fate(StrEnum):
    """What became of a message."""

    CURRENT = "current"
    SUPERSEDED = "superseded"
    QUARANTINED = "quarantined"
    DISCARDED = "discarded"
    UNREAD = "unread"
    NONE = "none"
    SEVERAL = "several"
    STRAY = "stray"


# What is said of a position with such a fate.
SAYS = {
    Fate.NONE: "has no fate",
    Fate.SEVERAL: "has several fates",
    Fate.STRAY: "is not in bronze",
}
FAULTS = tuple(SAYS)


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
    seen = view(spark, entity.name, lake)
    return proof(seen, judge(seen))


def proof(seen: View, judged: Sequence[Judged]) -> Proof:
    """Return the proof that the fates of *seen* make, with *judged* its messages judged again."""
    found = fates(seen, judged).persist()
    try:
        grouped = found.groupBy("fate").agg(
            F.count("*").alias("n"), F.count_if("without_sequence").alias("bare")
        )
        counted = {row["fate"]: row for row in grouped.collect()}
        faulty = found.where(F.col("fate").isin(*FAULTS)).orderBy(*COLUMNS).limit(EXAMPLES)
        faults = tuple(
            f"{row['topic']}:{row['partition']}:{row['offset']} {SAYS[row['fate']]}"
            for row in faulty.collect()
        )
    finally:
        found.unpersist()
    counts = Counter({fate: int(counted[fate]["n"]) if fate in counted else 0 for fate in Fate})
    bare = int(counted[Fate.SUPERSEDED]["bare"]) if Fate.SUPERSEDED in counted else 0
    return Proof(seen.entity, dict(counts), bare, faults)


def fates(seen: View, judged: Sequence[Judged]) -> DataFrame:
    """Return one row per position of bronze, silver and quarantine, with its fate.

    Columns: topic, topic_id, partition, offset, fate, without_sequence (a superseded message that
    had no sequence).
    """
    places = {
        "bronze": seen.bronze.select(*COLUMNS),
        "read": seen.read.select(*COLUMNS),
        "silver": seen.silver.select(*(F.col(f"_{name}").alias(name) for name in COLUMNS)),
        "quarantine": decisions.unsettled(seen.refused).select(*COLUMNS),
        "discarded": seen.refused.where(F.col("_status") == Decided.DISCARDED).select(*COLUMNS),
        "superseded": _superseded(seen, judged),
    }
    marked = [
        frame.select(
            *COLUMNS,
            *(F.lit(int(other == place)).alias(other) for other in places),
            F.col("bare") if place == "superseded" else F.lit(False).alias("bare"),
        )
        for place, frame in places.items()
    ]
    found = reduce(lambda one, other: one.unionByName(other), marked)
    counted = found.groupBy(*COLUMNS).agg(
        *(F.sum(place).alias(place) for place in places),
        F.max("bare").alias("without_sequence"),
    )
    return counted.select(*COLUMNS, _fate().alias("fate"), "without_sequence")


def _fate() -> Column:
    bronze, silver, quarantine = F.col("bronze"), F.col("silver"), F.col("quarantine")
    held = silver + quarantine + F.col("discarded")
    return (
        F.when(bronze == 0, Fate.STRAY)
        .when((bronze > 1) | (held + F.col("superseded") > 1), Fate.SEVERAL)
        .when(silver == 1, Fate.CURRENT)
        .when(quarantine == 1, Fate.QUARANTINED)
        .when(F.col("discarded") == 1, Fate.DISCARDED)
        .when(F.col("superseded") == 1, Fate.SUPERSEDED)
        .when(F.col("read") == 0, Fate.UNREAD)
        .otherwise(Fate.NONE)
    )


def _superseded(seen: View, judged: Sequence[Judged]) -> DataFrame:
    """Return the positions of valid messages whose key has a newer silver row."""
    found = []
    for one in judged:
        under, valid = one.entity, one.rows.where(F.size("_reasons") == 0).alias("old")
        keys = [F.col(f"old.{quoted(k)}") == F.col(f"new.{quoted(k)}") for k in under.keys]
        newer = recency(under, "new") > recency(under, "old")
        on = reduce(lambda a, b: a & b, [*keys, newer])
        met = valid.join(seen.silver.alias("new"), on, "left_semi")
        sequence = under.sequence_by
        bare = F.col(quoted(sequence)).isNull() if sequence else F.lit(False)
        positions = (F.col(f"_{name}").alias(name) for name in COLUMNS)
        found.append(met.select(*positions, bare.alias("bare")))
    if not found:
        return seen.bronze.limit(0).select(*COLUMNS, F.lit(False).alias("bare"))
    return reduce(lambda one, other: one.unionByName(other), found)
