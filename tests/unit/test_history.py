"""History and schema: what each version said, who can still read it, and what its columns are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from lakehouse.audit import commits
from lakehouse.cli import lakehouse
from lakehouse.errors import LakehouseError, TableError
from lakehouse.reading import history as reading
from lakehouse.reading import schema as columns
from lakehouse.reading import trail, versions
from lakehouse.settings import LakeSettings
from tests import planted
from tests.conftest import CONF

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.reading.history import History


@pytest.fixture
def silver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five versions of silver.matches, in the lake that the command line is told of."""
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    return planted.silver(tmp_path)


def history(root: Path, **wish: Any) -> History:
    known = planted.catalog(root)
    return reading.history(known, known.table("silver.matches"), **wish)


def keep_trail(root: Path) -> None:
    """Plant the trail of silver.matches, as its owner folds it."""
    log = versions.log(planted.catalog(root).table("silver.matches"))
    rows = [log.commit(version).to_row() for version in range(log.newest + 1)]
    for row in rows:
        row["committed_at"] = versions.at(row["committed_at"])
        row["metrics"] = list(row["metrics"].items())
    text, number = pa.string(), pa.int64()
    ranges = pa.struct([("topic", text), ("min", number)])
    kinds = {
        "ranges": pa.list_(ranges),
        "planned": pa.list_(ranges),
        "metrics": pa.map_(text, text),
    }
    schema = pa.schema(
        [
            ("version", number),
            ("committed_at", pa.timestamp("us", "UTC")),
            ("operation", text),
            ("data_change", pa.bool_()),
            ("rows_added", number),
            ("checkpoint", text),
            ("batch_id", number),
            ("started_at", pa.timestamp("us", "UTC")),
            *((name, kinds[name]) for name in ("ranges", "planned", "metrics")),
            ("record", text),
        ]
    )
    write_deltalake(root / "audit" / "silver.matches", pa.Table.from_pylist(rows, schema))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(lakehouse, ["--conf", str(CONF), *arguments])


def facts(*arguments: str) -> dict[str, Any]:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# History


def test_history_tells_the_newest_first_and_pages(silver: Path) -> None:
    root = silver.parents[1]
    first = history(root, limit=2)
    second = history(root, limit=2, before=first.before)
    last = history(root, limit=2, before=second.before)

    assert [one.commit.version for one in first.versions] == [4, 3]
    assert [one.commit.version for one in second.versions] == [2, 1]
    assert [one.commit.version for one in last.versions] == [0]
    assert (first.oldest, first.newest, last.before) == (0, 4, None)
    assert history(root, limit=1, before=0).versions == ()


def test_a_version_can_be_read_for_the_retention_of_its_table(silver: Path) -> None:
    newest, before, *_ = history(silver.parents[1]).versions

    assert newest.until is None
    assert before.until is not None
    assert (before.until - before.commit.committed_at).days == 30


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("interval 30 days", 2_592_000), ("interval 1 week", 604_800), ("500 milliseconds", 0.5)],
)
def test_an_interval_of_delta_is_a_time(text: str, seconds: float) -> None:
    properties = dict.fromkeys(reading.RETENTION, text)

    kept = reading._retention(properties)

    assert kept is not None
    assert kept.total_seconds() == seconds


def test_the_shorter_retention_counts() -> None:
    kept = reading._retention({"delta.deletedFileRetentionDuration": "interval 2 days"})

    assert kept is not None
    assert kept.days == 2


def test_an_interval_that_is_not_understood_promises_nothing() -> None:
    assert reading._retention({"delta.logRetentionDuration": "interval 1 month"}) is None


def test_a_version_whose_log_is_gone_is_told_from_the_trail(silver: Path) -> None:
    root = silver.parents[1]
    before = history(root)
    keep_trail(root)
    planted.clean_up(silver, before=2)

    found = history(root)

    assert [one.commit for one in found.versions] == [one.commit for one in before.versions]
    assert [one.gone for one in found.versions] == [None] * 3 + ["its log was cleaned up"] * 2
    assert (found.oldest, found.newest) == (2, 4)
    older = history(root, limit=1, before=1)
    assert [one.commit.version for one in older.versions] == [0]


def test_the_trail_of_a_table_is_read_without_its_log(silver: Path) -> None:
    root = silver.parents[1]
    lake = LakeSettings(root=str(root))
    whole = trail.trail(lake, "silver.matches")
    assert [one.version for one in whole] == [0, 1, 2, 3, 4]
    keep_trail(root)
    planted.clean_up(silver, before=2)

    assert trail.trail(lake, "silver.matches") == whole


def test_the_last_check_of_a_version_is_told(silver: Path) -> None:
    root = silver.parents[1]
    lake = LakeSettings(root=str(root))
    assert trail.validations(lake, "silver.matches", 1) == []
    for day, version in ((1, 1), (2, 1), (3, 2)):
        rows = {"version": version, "at": datetime(2020, 2, day, tzinfo=UTC), "rule": f"of {day}"}
        path = root / "audit" / "silver.matches.validations"
        write_deltalake(path, pa.Table.from_pylist([rows]), mode="append")

    assert [one["rule"] for one in trail.validations(lake, "silver.matches", 1)] == ["of 2"]
    assert trail.validations(lake, "silver.matches", 9) == []


@pytest.mark.parametrize("damaged", ["*.parquet", "_delta_log/*.json"])
def test_a_trail_that_cannot_be_read_is_an_error_of_ours(silver: Path, damaged: str) -> None:
    root = silver.parents[1]
    keep_trail(root)
    planted.clean_up(silver, before=2)
    for file in (root / "audit" / "silver.matches").glob(damaged):
        file.write_text("junk")

    for command in (("history", "silver.matches"), ("audit", "log", "silver.matches")):
        error = invoke(*command).exception

        assert isinstance(error, TableError)
        assert (error.code, "audit/silver.matches" in error.message.what) == (
            "TABLE_UNREADABLE",
            True,
        )


def test_a_commit_that_cannot_be_read_is_an_error_of_ours(silver: Path) -> None:
    (silver / "_delta_log" / f"{3:020d}.json").write_text("junk")

    for command in (("history", "silver.matches"), ("audit", "log", "silver.matches")):
        error = invoke(*command).exception

        assert isinstance(error, TableError)
        assert error.code == "TABLE_UNREADABLE"


def test_without_a_trail_history_ends_where_the_log_does(silver: Path) -> None:
    planted.clean_up(silver, before=2)

    assert [one.commit.version for one in history(silver.parents[1]).versions] == [4, 3, 2]


def test_a_version_whose_files_were_vacuumed_is_gone(silver: Path) -> None:
    planted.vacuum(silver, upto=2)

    found = history(silver.parents[1])
    page = history(silver.parents[1], limit=1)

    assert [bool(one.gone) for one in found.versions] == [False, False, False, True, True]
    assert found.versions[-1].gone == "its files were vacuumed"
    assert found.oldest == page.oldest == 2


def test_a_commit_is_told_as_it_is_in_the_log(silver: Path) -> None:
    text = (silver / "_delta_log" / "00000000000000000002.json").read_text()

    assert history(silver.parents[1]).versions[2].commit == commits.read(text, 2)


def test_the_command_says_what_can_be_read_and_where_to_go_on(silver: Path) -> None:
    found = facts("history", "silver.matches", "--limit", "2")
    text = invoke("history", "silver.matches", "--limit", "2").stdout

    assert (found["oldest"], found["newest"], found["before"]) == (0, 4, 3)
    newest, older = found["versions"]
    assert (newest["readable"], newest["until"]) == (True, None)
    assert older["until"] == "2020-03-01T10:30:00.000Z"
    assert older["rows"] == {"read": 4, "valid": 3, "quarantined": 1}
    assert "lakehouse history silver.matches --before 3" in text
    assert "3 valid, 1 refused" in text
    assert silver.exists()


def test_what_a_commit_holds_cannot_drive_a_terminal(silver: Path) -> None:
    planted.empty_commit(silver, operation="\x1b[31mMERGE\u202e\x00")

    text = invoke("history", "silver.matches").stdout

    assert "\\x1b[31mMERGE\\u202e\\x00" in text
    assert all(line.isprintable() for line in text.splitlines())


# Schema


def test_a_schema_says_types_keys_and_partitions_in_the_words_of_an_entity(tmp_path: Path) -> None:
    path = tmp_path / "silver" / "matches"
    inner = pa.list_(pa.struct([("code", pa.string()), ("n", pa.int16())]))
    rows = pa.table(
        {
            "match_id": pa.array(["a"]),
            "status": pa.array(["live"]),
            "gold": pa.array([1], pa.int64()),
            "share": pa.array([None], pa.decimal128(12, 2)),
            "reasons": pa.array([None], inner),
            "more": pa.array([None], pa.map_(pa.string(), pa.date32())),
        }
    )
    write_deltalake(path, rows, partition_by=["status"])
    planted.stamp(path, (), planted.SILVER)

    found = columns.schema(planted.catalog(tmp_path).table("silver.matches"))

    assert {one.name: one.type for one in found.columns} == {
        "match_id": "STRING",
        "status": "STRING",
        "gold": "BIGINT",
        "share": "DECIMAL(12,2)",
        "reasons": "ARRAY<STRUCT<code: STRING, n: SMALLINT>>",
        "more": "MAP<STRING, DATE>",
    }
    assert [one.name for one in found.columns if one.key] == ["match_id"]
    assert [one.name for one in found.columns if one.partition] == ["status"]


def test_a_schema_is_that_of_the_version_asked_for(silver: Path) -> None:
    by_number = facts("schema", "silver.matches", "--version", "2")
    by_time = facts("schema", "silver.matches", "--at", "2020-01-31 10:25")

    assert by_number == by_time
    assert (by_number["version"], by_number["at"]) == (2, "2020-01-31T10:20:00.000Z")
    assert [one["name"] for one in by_number["columns"]] == list(planted.MATCHES.names)
    assert "match_id     STRING     key" in invoke("schema", "silver.matches").stdout
    assert silver.exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["schema", "silver.matches", "--version", "9"], "VERSION_GONE"),
        (["schema", "silver.matches", "--at", "2019-01-01"], "VERSION_GONE"),
        (["schema", "silver.matches", "--at", "soon"], "BAD_TIME"),
        (["schema", "silver.match"], "UNKNOWN_TABLE"),
        (["history", "silver.players"], "TABLE_MISSING"),
    ],
)
@pytest.mark.usefixtures("silver")
def test_what_is_not_there_is_an_error_of_ours(arguments: list[str], code: str) -> None:
    error = invoke(*arguments).exception

    assert isinstance(error, LakehouseError)
    assert error.code == code
    assert error.exit_code == (4 if isinstance(error, TableError) else 2)


@pytest.mark.usefixtures("silver")
def test_a_version_and_a_time_at_once_are_a_usage_error() -> None:
    wish = ["--version", "1", "--at", "2020-01-31"]

    assert invoke("schema", "silver.matches", *wish).exit_code == 2
    assert invoke("schema", "silver.matches", *wish[2:], *wish[:2]).exit_code == 2
