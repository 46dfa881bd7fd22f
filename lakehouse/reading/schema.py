"""The columns of a table, as a version of it has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.reading import versions

if TYPE_CHECKING:
    from datetime import datetime

    from lakehouse.reading.tables import Table
    from lakehouse.reading.versions import AsOf

# Where Delta's word for a type is not that of a schema.ddl.
DDL = {"integer": "INT", "long": "BIGINT", "short": "SMALLINT", "byte": "TINYINT"}


@dataclass(frozen=True)
class Column:
    """One column; `key`: it is of those that tell one row from another."""

    name: str
    type: str
    nullable: bool
    comment: str | None
    key: bool
    partition: bool


@dataclass(frozen=True)
class Schema:
    """The columns of one version of a table."""

    table: str
    version: int
    at: datetime
    columns: tuple[Column, ...]


def schema(table: Table, as_of: AsOf = None) -> Schema:
    """Return the columns of *table*, now or as of a version or a time.

    Raises:
        TableError: TABLE_MISSING or VERSION_GONE.
    """
    log = versions.log(table)
    wanted = versions.chosen(log, as_of)
    opened = versions.opened(log, wanted)
    fields = json.loads(opened.schema().to_json())["fields"]
    metadata = opened.metadata()
    properties = {name: value or "" for name, value in metadata.configuration.items()}
    keys = table.keys(properties, [one["name"] for one in fields])
    partitions = metadata.partition_columns
    columns = tuple(_column(one, keys, partitions) for one in fields)
    return Schema(table.name, wanted, log.time(wanted), columns)


def ddl(kind: Any) -> str:
    """Return a type of Delta's, as JSON has it, in the words of a schema.ddl."""
    if isinstance(kind, str):
        return DDL.get(kind, kind.upper())
    if kind["type"] == "array":
        return f"ARRAY<{ddl(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"MAP<{ddl(kind['keyType'])}, {ddl(kind['valueType'])}>"
    fields = (f"{one['name']}: {ddl(one['type'])}" for one in kind["fields"])
    return f"STRUCT<{', '.join(fields)}>"


def _column(field: dict[str, Any], keys: tuple[str, ...], partitions: list[str]) -> Column:
    name = field["name"]
    return Column(
        name,
        ddl(field["type"]),
        bool(field["nullable"]),
        field["metadata"].get("comment"),
        name in keys,
        name in partitions,
    )
