"""Newest rows into the silver table, guarded by their order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.tables import quoted
from silver.newest import recency

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import DataFrame

    from lakehouse.entities import Entity
    from lakehouse.tables import Table

    Bounds = Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class Merged:
    """Rows of silver that a merge made, by Delta's count: new keys, and newer rows of old ones."""

    inserted: int
    updated: int


def merge(rows: DataFrame, entity: Entity, *, into: Table, bounds: Bounds | None = None) -> Merged:
    """Merge *rows*, one per key, in one commit: an older row never overwrites a newer one.

    The same rows again change nothing. The condition holds the keys alone, so that a key whose
    partition column changed, or is NULL, still meets its row. Columns are named, so a column that
    *rows* lacks stays NULL in new rows and as it is in updated ones. With the *bounds* of the keys
    of *rows*, files of the table are not read whose statistics say that they hold none of them.
    """
    same = [F.col(f"old.{quoted(key)}") == F.col(f"new.{quoted(key)}") for key in entity.keys]
    near = [
        F.col(f"old.{quoted(key)}").between(F.lit(least), F.lit(most))
        for key, (least, most) in (bounds or {}).items()
    ]
    on = reduce(lambda one, other: one & other, [*same, *near])
    values = {quoted(name): f"new.{quoted(name)}" for name in rows.columns}
    done = (
        into.delta(rows.sparkSession)
        .alias("old")
        .merge(rows.alias("new"), on)
        .whenMatchedUpdate(recency(entity, "new") > recency(entity, "old"), set=dict(values))
        .whenNotMatchedInsert(values=dict(values))
        .execute()
    ).first()
    # Delta returns nothing for a transaction that the table has already.
    return Merged(done["num_inserted_rows"], done["num_updated_rows"]) if done else Merged(0, 0)
