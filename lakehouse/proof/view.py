"""The tables of one entity as they stood at one moment, and their commits up to it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.audit.commits import joined
from lakehouse.audit.trail import folded, logged
from lakehouse.errors import TableError
from lakehouse.tables import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.audit.commits import Commit
    from lakehouse.tables import Lake

POSITION = ("topic", "topic_id", "partition", "offset")
RANGES = (
    "topic STRING, topic_id STRING, partition INT, first LONG, last LONG, _under STRING, "
    "_version LONG"
)
# The most rows into which `held` cuts ranges.
PIECES = 1_000_000


@dataclass(frozen=True)
class View:
    """What is proven about: frames of fixed versions, so that it can be taken beside live streams.

    Silver is fixed first. `read` are the bronze rows that silver's commits speak of, `refused` the
    quarantine rows among them: what a stream has done since is not looked at. `commits` are by
    layer, from the trail (`kept`) and, where that ends, from the log (`logs`).
    """

    spark: SparkSession
    lake: Lake
    entity: str
    bronze: DataFrame
    silver: DataFrame
    refused: DataFrame
    read: DataFrame
    consumed: DataFrame
    commits: dict[str, list[Commit]]
    kept: dict[str, list[Commit]]
    logs: dict[str, list[Commit]]


def view(spark: SparkSession, entity: str, lake: Lake) -> View:
    """Return the view of *entity*'s tables as they are now.

    Raises:
        TableError: TABLE_MISSING.
    """
    layers = ("silver", "quarantine", "bronze")
    for layer in layers:
        table = lake.table(layer, entity)
        if not table.exists(spark):
            raise TableError(
                "TABLE_MISSING",
                table=table.name,
                path=table.path,
                reason="there is nothing to prove before its stream has run",
                cure=f"run `lakehouse start all --entity {entity} --once` first",
            )
    # Silver first, bronze last: what one holds, those after it held before.
    versions = {layer: lake.table(layer, entity).version(spark) for layer in layers}
    frames = {layer: lake.table(layer, entity).read(spark, versions[layer]) for layer in layers}
    kept = {layer: folded(spark, lake.table(layer, entity), lake) for layer in layers}
    logs = {layer: logged(spark, lake.table(layer, entity)) for layer in layers}
    commits = {
        layer: [one for one in joined(kept[layer], logs[layer]) if one.version <= versions[layer]]
        for layer in layers
    }
    consumed = ranges(spark, commits["silver"])
    size = span(commits["silver"])
    return View(
        spark,
        lake,
        entity,
        frames["bronze"],
        frames["silver"],
        held(frames["quarantine"], consumed, size).drop("_under", "_version"),
        held(frames["bronze"], consumed, size),
        consumed,
        commits,
        kept,
        logs,
    )


def ranges(spark: SparkSession, commits: Sequence[Commit]) -> DataFrame:
    """Return the offset ranges that *commits* hold: `_under` which rules, of which `_version`."""
    rows = [
        {
            "topic": one.topic,
            "topic_id": one.topic_id,
            "partition": one.partition,
            "first": one.min,
            "last": one.max,
            "_under": commit.facts.get("rules"),
            "_version": commit.version,
        }
        for commit in commits
        for one in commit.ranges
    ]
    return tables.frame(spark, rows, RANGES)


def held(rows: DataFrame, by: DataFrame, size: int, prefix: str = "") -> DataFrame:
    """Return those of *rows* that lie in a range of *by*, with its `_under` and `_version`.

    A row in two ranges is there twice. Ranges are cut at multiples of *size*, so that a row is
    compared with the few ranges near it and not with all of them. *prefix* is that of the columns
    of the position: silver's have one.
    """
    first, last = (F.floor(F.col(name) / size) for name in ("first", "last"))
    pieces = by.withColumn("_piece", F.explode(F.sequence(first, last))).alias("r")
    offset = F.col(f"{prefix}offset")
    placed = rows.withColumn("_piece", F.floor(offset / size)).alias("o")
    same = (
        (F.col(f"o.{prefix}topic") == F.col("r.topic"))
        & F.col(f"o.{prefix}topic_id").eqNullSafe(F.col("r.topic_id"))
        & (F.col(f"o.{prefix}partition") == F.col("r.partition"))
        & (F.col("o._piece") == F.col("r._piece"))
        & F.col(f"o.{prefix}offset").between(F.col("r.first"), F.col("r.last"))
    )
    met = placed.join(F.broadcast(pieces), same)
    kept = (F.col(f"o.{quoted(name)}") for name in rows.columns)
    return met.select(*kept, "r._under", "r._version")


def span(commits: Sequence[Commit]) -> int:
    """Return where `held` is to cut the ranges of *commits*: about the size of most of them."""
    spans = [one.max - one.min + 1 for commit in commits for one in commit.ranges]
    return max(1, int(median(spans)), sum(spans) // PIECES) if spans else 1
