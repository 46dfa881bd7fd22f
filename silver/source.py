"""Bronze as a stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lakehouse import checkpoints, storage
from lakehouse.audit.commits import version_of
from lakehouse.errors import TableError
from lakehouse.reading.decisions import table_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.checkpoints import Checkpoint
    from lakehouse.entities import Entity
    from lakehouse.run import Run


def messages(
    spark: SparkSession, entity: Entity, run: Run, checkpoint: Checkpoint | None
) -> DataFrame:
    """Return the rows of *entity*'s bronze table, each Kafka partition in offset order.

    A first start reads bronze's commits from version 0 on: they are in order, whatever a
    compaction did to the files since. Where the log no longer reaches back that far it reads the
    files there are, by their age. A batch takes about `streams.max_bytes_per_trigger`.

    Raises:
        TableError: BRONZE_LOG_GONE when *checkpoint* stands before the oldest commit that there is.
    """
    bronze = run.lake.table("bronze", entity.name)
    reader = spark.readStream.format("delta")
    reader = reader.option("maxBytesPerTrigger", run.config.streams.max_bytes_per_trigger)
    names = storage.names(spark, f"{bronze.path}/_delta_log")
    oldest = min(one for one in map(version_of, names) if one is not None)
    if checkpoint is not None and checkpoint.committed is not None:
        path = run.lake.table("silver", entity.name).checkpoint
        _, ended = checkpoints.source_offsets(spark, path, checkpoint.committed)
        following = int(json.loads(ended)["reservoirVersion"])
        if following < oldest:
            raise _gone(entity.name, following, oldest)
    if oldest == 0:
        reader = reader.option("startingVersion", "0")
    return reader.load(bronze.path)


def _gone(entity: str, version: int, oldest: int) -> TableError:
    refused = ("quarantine", entity), ("quarantine", table_of(entity))
    tables = [("silver", entity), *refused]
    trails = [f"audit/{layer}.{name}" for layer, name in tables]
    folders = [f"{layer}/{name}" for layer, name in tables]
    checks = f"audit/silver.{entity}.validations"
    return TableError(
        "BRONZE_LOG_GONE",
        stream=f"silver.{entity}",
        table=f"bronze.{entity}",
        version=version,
        oldest=oldest,
        folders=", ".join([f"_checkpoints/silver.{entity}", *folders, *trails, checks]),
    )
