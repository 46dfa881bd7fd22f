"""A table of a lake for notebooks and programs: its rows, its versions, what differs in them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from lakehouse import entities
from lakehouse.config import nearest
from lakehouse.errors import ConfigError
from lakehouse.reading import versions
from lakehouse.reading.frames import Rows
from lakehouse.reading.sql import quoted

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    from deltalake import DeltaTable

    from lakehouse.lake import Lake
    from lakehouse.reading.diff import Diff
    from lakehouse.reading.quarantine import Desk
    from lakehouse.reading.schema import Schema
    from lakehouse.reading.story import Story
    from lakehouse.reading.tables import Table as Source
    from lakehouse.reading.versions import AsOf, Log

STATUSES = pa.schema({"status": pa.string(), "messages": pa.int64()})
REASONS = pa.schema({"reason": pa.string(), "messages": pa.int64(), "unsettled": pa.int64()})


@dataclass(frozen=True, repr=False)
class Changes(Rows):
    """The rows that differ between two versions, as Delta's change data feed has them.

    `found` says how many were added, changed, removed and merely touched, and by which keys.
    """

    found: Diff


@dataclass(frozen=True)
class Table:
    """A table of a lake, now or as it was. Each call reads it anew, unless it is `at` something.

    Raises, in what reads: TableError (TABLE_MISSING, VERSION_GONE or TABLE_UNREADABLE), and
    ConfigError (BAD_QUERY) for a column that the version has not.
    """

    lake: Lake
    source: Source
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
        return replace(self, as_of=meant(time, version))

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

        found = diff(self.source, _named(before), _named(after), marks=marks)
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

        All relations of a lake are of one connection, so they can be joined. Of a file that was
        removed after this call, or cannot be read, DuckDB tells in errors of its own.
        """
        from lakehouse.reading import engine

        log, version, opened = self._opened()
        versions.look_for_files(log, version, opened)
        name = f"{self.source.name}@v{version}"
        self.lake.engine.register(name, engine.dataset(self.source, opened))
        return self.lake.engine.table(quoted(name))

    def _opened(self) -> tuple[Log, int, DeltaTable]:
        log = versions.log(self.source)
        version = versions.chosen(log, self.as_of)
        return log, version, versions.opened(log, version)

    def _rows(self, columns: tuple[str, ...]) -> Rows:
        from lakehouse.reading import engine

        log, version, opened = self._opened()
        found = engine.dataset(self.source, opened)
        for name in columns:
            if name not in found.schema.names:
                said = f"version {version} of {self.source.name} has no column '{name}'"
                near = nearest(name, found.schema.names)
                raise ConfigError("BAD_QUERY", reason=f"{said}; {near}")
        try:
            return Rows(found.to_table(list(columns) or None))
        except (OSError, pa.ArrowException) as error:
            versions.look_for_files(log, version, opened)
            raise versions.unreadable(log.table, version, error) from error


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
    """The messages of an entity that were refused, each with all of its reasons.

    Whatever it is `at`, a status is that of the last decision there is now, and open without one.
    """

    def by_reason(self) -> Rows:
        """Return how many messages each reason refused, and how many of them are unsettled.

        Those were neither released nor discarded. A message with two reasons counts under both.
        """
        from lakehouse.reading.quarantine import Wanted, reasons

        found = [
            {"reason": one["code"], "messages": one["messages"], "unsettled": one["unsettled"]}
            for one in reasons(self._desk(), Wanted())
        ]
        return Rows(pa.Table.from_pylist(found, REASONS))

    def by_status(self) -> Rows:
        """Return how many messages are open, released, refused again and discarded."""
        from lakehouse.reading.quarantine import Wanted, statuses

        found = statuses(self._desk(), Wanted())
        rows = [{"status": status, "messages": n} for status, n in found.items()]
        return Rows(pa.Table.from_pylist(rows, STATUSES))

    def _desk(self) -> Desk:
        from lakehouse.reading.decisions import beside
        from lakehouse.reading.quarantine import Desk

        _, _, opened = self._opened()
        # Decisions last: a message was refused before it was decided about.
        decided = beside(self.lake.config.lake, self.source.entity)
        return Desk(self.source.entity, opened, decided)


def meant(time: str | datetime | None, version: int | None) -> AsOf:
    """Return what a *time* or a *version* means; None is the newest.

    Raises:
        ConfigError: BAD_TIME.
    """
    if time is not None and version is not None:
        raise TypeError("name a time or a version, not both")
    return version if time is None else versions.at(time)


def _named(wish: int | str | datetime) -> AsOf:
    if isinstance(wish, str):
        return versions.named(wish)
    return versions.at(wish) if isinstance(wish, datetime) else wish
