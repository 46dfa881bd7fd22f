"""Many small files of a table into few, so that reading and MERGE stay as fast as on the first day.

Each batch adds files of its own, and a MERGE looks into all of them. Delta's OPTIMIZE puts them
together; rows and order stay as they are, the commit says that no data changed, and older versions
stay readable for as long as `lake.time_travel` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.audit.records import USER_METADATA, upkeep_metadata

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.tables import Table

# After so many batches a table is looked at.
COMPACT_AFTER = 50
MEGABYTE = 1024 * 1024
# Files smaller than the one are put together, into files of at most the other. A file that has
# grown past the first is left alone, or each compaction would write the whole table once more.
SMALL, LARGE = 16 * MEGABYTE, 64 * MEGABYTE


def is_due(spark: SparkSession, table: Table) -> bool:
    """Say whether *table* has as many small files as so many batches leave, whoever wrote them."""
    if table.version(spark) < COMPACT_AFTER:
        return False
    return table.files(spark).where(F.col("size") < SMALL).count() >= COMPACT_AFTER


def compact(spark: SparkSession, table: Table, run_id: str) -> int:
    """Put the small files of *table* together, and return how many there were.

    One commit for the whole table, with a record of its own and no transaction; none where there
    is nothing to do. Only the owner of the table's stream may call it, and of a table that is
    merged into only between two batches: a MERGE that reads a file which is gone would fail.
    """
    own = spark.newSession()  # its settings are no other's
    for key, value in {
        "spark.databricks.delta.optimize.minFileSize": str(SMALL),
        "spark.databricks.delta.optimize.maxFileSize": str(LARGE),
        USER_METADATA: upkeep_metadata(table.name, run_id, "optimize"),
    }.items():
        own.conf.set(key, value)
    done = table.delta(own).optimize().executeCompaction().select("metrics.numFilesRemoved")
    return int(done.collect()[0][0])
