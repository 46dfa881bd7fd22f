"""SQL over the tables of a lake, each at the version that is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError
from lakehouse.reading import engine, versions
from lakehouse.reading.sql import quoted
from lakehouse.reading.tables import LAYERS, STREAMED

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    import pyarrow as pa
    from deltalake import DeltaTable

    from lakehouse.reading.tables import Catalog
    from lakehouse.reading.versions import AsOf, Log

# Functions that read a table whose name is a value: it cannot be known which, nor its version.
BY_TEXT = {"query", "query_table"}
# The schema that an engine begins in.
MAIN = "memory.main"


@dataclass(frozen=True)
class Answer:
    """What a statement found. `whole`: there are no more rows. `versions` are those it read."""

    rows: pa.Table
    whole: bool
    versions: dict[str, int]


@dataclass(frozen=True)
class Source:
    """A table as a statement names it, in *parts*, and the version that is meant."""

    parts: tuple[str, ...]
    log: Log
    version: int
    opened: DeltaTable

    @property
    def label(self) -> str:
        """The name that the statement has for it, without quotes."""
        return ".".join(self.parts)


def query(
    catalog: Catalog,
    sql: str,
    *,
    as_of: AsOf = None,
    limit: int | None = None,
    seconds: float | None = None,
) -> Answer:
    """Return the rows that *sql*, one SELECT in DuckDB's dialect, finds in the tables it names.

    `silver.matches` is the newest version, or that *as_of* a version or a time; quoted names such
    as `"silver.matches@v3"` and `"silver.matches@2026-01-31 10:00"` are a version of their own. At
    most *limit* rows, within *seconds*. Nothing but the tables can be read, and nothing can be
    written. Tables that one statement names are opened one after the other: beside running streams
    they need not be of the same instant.

    Raises:
        ConfigError: BAD_QUERY, BAD_TIME or UNKNOWN_TABLE.
        TableError: TABLE_MISSING, VERSION_GONE or TABLE_UNREADABLE.
        MachineError: QUERY_STOPPED.
    """
    connection = engine.connect()
    try:
        with engine.limited(connection, None):
            named = _named(connection, sql)
        sources = [_source(catalog, parts, as_of) for parts in named]
        _refuse_what_has_no_meaning(sources, as_of)
        # A statement that names none may ask which there are.
        there = [] if named else [tuple(one.name.split(".", 2)) for one in catalog.existing()]
        bound = sources or [_source(catalog, parts, None) for parts in there]
        with engine.limited(connection, None):
            _bind(connection, bound)
        engine.lock(connection)
        try:
            with engine.limited(connection, seconds):
                found = _rows(connection, sql, limit)
        except ConfigError:
            for one in sources:  # rather than the engine's words for a file that is not there
                versions.look_for_files(one.log, one.version, one.opened)
            raise
    finally:
        connection.close()
    whole = limit is None or found.num_rows <= limit
    read = {one.label: one.version for one in sources}
    return Answer(found if whole else found.slice(0, limit), whole, read)


def _refuse_what_has_no_meaning(sources: list[Source], as_of: AsOf) -> None:
    """Refuse *as_of* where no table is named, and a number where it would be that of several."""
    if as_of is not None and not sources:
        raise ConfigError("BAD_QUERY", reason="it names no table of which there are versions")
    meant = [one.label for one in sources if "@" not in one.label]
    if isinstance(as_of, int) and len(meant) > 1:
        reason = "each of the tables that it names has versions of its own"
        raise ConfigError("BAD_QUERY", reason=f'{reason}: write "{meant[0]}@v{as_of}" in it')


def _named(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[str, ...]]:
    """Return the tables of the lake that *sql* names, each in its parts, as DuckDB parses it."""
    import duckdb

    kinds = [one.type for one in connection.extract_statements(sql)]
    if kinds == [duckdb.StatementType.MULTI]:
        reason = "a PIVOT has to name its values: PIVOT ... ON column IN (...)"
        raise ConfigError("BAD_QUERY", reason=reason)
    if kinds != [duckdb.StatementType.SELECT]:
        raise ConfigError("BAD_QUERY", reason="it is not one SELECT")
    # Not get_table_names: that resolves columns too, and there are no tables yet.
    found = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    names = sorted(set(_tables(json.loads(found[0]) if found else {})))
    # To DuckDB names that differ in capitals only are the same.
    alike = {tuple(part.lower() for part in parts): parts for parts in names}
    return sorted(parts for parts in alike.values() if _is_ours(".".join(parts)))


def _is_ours(name: str) -> bool:
    layer, dot, _ = name.partition(".")
    return bool(dot) and layer.lower() in LAYERS


def _tables(node: Any) -> Iterator[tuple[str, ...]]:
    """Yield each table that a parsed statement names, in its parts.

    Raises:
        ConfigError: BAD_QUERY, where it has a table's name in a value.
    """
    if isinstance(node, dict):
        if node.get("type") == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name in BY_TEXT:
                reason = f"{name}() hides which tables it reads: name them outside of it"
                raise ConfigError("BAD_QUERY", reason=reason)
        if node.get("type") == "BASE_TABLE":
            named = (node["catalog_name"], node["schema_name"], node["table_name"])
            yield tuple(part for part in named if part)
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from _tables(one)


def _source(catalog: Catalog, parts: tuple[str, ...], as_of: AsOf) -> Source:
    name, _, wish = ".".join(parts).partition("@")
    log = versions.log(catalog.table(name.lower()))
    version = versions.chosen(log, versions.named(wish) if wish else as_of)
    return Source(parts, log, version, versions.opened(log, version))


def _bind(connection: duckdb.DuckDBPyConnection, sources: list[Source]) -> None:
    """Give *connection* each of the *sources* by its name, and the layers as schemas."""
    connection.execute("ATTACH ':memory:' AS audit")
    for layer in STREAMED:
        connection.execute(f"CREATE SCHEMA {layer}; CREATE SCHEMA audit.{layer}")
    for source in sources:
        *schema, name = source.parts
        connection.execute(f"USE {'.'.join(map(quoted, schema)) or MAIN}")
        # Not a registered table with a view of it: both would show among the tables.
        rows = engine.dataset(source.log.table, source.opened)
        connection.from_arrow(rows).create_view(name, replace=False)
    connection.execute(f"USE {MAIN}")


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, limit: int | None) -> pa.Table:
    # So that each column has a name of its own: two of one name become `a` and `a_1`.
    relation = connection.sql(sql).select("*")
    return (relation if limit is None else relation.limit(limit + 1)).to_arrow_table()
