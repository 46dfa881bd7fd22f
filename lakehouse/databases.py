"""The tables of a lake by their names in Spark: databases of the session's own catalog.

The catalog is in memory, so the names are gone with the session, and nothing of them is in the
lake. Its databases are the layers; Spark knows no name of three parts, so the trail of
`silver.matches` is `audit.silver_matches`.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import session
from lakehouse.errors import MachineError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.reading.tables import Catalog
    from lakehouse.settings import Config


def spark_of(config: Config) -> SparkSession:
    """Return the session of this process: the one that runs, or a new one with our settings.

    What a new one keeps beside the lake, its warehouse, is a temporary folder, which goes when the
    session is no longer referred to, or with the process.

    Raises:
        MachineError: SPARK_TAKEN where one runs that reads tables in another way; and as
            `session.start`.
        ConfigError: as `session.start`.
    """
    there = session.running()
    if there is None:
        return _started(config)
    for key, value in session.REQUIRED.items():
        found = there.conf.get(key, "nothing")
        if found != value:
            raise MachineError("SPARK_TAKEN", reason=f"{key} is {found} in it, and not {value}")
    return there


def register(spark: SparkSession, lake: Catalog) -> list[str]:
    """Have *spark* know the tables of *lake* that are there; return their names in it.

    Those that it knows already stay as they are, so this may be said again when a stream has made
    another. No table is read but for its log, and none is written.

    Raises:
        MachineError: SPARK_TAKEN where it has the tables of another lake under these names.
    """
    mark = f"of the lake at {lake.location}"
    names = []
    for table in lake.existing():
        _have_database(spark, table.layer, mark)
        name = f"{table.layer}.{table.entity.replace('.', '_')}"
        if not spark.catalog.tableExists(name):
            spark.catalog.createTable(name, path=table.path, source="delta")
        names.append(name)
    return names


def _have_database(spark: SparkSession, name: str, mark: str) -> None:
    if not spark.catalog.databaseExists(name):
        text = mark.replace("\\", "\\\\").replace("'", "\\'")
        spark.sql(f"CREATE DATABASE {name} COMMENT '{text}'")
    found = spark.catalog.getDatabase(name).description
    if found != mark:
        raise MachineError("SPARK_TAKEN", reason=f"its database {name} is another: {found}")


def _started(config: Config) -> SparkSession:
    warehouse = Path(tempfile.mkdtemp(prefix="lakehouse-spark-"))
    try:
        spark = session.start(config, warehouse=warehouse)
    except BaseException:
        shutil.rmtree(warehouse)
        raise
    weakref.finalize(spark, shutil.rmtree, warehouse, ignore_errors=True)
    return spark
