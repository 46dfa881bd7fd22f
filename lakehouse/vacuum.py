"""The files that no readable version needs any more, deleted.

What may go, and who still needs it, is told by `lakehouse.reading.vacuum`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakehouse.audit.records import USER_METADATA, upkeep_metadata
from lakehouse.errors import TableError
from lakehouse.reading.tables import Table as Named
from lakehouse.reading.vacuum import plan
from lakehouse.tables import quoted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.tables import Lake, Table


def vacuum(spark: SparkSession, table: Table, lake: Lake, run_id: str) -> dict[str, Any]:
    """Have the files gone that were removed from *table* before `lake.time_travel`, and say which.

    Two commits, when it begins and when it ends, each with a record of its own; none where there is
    nothing to do. Returns the facts of its plan. Only the owner of the table's stream may call it.

    Raises:
        TableError: VACUUM_REFUSED, naming the stream that has yet to read what would go.
    """
    found = plan(Named(table.name, table.path), lake.root)
    if found.needed:
        raise TableError("VACUUM_REFUSED", table=table.name, reason=found.needed)
    if found.files:
        own = spark.newSession()  # its settings are no other's
        own.conf.set("spark.databricks.delta.vacuum.logging.enabled", "true")
        # Spark's default lists a folder in 10,000 tasks, most of them empty.
        tasks = 4 * own.sparkContext.defaultParallelism
        own.conf.set("spark.sql.sources.parallelPartitionDiscovery.parallelism", str(tasks))
        own.conf.set(USER_METADATA, upkeep_metadata(table.name, run_id, "vacuum"))
        own.sql(f"VACUUM delta.{quoted(table.path)}")
    return found.facts
