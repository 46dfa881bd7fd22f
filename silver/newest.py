"""Which of several messages of one key is the row: one total order, used everywhere. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as F

from lakehouse.tables import quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.entities import Entity

ORDER = ("_timestamp", "_partition", "_offset", "_topic_id")


def newest(valid: DataFrame, entity: Entity) -> DataFrame:
    """Return one row per key: the newest, whatever the order in which they came."""
    newest_first = Window.partitionBy(*map(quoted, entity.keys)).orderBy(recency(entity).desc())
    ranked = valid.withColumn("_rank", F.row_number().over(newest_first))
    return ranked.where("_rank = 1").drop("_rank")


def recency(entity: Entity, row: str = "") -> Column:
    """Return what the rows of *row*, an alias, are ordered by.

    It is (sequence_by, timestamp, partition, offset, topic id), where NULL is lowest, as Spark
    orders structs. No two messages have the same, so there is never a tie; and a message without a
    sequence still lands, but never over one that has it.
    """
    sequence = [entity.sequence_by] if entity.sequence_by else []
    prefix = f"{row}." if row else ""
    return F.struct(*(F.col(prefix + quoted(name)) for name in (*sequence, *ORDER)))
