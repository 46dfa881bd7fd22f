"""Kafka's columns to bronze's. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.tables import BRONZE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def land(messages: DataFrame, topic_id: str | None) -> DataFrame:
    """Return *messages* as bronze rows, none dropped and none changed beyond repair.

    `value` is valid UTF-8 always: one string that is not makes a whole file unreadable outside
    Spark. Where the bytes were not valid, `value` is repaired and `value_raw` holds the bytes.
    """
    text = F.col("value").cast("string")
    sound = F.is_valid_utf8(text)
    landed = messages.select(
        F.when(sound, text).otherwise(F.make_valid_utf8(text)).alias("value"),
        F.when(~sound, F.col("value")).alias("value_raw"),
        "key",
        "headers",
        "topic",
        F.lit(topic_id).cast("string").alias("topic_id"),
        "partition",
        "offset",
        "timestamp",
        F.col("timestampType").alias("timestamp_type"),
        F.current_timestamp().alias("_landed_at"),
    )
    return landed.select(BRONZE.fieldNames())
