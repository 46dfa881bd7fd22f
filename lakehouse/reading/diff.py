"""What differs between two versions of a table, row by row.

Only files that one of the two has and the other has not are read: the rows of a file that both
have are the same. Not so where files can have deletion vectors: both versions are read whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import TableError
from lakehouse.reading import engine, versions
from lakehouse.reading.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import pyarrow as pa
    from pyarrow.dataset import Dataset

    from lakehouse.reading.tables import Table
    from lakehouse.reading.vectors import Marked
    from lakehouse.reading.versions import AsOf

CHANGE = "_change_type"
# Names of our own beside the table's columns, which can have any other.
OLD, NEW = "_lakehouse_old", "_lakehouse_new"
KIND, PLACE, SIDE = "_lakehouse_kind", "_lakehouse_place", "_lakehouse_side"
# Tells a row that is not there from one of NULLs.
THERE = "_lakehouse_there"


@dataclass(frozen=True)
class Diff:
    """The way from one version of *table* to another.

    `rows` are as Delta's change data feed has them, in order of the keys: the table's columns,
    after `_change_type`, which is insert, delete, or update_preimage and then update_postimage. A
    row is `touched`, and not among them, when only columns that begin with _ differ: a newer
    message said the same. `whole`: `rows` holds all changes. `keys` tell one row from another;
    where a table has none, all the columns do that both versions have.
    """

    table: str
    before: int
    after: int
    before_at: datetime
    after_at: datetime
    keys: tuple[str, ...]
    added: int
    changed: int
    removed: int
    touched: int
    rows: pa.Table
    whole: bool


def diff(
    table: Table, before: AsOf, after: AsOf, *, limit: int | None = None, marks: bool = False
) -> Diff:
    """Return what the version *after* has that the one *before* has not, and the other way round.

    At most *limit* changes are among its rows; all are counted. With *marks* a row that is merely
    touched counts as changed.

    Raises:
        TableError: TABLE_MISSING, VERSION_GONE, TABLE_UNREADABLE, or KEYS_CHANGED where a rebuild
            has come between.
        MachineError: QUERY_STOPPED, for memory.
    """
    log = versions.log(table)
    numbers = [versions.chosen(log, wanted) for wanted in (before, after)]
    opened = [versions.opened(log, number) for number in numbers]
    for number, one in zip(numbers, opened, strict=True):
        versions.look_for_files(log, number, one)
    old, new = (engine.dataset(table, one) for one in opened)
    sides = Sides(tuple(old.schema.names), tuple(new.schema.names))
    properties = {name: value or "" for name, value in opened[1].metadata().configuration.items()}
    keys = table.keys(properties, sides.columns) or sides.common
    _demand(keys, old, new, table.name)
    with engine.over(old=_apart(old, new), new=_apart(new, old)) as connection:
        connection.execute(_pairs(sides, keys, marks=marks))
        kinds = f"SELECT {KIND}, count(*) FROM pairs GROUP BY ALL"  # noqa: S608 - a constant
        counted = connection.execute(kinds).fetchall()
        rows = connection.sql(_images(sides, keys, limit)).to_arrow_table()
    found = dict(counted)
    added, changed, removed, touched = (
        int(found.get(kind, 0)) for kind in ("insert", "update", "delete", "touch")
    )
    return Diff(
        table.name,
        *(numbers[0], numbers[1], log.time(numbers[0]), log.time(numbers[1]), keys),
        *(added, changed, removed, touched),
        rows,
        whole=limit is None or added + changed + removed <= limit,
    )


def _demand(keys: Sequence[str], old: Dataset | Marked, new: Dataset | Marked, table: str) -> None:
    """Raise unless both versions have all *keys*, each of the same type."""
    kinds = [{field.name: field.type for field in one.schema} for one in (old, new)]
    for key in keys:
        before, after = (kind.get(key) for kind in kinds)
        if before != after:
            old_kind, new_kind = (str(kind or "missing") for kind in (before, after))
            raise TableError("KEYS_CHANGED", table=table, key=key, before=old_kind, after=new_kind)


@dataclass(frozen=True)
class Sides:
    """The columns of both versions: a stream adds some, so one version can lack what the other has.

    A column that is missing is NULL, of the type that the other version has.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column: those of the newer version, then what only the older has."""
        return (*self.new, *(name for name in self.old if name not in self.new))

    @property
    def common(self) -> tuple[str, ...]:
        """The columns that both versions have."""
        return tuple(name for name in self.new if name in self.old)

    def before(self, name: str) -> str:
        """Return the SQL for the value that a column had."""
        there = f"{OLD}.{quoted(name)}"
        return there if name in self.old else f"CASE WHEN FALSE THEN {NEW}.{quoted(name)} END"

    def after(self, name: str) -> str:
        """Return the SQL for the value that a column has."""
        there = f"{NEW}.{quoted(name)}"
        return there if name in self.new else f"CASE WHEN FALSE THEN {OLD}.{quoted(name)} END"


def _apart(one: Dataset | Marked, other: Dataset | Marked) -> Dataset | Marked:
    """Return the rows of the files that *one* has and the *other* has not.

    All of its rows where one of them can have deletion vectors: then a file that both have need
    not be the same rows.
    """
    from pyarrow.dataset import FileSystemDataset

    from lakehouse.reading.vectors import Marked

    if isinstance(one, Marked) or isinstance(other, Marked):
        return one
    known = {fragment.path for fragment in other.get_fragments()}
    files = [fragment for fragment in one.get_fragments() if fragment.path not in known]
    return FileSystemDataset(files, one.schema, one.format, one.filesystem)


def _pairs(sides: Sides, keys: Sequence[str], *, marks: bool) -> str:
    """Return the SQL that pairs the rows of `old` and `new`, and says what became of each."""
    both = ((f"{OLD}.{quoted(key)}", f"{NEW}.{quoted(key)}") for key in keys)
    same = " AND ".join(f"{old} IS NOT DISTINCT FROM {new}" for old, new in both)

    def differ(names: list[str]) -> str:
        each = (f"{sides.before(one)} IS DISTINCT FROM {sides.after(one)}" for one in names)
        return " OR ".join(each) or "FALSE"

    content = [name for name in sides.columns if marks or not name.startswith("_")]
    rest = [name for name in sides.columns if name not in content]
    return f"""
        CREATE TABLE pairs AS FROM (
            SELECT {OLD}, {NEW}, CASE
                WHEN {OLD}.{THERE} IS NULL THEN 'insert'
                WHEN {NEW}.{THERE} IS NULL THEN 'delete'
                WHEN {differ(content)} THEN 'update'
                WHEN {differ(rest)} THEN 'touch' END AS {KIND}
            FROM (SELECT *, TRUE AS {THERE} FROM old) AS {OLD}
            FULL JOIN (SELECT *, TRUE AS {THERE} FROM new) AS {NEW} ON {same})
        WHERE {KIND} IS NOT NULL"""  # noqa: S608 - names are quoted


def _images(sides: Sides, keys: Sequence[str], limit: int | None) -> str:
    """Return the SQL for the changes among the pairs, in order of the keys, at most *limit*."""
    order = ", ".join(f"coalesce({OLD}.{quoted(key)}, {NEW}.{quoted(key)})" for key in keys)
    old = ", ".join(f"{sides.before(name)} AS {quoted(name)}" for name in sides.columns)
    new = ", ".join(f"{sides.after(name)} AS {quoted(name)}" for name in sides.columns)
    columns = ", ".join(map(quoted, (CHANGE, *sides.columns)))
    most = "" if limit is None else f"QUALIFY {PLACE} <= {limit:d}"
    return f"""
        WITH kept AS (
            SELECT *, row_number() OVER (ORDER BY {order}) AS {PLACE}
            FROM pairs WHERE {KIND} <> 'touch' {most})
        SELECT {columns} FROM (
            SELECT if({KIND} = 'delete', {KIND}, 'update_preimage') AS {CHANGE}, {old},
                {PLACE}, 0 AS {SIDE}
            FROM kept WHERE {KIND} <> 'insert'
            UNION ALL
            SELECT if({KIND} = 'insert', {KIND}, 'update_postimage'), {new}, {PLACE}, 1
            FROM kept WHERE {KIND} <> 'delete')
        ORDER BY {PLACE}, {SIDE}"""  # noqa: S608 - names are quoted
