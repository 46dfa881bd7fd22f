"""Tables whose files have deletion vectors: the rows that these leave, wherever rows are read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake

import lakehouse
from lakehouse import cli
from lakehouse.errors import TableError
from lakehouse.lake.table import Table
from lakehouse.reading import engine, vectors
from lakehouse.reading.diff import diff
from lakehouse.reading.query import query
from tests import planted
from tests.conftest import CONF

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Version 1 has a vector of two rows, version 2 another one of the same file.
LEFT = {0: "abcdef", 1: "abdf", 2: "adf"}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake of silver.matches in one file, of which two versions mark rows as gone."""
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    path = tmp_path / "silver" / "matches"
    rows = planted.matches(*((name, "live", n, n) for n, name in enumerate("abcdef")))
    write_deltalake(path, rows)
    planted.stamp(path, (), planted.SILVER)
    planted.mark(path, 2, 4)
    planted.mark(path, 1, 2, 4)
    return tmp_path


def keys(rows: pa.Table) -> str:
    return "".join(sorted(rows["match_id"].to_pylist()))


def test_a_query_leaves_out_what_a_vector_marks(lake: Path) -> None:
    for version, left in LEFT.items():
        found = query(planted.catalog(lake), "FROM silver.matches", as_of=version)

        assert (keys(found.rows), found.versions) == (left, {"silver.matches": version})


def test_one_statement_can_read_such_a_table_several_times(lake: Path) -> None:
    sql = """
        SELECT match_id FROM silver.matches a JOIN "silver.matches@v1" b USING (match_id)
        WHERE b.team_1_gold > 0 AND EXISTS (FROM silver.matches c WHERE c.match_id = a.match_id)
        UNION ALL FROM (SELECT match_id FROM "silver.matches@v0" LIMIT 1)
    """
    assert keys(query(planted.catalog(lake), sql).rows) == "adf"


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 2), (0, 2), (2, 0), (2, 2)])
def test_a_file_of_two_vectors_is_not_the_same_rows(lake: Path, before: int, after: int) -> None:
    found = diff(planted.catalog(lake).table("silver.matches"), before, after)

    added, removed = set(LEFT[after]) - set(LEFT[before]), set(LEFT[before]) - set(LEFT[after])
    assert (found.added, found.removed, found.changed) == (len(added), len(removed), 0)
    assert set(found.rows["match_id"].to_pylist()) == added | removed


def test_each_form_in_python_has_the_rows_that_are_left(lake: Path) -> None:  # noqa: ARG001
    silver = lakehouse.open(CONF).silver("matches")

    for version, left in LEFT.items():
        then = silver.at(version=version)
        assert keys(then.arrow()) == left
        assert sorted(then.pandas("match_id").match_id) == list(left)
        assert then.polars().sort("match_id")["match_id"].to_list() == list(left)
        assert keys(then.duckdb().to_arrow_table()) == left
    joined = silver.duckdb().set_alias("a").join(silver.duckdb().set_alias("b"), "match_id")
    assert len(joined.fetchall()) == 3
    assert silver.arrow("status", "match_id").column_names == ["status", "match_id"]
    assert silver.arrow().schema == silver.at(version=0).arrow().schema


@pytest.mark.usefixtures("lake")
def test_the_commands_answer_of_such_a_table() -> None:
    for command in (
        ("query", "SELECT match_id FROM silver.matches"),
        ("diff", "silver.matches", "1", "2"),
    ):
        result = CliRunner().invoke(cli.lakehouse, ["--conf", str(CONF), *command, "--json"])

        assert result.exit_code == 0, result.exception
        assert len(json.loads(result.stdout).get("rows", "abc")) == 3


def test_every_type_is_what_it_is_without_vectors(tmp_path: Path) -> None:
    path = tmp_path / "silver" / "matches"
    kinds = {
        "match_id": pa.string(),
        "n": pa.int64(),
        "small": pa.int16(),
        "share": pa.float32(),
        "money": pa.decimal128(12, 2),
        "day": pa.date32(),
        "at": pa.timestamp("us", "UTC"),
        "local": pa.timestamp("us"),
        "raw": pa.binary(),
        "on": pa.bool_(),
        "tags": pa.list_(pa.string()),
        "team": pa.struct([("name", pa.string()), ("gold", pa.int32())]),
        "picks": pa.map_(pa.string(), pa.int64()),
        'odd "name"': pa.string(),
        "Capital": pa.string(),
    }
    row = {
        "n": 7,
        "small": 1,
        "share": 0.5,
        "money": Decimal("1.25"),
        "day": date(2026, 1, 31),
        "at": datetime(2026, 1, 31, 10, tzinfo=UTC),
        "local": datetime(2026, 1, 31, 10),  # noqa: DTZ001 - local by intent
        "raw": b"\xff",
        "on": True,
        "tags": ["x", None],
        "team": {"name": "y", "gold": None},
        "picks": [("z", 1)],
        'odd "name"': "q",
        "Capital": "C",
    }
    fields = [pa.field(name, kind, nullable=name != "n") for name, kind in kinds.items()]
    rows = [{"match_id": "a", **row}, {"match_id": "b", "n": 0}, {"match_id": "c", **row}]
    write_deltalake(path, pa.Table.from_pylist(rows, pa.schema(fields)), partition_by=["match_id"])
    table = planted.catalog(tmp_path).table("silver.matches")
    before = DeltaTable(path)
    same = engine.dataset(table, before).to_table().sort_by("match_id")

    found = vectors.Marked(before)

    assert found.schema == same.schema
    assert found.to_table().sort_by("match_id").equals(same)
    with engine.over(marked=found, plain=engine.dataset(table, before)) as connection:
        kinds_of = {name: connection.table(name).types for name in ("marked", "plain")}
        both = connection.sql("FROM marked EXCEPT ALL FROM plain").fetchall()
    assert (kinds_of["marked"], both) == (kinds_of["plain"], [])


READERS: list[Callable[[Table], object]] = [
    Table.arrow,
    Table.polars,
    Table.duckdb,
    lambda table: table.lake.query("FROM silver.matches"),
    lambda table: table.diff(0, 2),
]


@pytest.mark.parametrize("read", READERS)
def test_a_data_file_of_such_a_table_that_is_gone_is_named(
    lake: Path, read: Callable[[Table], object]
) -> None:
    for file in (lake / "silver" / "matches").glob("*.parquet"):
        file.unlink()

    with pytest.raises(TableError) as found:
        read(lakehouse.open(CONF).silver("matches"))

    assert found.value.code == "TABLE_UNREADABLE"
    assert ".parquet" in found.value.message.why
