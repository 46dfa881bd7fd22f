"""Whether contestants wrote the same: no time counts before it is so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
from deltalake import DeltaTable, QueryBuilder

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = ("partition", '"offset"', "value")
POSITIONS = ("partition", '"offset"')


class UnequalError(Exception):
    """Two contestants wrote different rows, so their times cannot be compared."""


def fingerprint(table: Path, columns: tuple[str, ...]) -> tuple[int, int]:
    """Return how many rows a Delta table has, and a sum over them that their order leaves alone."""
    names = ", ".join(columns)
    sql = f"SELECT {names} FROM t"  # noqa: S608 - names of ours
    rows = QueryBuilder().register("t", DeltaTable(str(table))).execute(sql)
    with duckdb.connect() as db:
        db.register("found", rows)
        sql = f"SELECT count(*), coalesce(bit_xor(hash({names})), 0) FROM found"  # noqa: S608 - as above
        count, own = db.execute(sql).fetchall()[0]
    return int(count), int(own)


def demand_equal(what: str, *tables: tuple[Path, tuple[str, ...]]) -> None:
    """Return if all *tables* hold the same rows in the columns that are named for each.

    Raises:
        UnequalError: they do not.
    """
    found = {str(path): fingerprint(path, columns) for path, columns in tables}
    if len(set(found.values())) > 1:
        raise UnequalError(f"{what}: {found}")


def size(table: Path) -> int:
    """Return how many bytes the files of a table's newest version have."""
    actions = DeltaTable(str(table)).get_add_actions(flatten=True)
    return sum(actions.column("size_bytes").to_pylist())
