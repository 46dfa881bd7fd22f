"""In what the tables of a rebuild differ from the live ones, row by row and message by message."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.reading.positions import COLUMNS as PLACE
from lakehouse.schemas import comparable
from lakehouse.tables import POSITION, SILVER_MARKS, quoted
from quarantine.decisions import same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame

    from lakehouse.entities import Entity

EXAMPLES = 20
CHANGED = "changed"
SILVER = ("added", CHANGED, "removed")
QUARANTINE = ("newly_refused", "other_reasons", "rescued")


def difference(
    entity: Entity, silver: tuple[DataFrame, DataFrame], refused: tuple[DataFrame, DataFrame]
) -> dict[str, Any]:
    """Return what differs between the live and the derived rows, and a few examples of each kind.

    Rows of *silver* are compared by their key, whichever batch wrote them; *refused* messages by
    their position.
    """
    return {
        "silver": _told(_rows(*silver, entity), SILVER),
        "quarantine": _told(_messages(*refused), QUARANTINE),
    }


def _rows(live: DataFrame, derived: DataFrame, entity: Entity) -> DataFrame:
    """Return each row that differs: which `kind`, `where` (its key), and in which `columns`."""
    of_message = {f"_{name}" for name in POSITION}
    marks = set(SILVER_MARKS.fieldNames()) - of_message
    names = [name for name in derived.columns if name not in marks]
    keys = [F.lit(key in live.columns) & ~_differ(key, live, derived) for key in entity.keys]
    joined = live.alias("old").join(
        derived.alias("new"), reduce(lambda one, other: one & other, keys), "full"
    )
    columns = F.array_compact(
        F.array(*(F.when(_differ(name, live, derived), F.lit(name)) for name in names))
    )
    where = F.coalesce(_json("new", derived, entity.keys), _json("old", live, entity.keys))
    kind = _kind(F.col("old._topic"), F.col("new._topic"), SILVER)
    told = F.when(kind == CHANGED, columns).otherwise(F.array()).alias("columns")
    found = joined.select(kind, where.alias("where"), told)
    return found.where((F.col("kind") != CHANGED) | (F.size("columns") > 0))


def _messages(live: DataFrame, derived: DataFrame) -> DataFrame:
    """Return each message that differs: which `kind`, `where` (its position), and its `columns`."""
    joined = live.alias("old").join(derived.alias("new"), same("old", "new"), "full")
    place = (F.coalesce(f"new.{name}", f"old.{name}") for name in PLACE if name != "topic_id")
    kind = _kind(F.col("old.topic"), F.col("new.topic"), QUARANTINE)
    codes = F.array_distinct(F.coalesce("new.reasons", "old.reasons")["code"])
    # Not what was expected, and thus said: that is of the rules, not of the message.
    why = [
        F.arrays_zip(*(F.col(f"{side}.reasons")[n] for n in ("code", "rule", "column")))
        for side in ("old", "new")
    ]
    other = ~why[0].eqNullSafe(why[1])
    found = joined.select(
        kind, F.concat_ws(":", *place).alias("where"), codes.alias("columns"), other.alias("other")
    )
    return found.where((F.col("kind") != "other_reasons") | F.col("other"))


def _kind(old: Column, new: Column, kinds: Sequence[str]) -> Column:
    only_new, both, only_old = kinds
    found = F.when(old.isNull(), only_new).when(new.isNull(), only_old).otherwise(both)
    return found.alias("kind")


def _differ(name: str, live: DataFrame, derived: DataFrame) -> Column:
    """Say whether the old and the new row differ in column *name*; one not there is NULL."""
    if name not in live.columns:
        return F.col(f"new.{quoted(name)}").isNotNull()
    old, new = live.schema[name].dataType, derived.schema[name].dataType
    if old != new:
        texts = [F.to_json(F.struct(f"{side}.{quoted(name)}")) for side in ("old", "new")]
        return ~texts[0].eqNullSafe(texts[1])
    sides = [comparable(f"{side}.{quoted(name)}", old) for side in ("old", "new")]
    return ~sides[0].eqNullSafe(sides[1])


def _json(side: str, rows: DataFrame, names: Sequence[str]) -> Column:
    there = [F.col(f"{side}.{quoted(name)}") for name in names if name in rows.columns]
    return F.when(F.col(f"{side}._topic").isNotNull(), F.to_json(F.struct(*there)))


def _told(found: DataFrame, kinds: Sequence[str]) -> dict[str, Any]:
    kept = found.persist()
    try:
        counts = {row["kind"]: row["count"] for row in kept.groupBy("kind").count().collect()}
        examples = {
            kind: [
                {"where": row["where"], "columns": row["columns"]}
                for row in kept.where(F.col("kind") == kind)
                .orderBy("where")
                .limit(EXAMPLES)
                .collect()
            ]
            for kind in kinds
            if counts.get(kind)
        }
    finally:
        kept.unpersist()
    return {**{kind: counts.get(kind, 0) for kind in kinds}, "examples": examples}
