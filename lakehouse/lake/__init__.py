"""A lake for notebooks and programs: its tables as they are and as they were.

Without Spark, unless its session is asked for.

    import lakehouse

    lake = lakehouse.open("conf")
    lake.silver("matches").at("2026-01-31 10:00").pandas()
    lake.query("SELECT status, count(*) FROM silver.matches GROUP BY ALL").polars()

Nothing here writes to the lake. Times are UTC.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import entities
from lakehouse.config import load
from lakehouse.lake.table import Quarantine, Silver, Table, meant
from lakehouse.reading import tables
from lakehouse.reading.frames import Rows

if TYPE_CHECKING:
    from datetime import datetime

    import duckdb
    from pyspark.sql import SparkSession

    from lakehouse.reading.status import Status
    from lakehouse.reading.story import Whereabouts
    from lakehouse.reading.tables import Catalog
    from lakehouse.settings import Config


@dataclass(frozen=True)
class Lake:
    """A lake, by the configuration that its streams run with. `open` makes one."""

    config: Config

    def __repr__(self) -> str:
        return f"<lake at {self.config.lake.location}>"

    @cached_property
    def catalog(self) -> Catalog:
        """The names of its tables, and where they lie."""
        return tables.catalog(self.config)

    @cached_property
    def engine(self) -> duckdb.DuckDBPyConnection:
        """The DuckDB that its relations belong to."""
        from lakehouse.reading import engine

        return engine.connect()

    def tables(self) -> list[str]:
        """Return the names of the tables that are there."""
        return [one.name for one in self.catalog.existing()]

    def table(self, name: str) -> Table:
        """Return the table of that *name*, such as `silver.matches`.

        Raises:
            ConfigError: UNKNOWN_TABLE.
        """
        return Table(self, self.catalog.table(name))

    def bronze(self, entity: str) -> Table:
        """Return every message of *entity*, as it came."""
        return self.table(f"bronze.{entity}")

    def silver(self, entity: str) -> Silver:
        """Return the newest valid row of each key of *entity*."""
        return Silver(self, self.catalog.table(f"silver.{entity}"))

    def quarantine(self, entity: str) -> Quarantine:
        """Return the refused messages of *entity*."""
        return Quarantine(self, self.catalog.table(f"quarantine.{entity}"))

    def audit(self, table: str) -> Table:
        """Return the trail of *table*, such as `silver.matches`: what its commits said.

        It can be some batches behind the table; `history` of the table itself is not.
        """
        return self.table(f"audit.{table}")

    def query(
        self, sql: str, *, at: str | datetime | None = None, version: int | None = None
    ) -> Rows:
        """Return the rows that *sql* finds, one SELECT in DuckDB's dialect.

        Tables are named as `silver.matches`, or `"silver.matches@v3"` for a version of its own.

        Raises:
            ConfigError: BAD_QUERY, BAD_TIME or UNKNOWN_TABLE.
            TableError: TABLE_MISSING, VERSION_GONE or TABLE_UNREADABLE.
        """
        from lakehouse.reading.query import query

        return Rows(query(self.catalog, sql, as_of=meant(at, version)).rows)

    def trace(self, position: str) -> Whereabouts:
        """Return where the message at *position*, TOPIC:PARTITION:OFFSET, went.

        The same as `lakehouse trace` tells: its own text is that text, and `facts` is that JSON.
        The traces of a key are those of `silver(entity).trace(key)`.

        Raises:
            ConfigError: BAD_POSITION or UNKNOWN_TOPIC.
            TableError: TABLE_MISSING, of bronze; TABLE_UNREADABLE.
        """
        from lakehouse.reading.story import whereabouts

        known = entities.load_all(self.config.folder)
        return whereabouts(self.config.lake, known, position)

    def spark(self) -> SparkSession:
        """Return the Spark session of this process, in which the tables have their names.

        `SELECT ... FROM silver.matches VERSION AS OF 3`, `TIMESTAMP AS OF '2026-01-31 10:00'`, and
        joins of such. The trail of `silver.matches` is `audit.silver_matches`. Times are UTC.

        The first call starts a session, with the settings of the lake's streams: seconds. Another
        call returns the same one, and adds the tables that have come since. It ends with the
        process, or by `spark.stop()`; a session that another lake or another program has started
        here is refused. The names are in memory, and nothing is written to the lake.

        Meant to read. It prevents nothing: an INSERT, a DELETE or an OPTIMIZE would be done, and
        beside a running stream both writers can win a commit, which loses rows. Unlike `at`,
        TIMESTAMP AS OF refuses a time after the newest commit.

        Raises:
            MachineError: JAVA_MISSING, JARS_UNSOUND, SPARK_FAILED or SPARK_TAKEN.
            ConfigError: BAD_OPTION.
        """
        from lakehouse import databases

        spark = databases.spark_of(self.config)
        databases.register(spark, self.catalog)
        return spark

    def status(self) -> Status:
        """Return how its streams are doing, what is in quarantine, and the last verdicts."""
        from lakehouse.reading.status import status

        return status(self.catalog, self.config.state_dir)


def open(conf: str | Path = "conf", env: str | None = None) -> Lake:  # noqa: A001 - lakehouse.open is its name
    """Return the lake that the configuration in the folder *conf* names, under *env* if given.

    Without it LAKEHOUSE_ENV says which conf/env/NAME.toml is applied, as for the command line.

    Raises:
        ConfigError: as `lakehouse check` tells it.
    """
    return Lake(load(Path(conf), env or os.environ.get("LAKEHOUSE_ENV")))
