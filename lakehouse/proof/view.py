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
from lakehouse.layout import DESK
from lakehouse.reading.decisions import Decided
from lakehouse.reading.positions import COLUMNS
from lakehouse.tables import quoted
from quarantine import decisions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.audit.commits import Commit
    from lakehouse.tables import Lake

RANGES = (
    "topic STRING, topic_id STRING, partition INT, first LONG, last LONG, _under STRING, "
    "_now STRING, _version LONG"
)
HELD = ("_under", "_now", "_version")
REBUILD = "rebuild"
# The most rows into which `held` cuts ranges.
PIECES = 1_000_000


@dataclass(frozen=True)
class View:
    """What is proven about: frames of fixed versions, so that it can be taken beside live streams.

    Silver is fixed first. `read` are the bronze rows that silver's commits speak of, with the rules
    `_under` which they were judged first and `_now`, since the last rebuild. `refused` are the
    quarantine rows among them, with what was decided: see `quarantine.decisions.standing`. What a
    stream has done since is not looked at, nor what a request has yet to do in silver. `commits`
    are by layer, from the trail (`kept`) and, where that ends, from the log (`logs`). `rebuilt` is
    the last rebuild, `decided` all decisions; None where there are none.
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
    rebuilt: Commit | None = None
    decided: DataFrame | None = None


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
    kept = {layer: folded(spark, lake.table(layer, entity), lake) for layer in layers}
    logs = {layer: logged(spark, lake.table(layer, entity)) for layer in layers}
    known = {layer: joined(kept[layer], logs[layer]) for layer in layers}
    done = max((d.batch_id or 0 for d in _deeds(known["silver"], versions["silver"])), default=0)
    ahead = (d for d in _deeds(known["quarantine"]) if (d.batch_id or 0) > done)
    versions["quarantine"] = min(
        [versions["quarantine"], *(one.version - 1 for one in ahead)]
    )  # a rebuild that silver has yet to follow
    commits = {
        layer: [one for one in known[layer] if one.version <= versions[layer]] for layer in layers
    }
    frames = {layer: lake.table(layer, entity).read(spark, versions[layer]) for layer in layers}
    rebuilt = next((c for c in reversed(commits["silver"]) if c.facts.get("verb") == REBUILD), None)
    consumed, size = ranges(spark, commits["silver"], rebuilt), span(commits["silver"])
    said = _decided(spark, entity, lake, done)
    refused = held(frames["quarantine"], consumed, size).drop(*HELD)
    refused = decisions.standing(refused, said)
    read = held(frames["bronze"], consumed, size)
    if rebuilt is not None:
        read = _as_refused(read, refused.where(F.col("_status") == Decided.DISCARDED))
    return View(
        spark,
        lake,
        entity,
        frames["bronze"],
        frames["silver"],
        refused,
        read,
        consumed,
        commits,
        kept,
        logs,
        rebuilt,
        said,
    )


def _deeds(commits: Sequence[Commit], upto: int | None = None) -> list[Commit]:
    return [c for c in commits if c.checkpoint == DESK and (upto is None or c.version <= upto)]


def _decided(spark: SparkSession, entity: str, lake: Lake, done: int) -> DataFrame | None:
    """Return the decisions; those of a replay that silver has yet to follow count for nothing.

    Silver follows only where something was released.
    """
    table = decisions.table(lake, entity)
    if not table.exists(spark):
        return None
    pending = [
        one.facts["request"]
        for one in _deeds(logged(spark, table))
        if one.facts["done"].get("released") and (one.batch_id or 0) > done
    ]
    return table.read(spark).where(~F.col("request_id").isin(pending))


def _as_refused(read: DataFrame, discarded: DataFrame) -> DataFrame:
    """Return *read*, where those *discarded* are `_now` under the rules that refused them."""
    kept = discarded.select(*COLUMNS, F.col("_rules").alias("_kept")).alias("d")
    joined = read.alias("r").join(kept, decisions.same("r", "d"), "left")
    now = F.coalesce("d._kept", "r._now").alias("_now")
    return joined.select(*(F.col(f"r.{quoted(c)}") for c in read.columns if c != "_now"), now)


def ranges(
    spark: SparkSession, commits: Sequence[Commit], rebuilt: Commit | None = None
) -> DataFrame:
    """Return the offset ranges that *commits* hold: `_under` which rules, of which `_version`.

    `_now` are the rules of the commit that *rebuilt* the table, if it came later.
    """
    rows = [
        {
            "topic": one.topic,
            "topic_id": one.topic_id,
            "partition": one.partition,
            "first": one.min,
            "last": one.max,
            "_under": commit.facts.get("rules"),
            "_now": (rebuilt if rebuilt and rebuilt.version > commit.version else commit).facts.get(
                "rules"
            ),
            "_version": commit.version,
        }
        for commit in commits
        for one in commit.ranges
    ]
    return tables.frame(spark, rows, RANGES)


def held(rows: DataFrame, by: DataFrame, size: int, prefix: str = "") -> DataFrame:
    """Return those of *rows* that lie in a range of *by*, with its HELD columns.

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
    return met.select(*kept, *(f"r.{name}" for name in HELD))


def span(commits: Sequence[Commit]) -> int:
    """Return where `held` is to cut the ranges of *commits*: about the size of most of them."""
    spans = [one.max - one.min + 1 for commit in commits for one in commit.ranges]
    return max(1, int(median(spans)), sum(spans) // PIECES) if spans else 1
