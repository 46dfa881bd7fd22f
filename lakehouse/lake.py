"""A lake for notebooks and programs: its tables as they are and as they were, without Spark.

    import lakehouse

    lake = lakehouse.open("conf")
    lake.silver("matches").at("2026-01-31 10:00").pandas()
    lake.query("SELECT status, count(*) FROM silver.matches GROUP BY ALL").polars()

Nothing here writes to the lake. Times are UTC.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lakehouse import entities
from lakehouse.config import load
from lakehouse.reading import tables, versions
from lakehouse.reading.frames import Rows

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from deltalake import DeltaTable

    from lakehouse.reading.diff import Diff
    from lakehouse.reading.schema import Schema
    from lakehouse.reading.status import Status
    from lakehouse.reading.story import Story, Whereabouts
    from lakehouse.reading.tables import Catalog
    from lakehouse.reading.versions import AsOf
    from lakehouse.settings import Config

REASONS = """
SELECT code AS reason, count(*) AS messages
FROM (SELECT unnest(list_distinct([one.code FOR one IN reasons])) AS code FROM {table})
GROUP BY code ORDER BY messages DESC, reason
"""


@dataclass(frozen=True, repr=False)
class Changes(Rows):
    """The rows that differ between two versions, as Delta's change data feed has them.

    `found` says how many were added, changed, removed and merely touched, and by which keys.
    """

    found: Diff


@dataclass(frozen=True)
class Table:
    """A table of a lake, now or as it was. Each call reads it anew, unless it is `at` something.

    Raises, in what reads: TableError (TABLE_MISSING, VERSION_GONE or TABLE_UNREADABLE).
    """

    lake: Lake
    source: tables.Table
    as_of: AsOf = None

    def __repr__(self) -> str:
        if isinstance(self.as_of, datetime):
            return f"<{self.source.name} at {versions.stamp(self.as_of)}>"
        return f"<{self.source.name}{'' if self.as_of is None else f' version {self.as_of}'}>"

    def at(self, time: str | datetime | None = None, *, version: int | None = None) -> Self:
        """Return the table as it was at a *time*, or in a *version*.

        Raises:
            ConfigError: BAD_TIME.
        """
        return replace(self, as_of=_as_of(time, version))

    @property
    def version(self) -> int:
        """The version that is read: the newest, or the one that was asked for."""
        return versions.chosen(versions.log(self.source), self.as_of)

    def schema(self) -> Schema:
        """Return its columns: name, type, comment, and which of them tell rows apart."""
        from lakehouse.reading.schema import schema

        return schema(self.source, self.as_of)

    def history(self, limit: int | None = 1_000) -> Rows:
        """Return its newest *limit* versions, or all, the newest first, a row for each commit.

        `readable` until at least `until`, or `gone` says why not; `record` is the commit's own, as
        JSON. Does not depend on what the table is `at`.
        """
        from lakehouse.reading.history import history, rows

        most = sys.maxsize if limit is None else limit
        return rows(history(self.lake.catalog, self.source, limit=most))

    def diff(
        self, before: int | str | datetime, after: int | str | datetime, *, marks: bool = False
    ) -> Changes:
        """Return what differs between two versions or times, whatever the table is `at`.

        With *marks* also rows in which only columns that begin with _ differ.
        """
        from lakehouse.reading.diff import diff

        found = diff(self.source, _meant(before), _meant(after), marks=marks)
        return Changes(found.rows, found)

    def arrow(self, *columns: str) -> pa.Table:
        """Return its rows as an Arrow table: all *columns*, or those that are named."""
        return self._rows(columns).arrow()

    def pandas(self, *columns: str) -> pd.DataFrame:
        """Return its rows as pandas has them."""
        return self._rows(columns).pandas()

    def polars(self, *columns: str) -> pl.DataFrame:
        """Return its rows as Polars has them."""
        return self._rows(columns).polars()

    def duckdb(self) -> duckdb.DuckDBPyRelation:
        """Return its rows as a DuckDB relation, which reads what it needs when it is run.

        All relations of a lake are of one connection, so they can be joined.
        """
        from lakehouse.reading import engine

        version, opened = self._opened()
        name = f"{self.source.name}@v{version}"
        self.lake.engine.register(name, engine.dataset(self.source, opened))
        return self.lake.engine.table(engine.quoted(name))

    def _opened(self) -> tuple[int, DeltaTable]:
        log = versions.log(self.source)
        version = versions.chosen(log, self.as_of)
        return version, versions.opened(log, version)

    def _rows(self, columns: tuple[str, ...]) -> Rows:
        from lakehouse.reading import engine

        _, opened = self._opened()
        return Rows(engine.dataset(self.source, opened).to_table(list(columns) or None))


@dataclass(frozen=True, repr=False)
class Silver(Table):
    """The newest valid row of each key of an entity."""

    def trace(self, *key: object, limit: int = 20) -> Story:
        """Return what became of each message of *key*, a value for each column of the key.

        Of the newest *limit* messages; as it is now, whatever the table is `at`. The same as
        `lakehouse trace ENTITY KEY` tells: printed it is that text, and `facts` is that JSON.

        Raises:
            ConfigError: BAD_KEY.
            TableError: TABLE_MISSING, of bronze; TABLE_UNREADABLE.
        """
        from lakehouse.reading.story import story

        (entity,) = entities.load_all(self.lake.config.folder, [self.source.entity])
        return story(self.lake.config.lake, entity, [str(value) for value in key], limit)


@dataclass(frozen=True, repr=False)
class Quarantine(Table):
    """The messages of an entity that were refused, each with all of its reasons."""

    def by_reason(self) -> Rows:
        """Return how many messages each reason refused; one with two reasons counts under both."""
        from lakehouse.reading import engine
        from lakehouse.reading.query import query

        sql = REASONS.format(table=engine.quoted(self.source.name))
        return Rows(query(self.lake.catalog, sql, as_of=self.as_of).rows)


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

        return Rows(query(self.catalog, sql, as_of=_as_of(at, version)).rows)

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

    def status(self) -> Status:
        """Return how its streams are doing, what is in quarantine, and the last verdicts."""
        from lakehouse.reading.status import status

        return status(self.catalog, self.config.state_dir)


def open(conf: str | Path = "conf", env: str | None = None) -> Lake:  # noqa: A001 - lakehouse.open is its name
    """Return the lake that the configuration in the folder *conf* names, under *env* if given.

    Raises:
        ConfigError: as `lakehouse check` tells it.
    """
    return Lake(load(Path(conf), env))


def _as_of(time: str | datetime | None, version: int | None) -> AsOf:
    if time is not None and version is not None:
        raise TypeError("name a time or a version, not both")
    return version if time is None else versions.at(time)


def _meant(wish: int | str | datetime) -> AsOf:
    if isinstance(wish, str):
        return versions.named(wish)
    return versions.at(wish) if isinstance(wish, datetime) else wish
