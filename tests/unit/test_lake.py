"""A lake in a notebook: each table now and then, in the form that is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import write_deltalake
from pyarrow import fs
from pyarrow.dataset import FileSystemDataset

import lakehouse
from lakehouse import cli
from lakehouse.errors import ConfigError, LakehouseError, MachineError, TableError
from lakehouse.lake.table import Table
from lakehouse.reading import engine, frames, versions
from tests import planted
from tests.conftest import CONF, ROOT
from tests.lakes import BEGAN, TOPIC, Planted, match, refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lakehouse.lake import Lake

HEAVY = "pyspark great_expectations delta pandas polars duckdb pyarrow deltalake pydantic structlog"
READING = sorted(path.stem for path in (ROOT / "lakehouse" / "reading").glob("[a-z]*.py"))


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake of silver.matches in five versions."""
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    planted.silver(tmp_path)
    return lakehouse.open(CONF)


def modules(code: str) -> set[str]:
    """Return the top packages that *code* leaves loaded in a process of its own."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    command = [sys.executable, "-c", code]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


# What it costs


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not modules("import lakehouse; lakehouse.open") & set(HEAVY.split())


def test_no_module_that_reads_loads_spark_or_great_expectations() -> None:
    assert {"versions", "query", "diff", "history", "status"} <= set(READING)
    code = "\n".join(f"import lakehouse.reading.{name}" for name in READING)

    assert not modules(f"{code}\nimport lakehouse.lake") & {
        *("pyspark", "delta", "great_expectations", "pandas", "polars", "duckdb")
    }


# Which rows


def test_a_table_is_the_newest_until_it_is_at_something(lake: Lake) -> None:
    silver = lake.silver("matches")

    assert (silver.version, silver.arrow().num_rows) == (4, 3)
    assert (silver.at(version=2).version, silver.at(version=2).arrow().num_rows) == (2, 4)
    assert silver.at("2020-01-31 10:25").version == 2
    assert silver.at(datetime(2020, 1, 31, 10, 25, tzinfo=UTC)).version == 2
    assert silver.version == 4


def test_each_form_holds_the_same_rows(lake: Lake) -> None:
    then = lake.silver("matches").at(version=1)
    arrow = then.arrow().sort_by("match_id")

    assert then.polars().sort("match_id").equals(pl.DataFrame(pl.from_arrow(arrow)))
    assert then.duckdb().order("match_id").to_arrow_table().equals(arrow)
    frame = then.pandas().sort_values("match_id", ignore_index=True)
    assert frame.match_id.tolist() == ["a", "b", "c"]
    assert frame.started_at.dtype == pd.DatetimeTZDtype("us", "UTC")


def test_whole_numbers_stay_whole_beside_a_null(lake: Lake) -> None:
    gold = lake.silver("matches").at(version=1).pandas("match_id", "team_1_gold")

    assert list(gold.columns) == ["match_id", "team_1_gold"]
    assert gold.team_1_gold.dtype == pd.Int32Dtype()
    assert sorted(gold.team_1_gold.dropna()) == [1, 2]


def test_relations_of_one_lake_can_be_joined(lake: Lake) -> None:
    now = lake.silver("matches").duckdb().set_alias("now")
    then = lake.silver("matches").at(version=1).duckdb().set_alias("before")

    joined = now.join(then, "now.match_id = before.match_id").project("now.match_id")
    assert sorted(joined.fetchall()) == [("b",), ("c",)]


def test_sql_reads_the_version_that_is_asked_for(lake: Lake) -> None:
    sql = "SELECT count(*) AS n FROM silver.matches"

    assert lake.query(sql).arrow().to_pylist() == [{"n": 3}]
    assert lake.query(sql, version=0).polars().item() == 0
    assert lake.query(sql, at="2020-01-31 10:25").pandas().n.tolist() == [4]
    assert lake.query(sql).duckdb().fetchall() == [(3,)]


def test_history_and_diff_are_rows_too(lake: Lake) -> None:
    silver = lake.silver("matches")

    history = silver.history().pandas()
    assert history.version.tolist() == [4, 3, 2, 1, 0]
    assert history.quarantined.tolist()[:4] == [1, 1, 1, 1]
    assert pd.isna(history.quarantined.iloc[4])
    assert history.readable.all()
    assert len(silver.history(limit=2)) == len(silver.history(None)) - 3 == 2

    changes = silver.diff(1, "2020-01-31 10:30")
    assert (changes.found.added, changes.found.changed, changes.found.removed) == (1, 1, 1)
    assert changes.polars()["_change_type"].to_list() == [
        *("delete", "update_preimage", "update_postimage", "insert")
    ]


def test_the_tables_of_a_lake_are_named_and_described(lake: Lake) -> None:
    assert lake.tables() == ["silver.matches"]
    assert [one.name for one in lake.silver("matches").schema().columns] == planted.MATCHES.names
    assert {one.state for one in lake.status().streams} == {"not started"}


def test_quarantine_counts_each_message_once_under_each_of_its_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    made = Planted(tmp_path).made()
    first = refused("x", 0, "not_json")
    made.batch(first, refused("x", 1, "wrong_type", "wrong_type", "key_missing"))
    made.batch(refused("x", 2, "wrong_type"))
    made.decide(first, "released", "r1")

    quarantine = lakehouse.open(CONF).quarantine("matches")

    assert quarantine.by_reason().arrow().to_pylist() == [
        {"reason": "wrong_type", "messages": 2, "unsettled": 2},
        {"reason": "key_missing", "messages": 1, "unsettled": 1},
        {"reason": "not_json", "messages": 1, "unsettled": 0},
    ]
    assert quarantine.at(version=1).by_reason().polars()["messages"].to_list() == [1, 1, 1]
    assert quarantine.at(version=0).by_reason().pandas().empty


def test_quarantine_counts_messages_by_their_last_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    made = Planted(tmp_path).made()
    messages = [refused("x", offset, "not_json") for offset in range(5)]
    made.batch(*messages[:4])
    made.batch(messages[4])
    quarantine = lakehouse.open(CONF).quarantine("matches")
    assert quarantine.by_status().arrow().to_pylist() == [{"status": "open", "messages": 5}]

    later = BEGAN + timedelta(hours=1)
    made.decide(messages[0], "discarded", "r1")
    made.decide(messages[1], "refused again", "r1")
    made.decide(messages[4], "refused again", "r1")
    made.decide(messages[4], "released", "r2", at=later)

    counted = {one["status"]: one["messages"] for one in quarantine.by_status().arrow().to_pylist()}
    assert counted == {"open": 2, "discarded": 1, "refused again": 1, "released": 1}
    then = quarantine.at(version=1).by_status().arrow().to_pylist()
    assert {one["status"] for one in then} == {"open", "discarded", "refused again"}


def test_trail_and_bronze_are_there_by_name(lake: Lake, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "audit" / "silver.matches", pa.table({"version": [7]}))
    write_deltalake(tmp_path / "bronze" / "matches", pa.table({"value": ["x"]}))

    assert lake.audit("silver.matches").arrow()["version"].to_pylist() == [7]
    assert lake.bronze("matches").arrow()["value"].to_pylist() == ["x"]


# Where messages went


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    """A lake of two batches: `a` is beaten in the second, and a message is refused."""
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path / "traced"))
    made = Planted(tmp_path / "traced").made()
    made.batch(match("a", 0, 1), match("b", 1, 1))
    made.batch(match("a", 2, 2), refused("\x1b[31mjunk", 3, "not_json"))
    return made


def told(*words: str, as_json: bool = False) -> str:
    """Return what `lakehouse trace` prints."""
    arguments = ["--conf", str(CONF), "trace", *words, *(["--json"] if as_json else [])]
    result = CliRunner().invoke(cli.lakehouse, arguments)
    assert result.exit_code == 0, result.exception
    return result.stdout


@pytest.mark.usefixtures("traced")
def test_a_position_is_traced_as_on_the_command_line() -> None:
    for offset, fate in ((0, "superseded"), (1, "current"), (3, "quarantined"), (9, None)):
        position = f"{TOPIC}:0:{offset}"
        found = lakehouse.open(CONF).trace(position)

        assert [one.trace.fate for one in found.told] == [fate] * bool(fate)
        assert json.loads(json.dumps(found.facts, default=str)) == json.loads(
            told(position, as_json=True)
        )
        assert f"{found!r}\n" == f"{found}\n" == told(position)
        assert found.facts["traces"] == [one.facts for one in found.told]


@pytest.mark.usefixtures("traced")
def test_a_key_is_traced_as_on_the_command_line() -> None:
    story = lakehouse.open(CONF).silver("matches").trace("a")

    assert (story.entity, story.key, story.messages) == ("matches", {"match_id": "a"}, 2)
    assert [one.trace.position.offset for one in story.told] == [2, 0]
    assert story.told[1].beaten is not None
    assert (story.told[1].beaten.first, story.told[1].beaten.last) == (2, 2)
    assert json.loads(json.dumps(story.facts, default=str)) == json.loads(
        told("matches", "a", as_json=True)
    )
    assert f"{story}\n" == told("matches", "a")
    assert len(lakehouse.open(CONF).silver("matches").trace("a", limit=1).told) == 1


@pytest.mark.usefixtures("traced")
def test_the_text_of_a_trace_is_short_and_drives_no_terminal() -> None:
    lake = lakehouse.open(CONF)

    story = repr(lake.silver("matches").trace("a"))
    assert len(story.splitlines()) == 5
    assert story.endswith("0:0 is valid, and a newer row of its key is in silver")
    refusal = repr(lake.trace(f"{TOPIC}:0:3").told[0])
    assert "not_json" in refusal
    assert "\\x1b[31mjunk" in refusal
    assert all(line.isprintable() for line in refusal.splitlines())


@pytest.mark.usefixtures("traced")
def test_what_cannot_be_traced_is_an_error_of_ours() -> None:
    lake = lakehouse.open(CONF)
    for wrong, code in (
        (lambda: lake.trace("matches"), "BAD_POSITION"),
        (lambda: lake.trace("nowhere:0:0"), "UNKNOWN_TOPIC"),
        (lambda: lake.silver("matches").trace("a", "b"), "BAD_KEY"),
        (lambda: lake.silver("players").trace("a"), "TABLE_MISSING"),
    ):
        with pytest.raises(LakehouseError) as found:
            wrong()
        assert found.value.code == code


# What it shows and what it refuses


def test_its_text_names_things_and_shows_no_value(lake: Lake) -> None:
    silver = lake.silver("matches")

    assert repr(lake.query("SELECT 'a\x1b[31m' AS x")) == "<1 rows of 'x'>"
    assert repr(silver) == "<silver.matches>"
    assert repr(silver.at(version=2)) == "<silver.matches version 2>"
    assert repr(silver.at("2020-01-31")) == "<silver.matches at 2020-01-31T00:00:00.000Z>"


def test_what_is_not_there_is_an_error_of_ours(lake: Lake) -> None:
    silver = lake.silver("matches")
    for wrong, code in (
        (lambda: lake.silver("matchs"), "UNKNOWN_TABLE"),
        (lambda: lake.bronze("matches").arrow(), "TABLE_MISSING"),
        (lambda: silver.at(version=9).arrow(), "VERSION_GONE"),
        (lambda: silver.at("soon"), "BAD_TIME"),
        (lambda: lake.query("DROP TABLE x"), "BAD_QUERY"),
    ):
        with pytest.raises(LakehouseError) as found:
            wrong()
        assert found.value.code == code
    with pytest.raises(TypeError):
        silver.at("2020-01-31", version=1)


FORMS: list[Callable[[Table], object]] = [Table.arrow, Table.pandas, Table.polars, Table.duckdb]


@pytest.mark.parametrize("read", FORMS)
def test_a_data_file_that_is_gone_is_an_error_of_ours(
    lake: Lake, tmp_path: Path, read: Callable[[Table], object]
) -> None:
    for file in (tmp_path / "silver" / "matches").glob("*.parquet"):
        file.unlink()

    with pytest.raises(TableError) as found:
        read(lake.silver("matches"))

    assert found.value.code == "TABLE_UNREADABLE"
    assert ".parquet is not there" in found.value.message.why


def test_a_data_file_that_is_not_parquet_is_an_error_of_ours(lake: Lake, tmp_path: Path) -> None:
    for file in (tmp_path / "silver" / "matches").glob("*.parquet"):
        file.write_bytes(b"junk")

    with pytest.raises(TableError) as found:
        lake.silver("matches").arrow()

    assert (found.value.code, "version 4 of silver.matches" in str(found.value)) == (
        "TABLE_UNREADABLE",
        True,
    )


def test_a_column_that_is_not_there_is_named_with_the_nearest(lake: Lake) -> None:
    for read in (Table.arrow, Table.pandas, Table.polars):
        with pytest.raises(ConfigError) as found:
            read(lake.silver("matches"), "match_id", "statu")

        assert found.value.code == "BAD_QUERY"
        assert "no column 'statu'; did you mean 'status'?" in found.value.message.why


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(MachineError) as found:
        frames.installed("a_frame_nobody_wrote")

    assert found.value.code == "PACKAGE_MISSING"


def test_a_configuration_that_is_not_sound_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as found:
        lakehouse.open(tmp_path)

    assert found.value.code == "FILE_MISSING"


def test_an_environment_is_named_by_argument_or_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_ENV", "nowhere")
    with pytest.raises(ConfigError, match="nowhere"):
        lakehouse.open(CONF)
    assert lakehouse.open(CONF, env="local").config.folder == CONF


def test_rows_are_read_by_no_file_system_that_calls_back_into_python(lake: Lake) -> None:
    # That of delta-rs does, from threads that go on while the interpreter ends, and about every
    # third process that had looked at a few rows of a relation ended in SIGSEGV or SIGABRT.
    log = versions.log(lake.silver("matches").source)
    rows = engine.dataset(log.table, versions.opened(log, log.newest))

    assert isinstance(rows, FileSystemDataset)
    assert isinstance(rows.filesystem, fs.SubTreeFileSystem)
    assert isinstance(rows.filesystem.base_fs, fs.LocalFileSystem)
