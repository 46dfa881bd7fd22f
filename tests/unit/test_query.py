"""SQL over the lake: every version by name, nothing else in reach, each value shown harmlessly."""

from __future__ import annotations

import base64
import csv
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake
from pyarrow import parquet

from lakehouse.cli import lakehouse, rows
from lakehouse.errors import LakehouseError
from lakehouse.reading.query import query
from tests import planted
from tests.conftest import CONF, corpus

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.reading.query import Answer
    from lakehouse.reading.versions import AsOf

# What a payload may hold that a terminal, a browser or a reader could be misled by.
VILE = "\x1b]0;x\x07\x1b[31m<script>alert(1)</script>\u202eabc\u2066\u200f\x00\x7f\x9b1m\r\n"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake of silver.matches in five versions, and of bronze.matches with two messages."""
    root = tmp_path / "lake"
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(root))
    planted.silver(root)
    messages = pa.table(
        {
            "value": ['{"match_id": "a", "team": {"gold": 3}}', VILE],
            "key": [b"a", b"\xff\x1b"],
            "topic": ["t", "t"],
            "topic_id": ["i", "i"],
            "partition": pa.array([0, 0], pa.int32()),
            "offset": [0, 1],
        }
    )
    write_deltalake(root / "bronze" / "matches", messages)
    planted.stamp(root / "bronze" / "matches")
    return root


ALL = "SHOW ALL TABLES"


def asked(root: Path, sql: str, **wish: Any) -> Answer:
    return query(planted.catalog(root), sql, **wish)


def found(root: Path, sql: str, **wish: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in asked(root, sql, **wish).rows.to_pylist()]


def refused(root: Path, sql: str, **wish: Any) -> LakehouseError:
    with pytest.raises(LakehouseError) as error:
        asked(root, sql, **wish)
    return error.value


def invoke(*arguments: str, **more: Any) -> Result:
    return CliRunner().invoke(lakehouse, ["--conf", str(CONF), "query", *arguments], **more)


# Which rows


@pytest.mark.parametrize(
    ("as_of", "rows"),
    [
        (None, [("b", 5), ("c", None), ("d", 7)]),
        (1, [("a", 1), ("b", 2), ("c", None)]),
        (datetime(2020, 1, 31, 10, 25, tzinfo=UTC), [("a", 1), ("b", 5), ("c", None), ("d", 7)]),
        (0, []),
    ],
)
def test_a_table_is_read_as_of_a_version_or_a_time(
    lake: Path, as_of: AsOf, rows: list[tuple[Any, ...]]
) -> None:
    sql = "SELECT match_id, team_1_gold FROM silver.matches ORDER BY ALL"

    assert found(lake, sql, as_of=as_of) == rows


def test_one_statement_reads_several_versions(lake: Path) -> None:
    sql = """
        SELECT match_id, o.status, n.status
        FROM "silver.matches@v1" o JOIN silver."matches@2020-01-31 10:20" n USING (match_id)
        WHERE o.status <> n.status
    """
    answer = asked(lake, sql)

    assert [tuple(row.values()) for row in answer.rows.to_pylist()] == [("b", "live", "finished")]
    assert answer.versions == {"silver.matches@v1": 1, "silver.matches@2020-01-31 10:20": 2}


def test_a_name_is_found_wherever_a_statement_has_one(lake: Path) -> None:
    sql = """
        WITH silver AS (FROM bronze.matches)
        SELECT (SELECT count(*) FROM Silver.MATCHES), count(*) FROM silver, "silver.matches"
        WHERE EXISTS (FROM "silver.matches@v1" WHERE match_id = 'a')
    """
    assert found(lake, sql) == [(3, 6)]


def test_names_that_differ_in_capitals_only_are_one_table(lake: Path) -> None:
    sql = "SELECT count(*) FROM silver.matches a JOIN Silver.Matches b USING (match_id)"
    twice = asked(lake, sql, as_of=1)

    assert twice.rows.to_pylist() == [{"count_star()": 3}]
    assert twice.versions == {"silver.matches": 1}
    assert asked(lake, "SELECT 1 FROM Silver.Matches", as_of=1).versions == {"Silver.Matches": 1}


def test_json_and_time_zones_work_without_a_network(lake: Path) -> None:
    sql = "SELECT value->'team'->>'gold' FROM bronze.matches WHERE json_valid(value)"
    tokyo = "started_at AT TIME ZONE 'Asia/Tokyo'"
    hour = f"SELECT DISTINCT date_trunc('hour', {tokyo}) FROM silver.matches"

    assert found(lake, sql) == [("3",)]
    assert found(lake, hour) == [(datetime(2020, 1, 31, 19, 0),)]  # noqa: DTZ001 - local by intent


def test_a_time_in_an_answer_is_utc(lake: Path) -> None:
    (kind,) = asked(lake, "SELECT started_at FROM silver.matches LIMIT 1").rows.schema.types

    assert kind == pa.timestamp("us", "UTC")
    assert found(lake, "SELECT current_setting('TimeZone')") == [("UTC",)]


def test_a_trail_is_a_table_by_its_own_name(lake: Path) -> None:
    write_deltalake(lake / "audit" / "silver.matches", pa.table({"version": [7]}))
    write_deltalake(lake / "audit" / "silver.matches.validations", pa.table({"rule": ["r"]}))

    assert found(lake, "FROM audit.silver.matches") == [(7,)]
    assert found(lake, 'FROM audit.silver."matches.validations"') == [("r",)]
    assert found(lake, 'FROM "audit.silver.matches.validations"') == [("r",)]


def test_a_statement_that_names_no_table_can_ask_which_there_are(lake: Path) -> None:
    answer = asked(lake, ALL)

    there = [(row["database"], row["schema"], row["name"]) for row in answer.rows.to_pylist()]
    assert there == [("memory", "bronze", "matches"), ("memory", "silver", "matches")]
    assert answer.versions == {}
    assert found(lake, "SHOW TABLES") == []


def test_every_table_that_is_there_is_shown(lake: Path) -> None:
    for name in ("audit/silver.matches.validations", "quarantine/matches_decisions"):
        write_deltalake(lake / name, pa.table({"rule": ["r"]}))

    there = [(r["database"], r["schema"], r["name"]) for r in asked(lake, ALL).rows.to_pylist()]
    assert ("audit", "silver", "matches.validations") in there
    assert ("memory", "quarantine", "matches_decisions") in there


def test_columns_of_one_name_are_told_apart(lake: Path) -> None:
    assert asked(lake, "SELECT 1 AS a, 2 AS a").rows.column_names == ["a", "a_1"]
    assert asked(lake, "DESCRIBE silver.matches").rows["column_name"][0].as_py() == "match_id"


def test_more_rows_than_the_limit_are_said_to_be_there(lake: Path) -> None:
    sql = "SELECT match_id FROM silver.matches ORDER BY 1"

    assert (found(lake, sql, limit=2), asked(lake, sql, limit=2).whole) == ([("b",), ("c",)], False)
    assert asked(lake, sql, limit=3).whole


# What cannot be done


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t AS SELECT 1",
        "DROP VIEW silver.matches",
        "INSERT INTO silver.matches SELECT * FROM silver.matches",
        "COPY (SELECT 1) TO '{tmp}/out.csv'",
        "EXPORT DATABASE '{tmp}/out'",
        "ATTACH '{tmp}/out.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA enable_profiling",
        "CALL pragma_version()",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
        "SELECT * FROM read_csv('{conf}/lakehouse.toml')",
        "SELECT * FROM read_text('{conf}/lakehouse.toml')",
        "SELECT * FROM read_parquet('{tmp}/lake/silver/matches/*.parquet')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM '{conf}/lakehouse.toml'",
        "SELECT * FROM sniff_csv('{conf}/lakehouse.toml')",
        "SELECT * FROM which_secret('s3://x', 's3')",
        "SELECT * FROM query('FROM read_text(''{conf}/lakehouse.toml'')')",
        "SELECT * FROM 'https://example.org/x.parquet'",
        "SELECT getenv('HOME')",
        "SELECT * FROM here",
        "SELECT nothing FROM silver.matches",
        "SELEC",
        "PIVOT silver.matches ON status USING count(*)",
        "SELECT 'é\x00é' FROM nowhere",
    ],
)
def test_nothing_else_can_be_read_and_nothing_written(lake: Path, tmp_path: Path, sql: str) -> None:
    here = pa.table({"a": [1]})  # DuckDB would find it by its name
    before = sorted(tmp_path.rglob("*"))

    error = refused(lake, sql.format(tmp=tmp_path, conf=CONF))

    assert (error.code, error.exit_code) == ("BAD_QUERY", 2)
    assert sorted(tmp_path.rglob("*")) == before
    assert here.num_rows == 1


def test_the_settings_are_locked(lake: Path) -> None:
    sql = "SELECT value FROM duckdb_settings() WHERE name IN (?) ORDER BY name"
    names = "'autoload_known_extensions','enable_external_access','lock_configuration'"

    assert found(lake, sql.replace("?", names)) == [("false",), ("false",), ("true",)]


def test_a_query_ends_after_its_time(lake: Path) -> None:
    many = "range(10000000)"
    endless = f"SELECT count(*) FROM {many} a, {many} b WHERE hash(a.range + b.range) % 7 = 3"

    error = refused(lake, endless, seconds=0.05)

    assert (error.code, error.exit_code) == ("QUERY_STOPPED", 6)
    assert "0.05 s" in error.message.why


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ('FROM "silver.matches@v9"', "VERSION_GONE"),
        ('FROM "silver.matches@2019-12-31"', "VERSION_GONE"),
        ('FROM "silver.matches@soon"', "BAD_TIME"),
        ("FROM silver.matchs", "UNKNOWN_TABLE"),
        ('FROM "silver.../../etc"', "UNKNOWN_TABLE"),
        ("FROM silver.players", "TABLE_MISSING"),
    ],
)
def test_a_table_that_is_not_there_is_an_error_of_ours(lake: Path, sql: str, code: str) -> None:
    assert refused(lake, sql).code == code


def test_a_number_for_several_tables_is_refused_with_the_way_round(lake: Path) -> None:
    both = "SELECT 1 FROM silver.matches, bronze.matches"

    assert '"bronze.matches@v0"' in refused(lake, both, as_of=0).message.why
    assert found(lake, 'SELECT count(*) FROM silver.matches, "bronze.matches@v0"', as_of=1) == [
        (6,)
    ]
    later = datetime(2020, 2, 1, tzinfo=UTC)
    assert len(found(lake, both, as_of=later)) == 6


def test_a_version_of_no_table_is_refused_rather_than_ignored(lake: Path) -> None:
    for sql in ("SELECT 1", "SHOW ALL TABLES", "FROM memory.silver.matches"):
        error = refused(lake, sql, as_of=1)

        assert (error.code, "names no table" in error.message.why) == ("BAD_QUERY", True)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM query('FROM silver.matches')",
        "FROM query_table('silver.matches')",
        "FROM query_table(['silver.matches'])",
        "SELECT (SELECT count(*) FROM system.main.\"QUERY\"('FROM silver.matches'))",
        "FROM silver.matches JOIN query_table('bronze.matches') ON true",
    ],
)
def test_a_table_whose_name_is_a_value_is_refused(lake: Path, sql: str) -> None:
    for as_of in (None, 1):
        error = refused(lake, sql, as_of=as_of)

        assert (error.code, "hides which tables" in error.message.why) == ("BAD_QUERY", True)


def test_a_file_that_somebody_removed_is_named(lake: Path) -> None:
    files = list((lake / "silver" / "matches").glob("*.parquet"))
    for file in files:
        file.unlink()

    error = refused(lake, "FROM silver.matches")

    assert (error.code, error.exit_code) == ("TABLE_UNREADABLE", 4)
    assert any(file.name in error.message.why for file in files)


# How it is shown


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_a_payload_cannot_drive_a_terminal(form: str) -> None:
    result = invoke(
        f'SELECT value, key, value AS "{VILE.replace(chr(0), "")}" FROM bronze.matches',
        "--format",
        form,
    )

    assert result.exit_code == 0, result.exception
    assert all(line.isprintable() for line in result.stdout.splitlines())
    assert not set(result.stdout) & set("\x1b\x07\u202e\u2066\u200f\x00\x7f\x9b\r")
    assert "<script>" in result.stdout


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_no_naughty_string_can_drive_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    strings = json.loads(corpus("blns.json").read_text(encoding="utf-8"))
    strings += [*map(chr, range(160)), *map(chr, (0x061C, *range(0x200E, 0x2070)))]
    write_deltalake(tmp_path / "bronze" / "matches", pa.table({"value": strings}))

    shown = invoke("FROM bronze.matches", "--limit", "0", "--format", form).stdout

    forbidden = {*map(chr, (*range(32), *range(127, 160), 0x061C, 0x200E, 0x200F))} - {"\n"}
    forbidden |= {*map(chr, (*range(0x2028, 0x202F), *range(0x2066, 0x206A)))}
    assert not forbidden & set(shown)
    if form == "json":
        assert [row["value"] for row in json.loads(shown)["rows"]] == strings


@pytest.mark.usefixtures("lake")
def test_json_holds_each_value_exactly_and_says_its_shape() -> None:
    facts = json.loads(invoke('FROM bronze.matches ORDER BY "offset"', "--json").stdout)

    assert list(facts) == ["versions", "row_count", "complete", "columns", "rows"]
    assert (facts["versions"], facts["row_count"], facts["complete"]) == (
        {"bronze.matches": 0},
        2,
        True,
    )
    assert facts["columns"][0] == {"name": "value", "type": "string"}
    assert facts["rows"][1]["value"] == VILE
    assert base64.b64decode(facts["rows"][1]["key"]) == b"\xff\x1b"


@pytest.mark.usefixtures("lake")
def test_a_file_holds_each_value_exactly(tmp_path: Path) -> None:
    sql = 'FROM bronze.matches ORDER BY "offset"'
    for form in ("csv", "parquet", "json"):
        result = invoke(sql, "--format", form, "--output", str(tmp_path / f"out.{form}"))
        assert (result.exit_code, result.stdout) == (0, "")

    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["value"] for row in csv.DictReader(file)][1] == VILE
    assert parquet.read_table(tmp_path / "out.parquet")["key"].to_pylist() == [b"a", b"\xff\x1b"]
    assert json.loads((tmp_path / "out.json").read_text())["rows"][1]["value"] == VILE
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("lake")
def test_a_cut_answer_is_told_on_stderr_and_a_whole_one_with_its_version() -> None:
    cut = invoke("FROM silver.matches", "--limit", "2", "--json")
    whole = invoke("FROM silver.matches")

    assert "only the first 2 rows; --limit 0 gives all" in cut.stderr
    assert json.loads(cut.stdout)["complete"] is False
    assert "3 rows of silver.matches version 4" in whole.stderr


@pytest.mark.usefixtures("lake")
def test_a_terminal_gets_a_thousand_rows_and_a_file_all(tmp_path: Path) -> None:
    sql = "SELECT range AS n FROM range(1500)"

    assert json.loads(invoke(sql, "--json").stdout)["row_count"] == 1000
    assert json.loads(invoke(sql, "--json", "--limit", "0").stdout)["row_count"] == 1500
    assert invoke(sql, "--format", "csv", "--output", str(tmp_path / "n.csv")).exit_code == 0
    assert len((tmp_path / "n.csv").read_text().splitlines()) == 1501


@pytest.mark.usefixtures("lake")
def test_a_statement_comes_from_standard_input() -> None:
    assert invoke("-", "--format", "csv", input="SELECT 1 AS n").stdout == "n\n1\n"


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    "arguments",
    [
        ["SELECT 1", "--format", "parquet"],
        ["SELECT 1", "--format", "xml"],
        ["SELECT 1", "--version", "1", "--at", "2020-01-31"],
        ["SELECT 1", "--format", "csv", "--output", "nowhere/at/all.csv"],
        [],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("value", "as_json", "as_text"),
    [
        (None, None, "NULL"),
        ("", "", ""),
        (True, True, "true"),
        (Decimal(12), 12, "12"),
        (Decimal("12.00"), "12.00", "12.00"),
        (float("nan"), "nan", "nan"),
        (b"\xff\x1b", "/xs=", "\\xff\\x1b"),
        (date(2026, 1, 31), "2026-01-31", "2026-01-31"),
        (datetime(2026, 1, 31, 10, tzinfo=UTC), "2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"),
        (timedelta(seconds=1), "0:00:01", "0:00:01"),
        ([{"a": b"x"}, None], [{"a": "eA=="}, None], '[{"a": "eA=="}, null]'),
    ],
)
def test_each_kind_of_value_has_a_form(value: object, as_json: object, as_text: str) -> None:
    assert rows.plain(value) == as_json
    assert rows.text(value) == as_text


@pytest.mark.usefixtures("lake")
def test_a_value_that_python_has_not_is_an_error_that_says_the_way_round() -> None:
    error = invoke("SELECT TIMESTAMP '20000-01-01' AS far").exception

    assert isinstance(error, LakehouseError)
    assert (error.code, "VARCHAR" in error.message.why) == ("BAD_QUERY", True)


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize("value", ["INTERVAL 1 DAY", "union_value(k := 1)", "[{}]"])
def test_a_value_that_parquet_has_not_is_an_error_that_says_the_way_round(
    tmp_path: Path, value: str
) -> None:
    file = tmp_path / "out.parquet"
    file.write_text("before")

    error = invoke(f"SELECT {value} AS x", "--format", "parquet", "--output", str(file)).exception

    assert isinstance(error, LakehouseError)
    assert (error.code, error.exit_code) == ("BAD_QUERY", 2)
    assert "VARCHAR" in error.message.why
    assert file.read_text() == "before"
    assert not list(tmp_path.glob(".*"))


def test_rows_too_wide_for_a_terminal_are_shown_one_below_the_other() -> None:
    wide = rows.table(["name", "n"], [["銀河", "1"], ["b", "22"]], width=8)
    narrow = rows.table(["name", "n"], [["銀河", "1"], ["b", "22"]], width=7)

    assert wide.splitlines() == ["name  n", "----  --", "銀河  1", "b     22"]
    assert narrow.splitlines() == [
        "-- 1 --",
        "name  銀河",
        "n     1",
        "-- 2 --",
        "name  b",
        "n     22",
    ]
