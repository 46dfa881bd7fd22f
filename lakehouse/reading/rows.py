"""Rows of the lake's tables, asked for in the SQL of delta-rs: no JVM."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
from deltalake.exceptions import DeltaError, TableNotFoundError

from lakehouse.errors import TableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Located(Protocol):
    """What says where the tables of a lake lie: its settings do, and its catalog."""

    @property
    def location(self) -> str:
        """The root of the lake."""


def opened(lake: Located, layer: str, name: str) -> DeltaTable | None:
    """Return the table *name* of *layer* at its newest version; None where there is none.

    Raises:
        TableError: TABLE_UNREADABLE.
    """
    path = f"{lake.location}/{layer}/{name}"
    try:
        return DeltaTable(path)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise unreadable(path, error) from error


def demanded(lake: Located, layer: str, name: str) -> DeltaTable:
    """Return the table as `opened` does.

    Raises:
        TableError: TABLE_MISSING or TABLE_UNREADABLE.
    """
    found = opened(lake, layer, name)
    if found is None:
        raise TableError(
            "TABLE_MISSING",
            table=f"{layer}.{name}",
            path=f"{lake.location}/{layer}/{name}",
            reason="no stream has made it yet",
            cure=f"run `lakehouse start all --entity {name}` first",
        )
    return found


def ask(sql: str, **tables: DeltaTable | None) -> list[dict[str, Any]]:
    """Return the rows that *sql* selects from *tables*; none where one of them does not exist.

    Raises:
        TableError: TABLE_UNREADABLE.
    """
    there = {name: table for name, table in tables.items() if table is not None}
    if len(there) < len(tables):
        return []
    _, batches = streamed(sql, **there)
    return [row for batch in batches for row in listed(batch)]


def streamed(sql: str, **tables: DeltaTable) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the rows that *sql* selects from *tables*, in Arrow and a batch at a time.

    Raises:
        TableError: TABLE_UNREADABLE, here or while the batches are read.
    """
    paths = ", ".join(table.table_uri for table in tables.values())
    engine = QueryBuilder()
    for name, table in tables.items():
        engine.register(name, table)
    try:
        # Not `pa.table`, which imports pandas to see whether it was given a frame of it.
        reader = pa.RecordBatchReader.from_stream(engine.execute(sql))
    except (DeltaError, OSError) as error:
        raise unreadable(paths, error) from error
    return reader.schema, _each(reader, paths)


def _each(reader: pa.RecordBatchReader, paths: str) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except (pa.ArrowException, OSError) as error:
        raise unreadable(paths, error) from error


def unreadable(path: str, error: Exception) -> TableError:
    """Return the error that says why the table or file at *path* cannot be read."""
    return TableError("TABLE_UNREADABLE", table=path, reason=first_line(error))


def listed(rows: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return *rows* as dictionaries; times are in UTC.

    As `to_pylist` would, which imports pandas for the first time that it meets: a third of a
    second.
    """
    columns = [
        [None if n is None else EPOCH + timedelta(microseconds=n) for n in micros(column)]
        if pa.types.is_timestamp(column.type)
        else column.to_pylist()
        for column in rows.columns
    ]
    names = rows.schema.names
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def micros(times: pa.Array) -> list[int | None]:
    """Return *times* as microseconds since 1970."""
    found: list[int | None] = times.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    return found
