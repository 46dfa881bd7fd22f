"""Bronze as a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse import storage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.entities import Entity
    from lakehouse.run import Run


def messages(spark: SparkSession, entity: Entity, run: Run) -> DataFrame:
    """Return the rows of *entity*'s bronze table, each Kafka partition in offset order.

    A first start reads bronze's commits from version 0 on: they are in order, whatever a
    compaction did to the files since. Where the log no longer reaches back that far it reads the
    files there are, by their age. A batch takes about `streams.max_bytes_per_trigger`.
    """
    bronze = run.lake.table("bronze", entity.name)
    reader = spark.readStream.format("delta")
    reader = reader.option("maxBytesPerTrigger", run.config.streams.max_bytes_per_trigger)
    if f"{0:020d}.json" in storage.names(spark, f"{bronze.path}/_delta_log"):
        reader = reader.option("startingVersion", "0")
    return reader.load(bronze.path)
