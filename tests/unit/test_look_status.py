"""Status: what each stream said last, whether its process is there, and what the tables tell."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import write_deltalake

from lakehouse import owner
from lakehouse.cli import lakehouse
from lakehouse.reading import status as reading
from tests import planted
from tests.conftest import CONF
from tests.lakes import BEGAN, TRIPPED, Planted, refused

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.reading.status import Status, Stream

VERDICTS = {
    "gold_is_positive": {"severity": "critical", "success": False, "judged": 9, "unexpected": 2},
    "status_is_known": {"severity": "warning", "success": True, "judged": 9, "unexpected": 0},
}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lake, that the command line is told of."""
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    return tmp_path


def state(lake: Path, file: str, facts: object, stream: str = "silver.matches") -> None:
    path = lake / "_state" / stream / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(facts if isinstance(facts, str) else json.dumps(facts))


def told(lake: Path, name: str, **facts: Any) -> None:
    """Have silver.matches have told that it is *name*, by a process that is gone."""
    at = datetime.now(UTC).isoformat()
    state(lake, "status.json", {"v": 1, "pid": 1, "at": at, "state": name, **facts})


def look(lake: Path) -> Status:
    return reading.status(planted.catalog(lake), lake / "_state")


def silver(lake: Path) -> Stream:
    return next(one for one in look(lake).streams if one.stream == "silver.matches")


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(lakehouse, ["--conf", str(CONF), "status", *arguments])


# The state


def test_a_lake_that_is_not_there_has_streams_that_never_started(lake: Path) -> None:
    found = look(lake)

    names = ["bronze.matches", "silver.matches", "bronze.players", "silver.players"]
    assert [one.stream for one in found.streams] == names
    assert {one.state for one in found.streams} == {"not started"}
    assert (found.quarantined, found.verdicts) == ({}, ())
    assert invoke().exit_code == 0
    assert list(lake.iterdir()) == []


@pytest.mark.parametrize("name", ["running", "idle", "waiting for broker", "failing", "tripped"])
def test_a_stream_whose_owner_is_there_is_what_it_said(lake: Path, name: str) -> None:
    told(lake, name, pid=os.getpid(), rows_per_second=12.5, metrics="http://127.0.0.1:1/metrics")
    with owner.owning(lake / "_state", "silver.matches"):
        found = silver(lake)

    assert (found.state, found.pid) == (name, os.getpid())
    assert found.silent is None


@pytest.mark.parametrize("name", ["running", "idle", "starting", "waiting for bronze"])
def test_a_stream_whose_owner_ended_without_a_word_is_dead(lake: Path, name: str) -> None:
    told(lake, name, pid=4711, rows_per_second=12.5)

    found = silver(lake)

    assert (found.state, found.pid, found.rows_per_second) == ("dead", None, None)
    assert found.error == "process 4711 ended without a word"
    assert "lakehouse start silver --entity matches" in str(found.hint)


@pytest.mark.parametrize("name", ["stopped", "failing"])
def test_a_stream_that_ended_in_order_says_how(lake: Path, name: str) -> None:
    told(lake, name)

    assert silver(lake).state == name


def test_a_new_owner_that_has_not_told_anything_is_starting(lake: Path) -> None:
    long_ago = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    told(lake, "failing", error="[STREAM_FAILED] of the process before", at=long_ago)
    with owner.owning(lake / "_state", "silver.matches"):
        found = silver(lake)

    assert (found.state, found.error, found.silent) == ("starting", None, None)


def test_a_breaker_that_has_tripped_is_shown_after_its_process_has_ended(lake: Path) -> None:
    told(lake, "stopped")
    state(lake, "breaker.json", {"tripped": TRIPPED})

    found = silver(lake)

    assert found.state == "tripped"
    assert "batch 7: 90.0 %" in str(found.error)
    assert found.hint is not None
    assert "lakehouse resume silver.matches" in found.hint
    state(lake, "breaker.json", {"resumed": {"batch_id": 7}})
    assert silver(lake).state == "stopped"


def test_a_breaker_that_was_resumed_without_an_owner_leaves_a_stopped_stream(lake: Path) -> None:
    told(lake, "tripped", error="[BREAKER_TRIPPED] too much was refused")
    state(lake, "breaker.json", {"resumed": {"batch_id": 7}})

    found = silver(lake)

    assert (found.state, found.error, found.hint) == ("stopped", None, None)


def test_an_owner_that_tells_nothing_for_too_long_is_silent(lake: Path) -> None:
    long_ago = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    told(lake, "running", pid=os.getpid(), at=long_ago)
    with owner.owning(lake / "_state", "silver.matches"):
        found = silver(lake)
        text = invoke().stdout

    assert found.silent == pytest.approx(600, abs=30)
    assert "has told nothing for 10 min" in text
    assert silver(lake).silent is None


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("[OFFSETS_LOST] records are gone", "restore the records"),
        ("[SECRET_IN_FILE] x", "remove it from the file and export VARIABLE instead"),
        ("[STREAM_OWNED] x", "stop it with `lakehouse stop silver.matches`"),
        ("[TABLE_MISSING] what the message says", None),
        ("ValueError: nobody foresaw it", None),
    ],
)
def test_an_error_comes_with_a_hint_where_there_is_one(
    lake: Path, error: str, hint: str | None
) -> None:
    told(lake, "failing", error=error)

    found = silver(lake)

    assert found.error == error
    assert (found.hint or "").startswith(hint or "nothing") is (hint is not None)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "{}"])
def test_a_state_file_that_cannot_be_read_says_nothing(lake: Path, text: str) -> None:
    for file in ("status.json", "breaker.json", "alarms.json"):
        state(lake, file, text)

    assert silver(lake).state == "not started"


# What the tables tell


def test_a_stream_tells_its_tables_newest_version_and_the_share_refused_lately(lake: Path) -> None:
    path = planted.silver(lake)
    planted.stamp(path, [None, *(planted.record(n, 3, 1) for n in range(4))], planted.SILVER)

    found = silver(lake)

    assert (found.version, found.share) == (4, 0.25)
    assert found.committed_at == planted.FIRST + 4 * planted.STEP


def test_only_the_newest_commits_count_for_the_share(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "RECENT", 2)
    path = planted.silver(lake)
    refused = (9, 9, 0, 5)
    records = [planted.record(n, 10 - refused[n], refused[n]) for n in range(4)]
    planted.stamp(path, [None, *records], planted.SILVER)

    assert silver(lake).share == 0.25


def test_quarantine_is_as_deep_as_its_table_has_rows(lake: Path) -> None:
    for number in (3, 4):
        rows = pa.table({"offset": list(range(number))})
        write_deltalake(lake / "quarantine" / "matches", rows, mode="append")

    assert look(lake).quarantined == {"quarantine.matches": 7}
    assert "quarantine.matches: 7 messages" in invoke().stdout


def test_what_was_released_or_discarded_is_not_in_the_depth_any_more(lake: Path) -> None:
    messages = [refused("x", offset, "not_json") for offset in range(6)]
    made = Planted(lake).made()
    made.batch(*messages)
    for offset, decision in enumerate(["released", "discarded", "refused again"]):
        made.decide(messages[offset], decision, "r1")
    # Released at last; discarded twice; and a decision on what quarantine does not hold.
    made.decide(messages[3], "refused again", "r1")
    made.decide(messages[3], "released", "r2", at=BEGAN + timedelta(hours=1))
    made.decide(messages[1], "discarded", "r2")
    made.decide(refused("x", 99, "not_json"), "discarded", "r1")

    assert look(lake).quarantined["quarantine.matches"] == 3
    assert json.loads(invoke("--json").stdout)["quarantined"] == {"quarantine.matches": 3}
    assert "quarantine.matches: 3 messages, neither released nor discarded" in invoke().stdout


def test_the_last_verdicts_of_rows_and_of_the_table_are_told(lake: Path) -> None:
    path = planted.silver(lake)
    said = {"suite": "s", "success": False, "rules": VERDICTS}
    records = [planted.record(n, 3, 1, expectations=said) for n in range(3)]
    planted.stamp(path, [None, *records, planted.record(3, 0, 0)], planted.SILVER)
    for day, success in ((30, True), (31, None)):
        row = {
            "version": [day],
            "at": [datetime(2020, 1, day, tzinfo=UTC)],
            "rule": ["mean_gold"],
            "severity": ["info"],
            "success": pa.array([success], pa.bool_()),
            "observed": ["7"],
            "error": pa.array([None if success else "no such\x1b column"], pa.string()),
        }
        write_deltalake(lake / "audit" / "silver.matches.validations", pa.table(row), mode="append")

    found = [(one.version, one.of, one.rule, one.success) for one in look(lake).verdicts]
    text = invoke().stdout

    assert found == [
        (3, "rows", "gold_is_positive", False),
        (3, "rows", "status_is_known", True),
        (31, "table", "mean_gold", None),
    ]
    assert "version 3, expectations of rows: 1 of 2 met" in text
    assert "critical FAILED gold_is_positive: 2 of 9 unexpected" in text
    assert "info     ERROR  mean_gold: no such\\x1b column" in text


@pytest.mark.parametrize("damaged", ["*.parquet", "_delta_log/*.json"])
@pytest.mark.parametrize(
    "table", ["silver.matches", "quarantine.matches", "audit.silver.matches.validations"]
)
def test_a_table_that_cannot_be_read_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, damaged: str
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    made = Planted(tmp_path).made()
    message = refused("x", 0, "not_json")
    made.batch(message)
    made.decide(message, "refused again", "r1")
    checks = {"version": [1], "at": [BEGAN], "rule": ["r"], "severity": ["info"], "success": [True]}
    rows = pa.table(checks | {"observed": ["7"], "error": pa.array([None], pa.string())})
    write_deltalake(tmp_path / "audit" / "silver.matches.validations", rows)
    whole = look(tmp_path)
    assert (len(whole.verdicts), whole.unreadable) == (1, {})
    reads_rows = table != "silver.matches" or damaged != "*.parquet"
    for file in (tmp_path / table.replace(".", "/", 1)).glob(damaged):
        file.write_text("junk\x1b")

    found = look(tmp_path)

    assert set(found.unreadable) == ({table} if reads_rows else set())
    assert found.streams[0] == whole.streams[0]
    assert (found.verdicts == whole.verdicts) is ("validations" not in table)
    assert (found.quarantined == whole.quarantined) is ("quarantine" not in table)
    shown = invoke()
    assert shown.exit_code == 0, shown.exception
    assert (f"{table}: [TABLE_UNREADABLE] " in shown.stdout) is reads_rows
    assert all(line.isprintable() for line in shown.stdout.splitlines())


# The command


def test_one_screen_shows_every_stream(lake: Path) -> None:
    told(
        lake,
        "running",
        pid=os.getpid(),
        batch_id=15,
        rows_per_second=545.9,
        lag=12,
        lag_by_partition={str(n): 2 for n in range(8)},
        restarts=3,
        error="[BROKER_UNREACHABLE] \x1b[31mgone\u202e",
    )
    state(lake, "alarms.json", {"DATA_LOSS": {"since": "2020-01-31", "told": True}})
    with owner.owning(lake / "_state", "silver.matches"):
        lines = invoke().stdout.splitlines()

    (line,) = (one for one in lines if one.startswith("silver.matches"))
    assert line.split() == [
        *("silver.matches", "running", "15", "546"),
        *("12", "(0:2", "1:2", "2:2", "3:2", "4:2", "5:2", "+2)", "3"),
    ]
    assert "    error: [BROKER_UNREACHABLE] \\x1b[31mgone\\u202e" in lines
    assert any(one.startswith("    do: start the broker") for one in lines)
    assert "    alarm: DATA_LOSS since 2020-01-31" in lines
    assert all(one.isprintable() for one in lines)
    assert len(lines) < 24


def test_json_has_the_stated_shape(lake: Path) -> None:
    planted.silver(lake)
    told(lake, "stopped", lag=5, lag_by_partition={"0": 5})

    facts = json.loads(invoke("--json").stdout)

    assert list(facts) == ["at", "streams", "quarantined", "verdicts", "unreadable"]
    (one,) = (one for one in facts["streams"] if one["stream"] == "silver.matches")
    assert one["committed_at"] == "2020-01-31T10:40:00.000Z"
    assert (one["lag"], one["lag_by_partition"]) == (5, {"0": 5})
    stated = invoke("--help").stdout
    assert all(key in stated for key in (*facts, *one))


def test_watching_shows_it_again_until_it_is_interrupted(
    lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:

        def next_look(_: float) -> None:
            if silver(lake).state == "starting":
                raise KeyboardInterrupt
            stack.enter_context(owner.owning(lake / "_state", "silver.matches"))

        monkeypatch.setattr(time, "sleep", next_look)
        result = invoke("--watch", "--json")

    seen = [json.loads(line)["streams"][1]["state"] for line in result.stdout.splitlines()]
    assert (result.exit_code, seen) == (0, ["not started", "starting"])
