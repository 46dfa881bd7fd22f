"""Newest rows into the silver table, guarded by their order."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.tables import quoted
from silver.newest import recency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.entities import Entity
    from lakehouse.tables import Table
    from silver.counts import Counts

# A MERGE writes each file again in which it updates a row, and its new rows into the same file. So
# where each batch updates what the one before it brought, that file would grow without end, and
# with it the cost of a batch. A file takes so many rows, or of a large batch one part of so many.
FILE_ROWS, FILE_SHARE = 5_000, 4
MOST_ROWS = "spark.sql.files.maxRecordsPerFile"


@dataclass(frozen=True)
class Merged:
    """Rows of silver that a merge made, by Delta's count: new keys, and newer rows of old ones."""

    inserted: int
    updated: int


def merge(rows: DataFrame, entity: Entity, *, into: Table, counts: Counts | None = None) -> Merged:
    """Merge *rows*, one per key, in one commit: an older row never overwrites a newer one.

    The same rows again change nothing. The condition holds the keys alone, so that a key whose
    partition column changed, or is NULL, still meets its row. Columns are named, so a column that
    *rows* lacks stays NULL in new rows and as it is in updated ones. With the *counts* of the batch
    that *rows* are of, files of the table are not read whose statistics say that they hold none of
    its keys, and no file that is written holds more than FILE_ROWS rows or, if that is more, one
    of FILE_SHARE parts of the batch.
    """
    same = [F.col(f"old.{quoted(key)}") == F.col(f"new.{quoted(key)}") for key in entity.keys]
    near = [
        F.col(f"old.{quoted(key)}").between(F.lit(least), F.lit(most))
        for key, (least, most) in (counts.bounds if counts else {}).items()
    ]
    on = reduce(lambda one, other: one & other, [*same, *near])
    values = {quoted(name): f"new.{quoted(name)}" for name in rows.columns}
    command = (
        into.delta(rows.sparkSession)
        .alias("old")
        .merge(rows.alias("new"), on)
        .whenMatchedUpdate(recency(entity, "new") > recency(entity, "old"), set=dict(values))
        .whenNotMatchedInsert(values=dict(values))
    )
    with _files_in_proportion(rows.sparkSession, counts.rows.valid if counts else 0):
        done = command.execute().first()
    # Delta returns nothing for a transaction that the table has already.
    return Merged(done["num_inserted_rows"], done["num_updated_rows"]) if done else Merged(0, 0)


@contextmanager
def _files_in_proportion(spark: SparkSession, batch: int) -> Iterator[None]:
    """Bound the rows of files that are written inside, unless an option of the session does."""
    if int(str(spark.conf.get(MOST_ROWS))):
        yield
        return
    spark.conf.set(MOST_ROWS, str(max(FILE_ROWS, batch // FILE_SHARE)))
    try:
        yield
    finally:
        spark.conf.unset(MOST_ROWS)
