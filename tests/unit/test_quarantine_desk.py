"""The quarantine desk: which messages were refused, why, and what was decided since."""

from __future__ import annotations

import base64
import csv
import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from lakehouse.cli import filters, lakehouse
from lakehouse.errors import LakehouseError
from lakehouse.reading import decisions
from lakehouse.reading.quarantine import Wanted
from quarantine.advice import ADVICE
from quarantine.reasons import Reason
from tests.conftest import CONF
from tests.lakes import BEGAN, TOPIC, TOPIC_ID, Message, Planted, match, refused

if TYPE_CHECKING:
    from pathlib import Path

OLDER_TOPIC = "an-older-topic-of-the-name"
FAILED = {
    "code": "expectation_failed",
    "rule": "towers_in_range",
    "column": "team_1_towers",
    "expected": "at most 11",
    "got": "12",
}


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    """Six refused messages in three batches; their offsets are their seconds after BEGAN."""
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path / "lake"))
    planted = Planted(tmp_path / "lake").made()
    planted.batch(refused("{", 0, "not_json"), match("a", 1, 1), refused(None, 2, "no_value"))
    planted.batch(
        refused("{}", 3, "key_missing", "wrong_type", partition=1),
        Message("{}", 4, reasons=[FAILED]),
    )
    planted.batch(refused("[", 5, "not_json"), refused(" ", 6, "empty"))
    return planted


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(lakehouse, ["--conf", str(CONF), "quarantine", *arguments])


def facts(*arguments: str) -> dict[str, Any]:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def offsets(*arguments: str) -> list[int]:
    """Return the offsets that `ls` lists, in its order."""
    found = facts("ls", *arguments)
    assert found["total"] >= len(found["messages"])
    return [one["offset"] for one in found["messages"]]


# List


@pytest.mark.usefixtures("lake")
def test_all_refused_messages_are_listed_the_newest_first() -> None:
    assert offsets() == [6, 5, 4, 3, 2, 0]
    lines = invoke("ls").stdout.splitlines()
    assert len(lines) == 7
    assert lines[-1] == "6 refused, page 1 of 1"
    assert lines[2].split()[:3] == ["2026-01-31T10:00:04Z", f"{TOPIC}:0:4", "open"]


LAST = [6, 5, 4, 3, 2, 0]
FILTERS = [
    (["--reason", "not_json"], [5, 0]),
    (["--reason", "not_json", "--reason", "empty"], [6, 5, 0]),
    (["--reason", "wrong_type"], [3]),
    (["--rule", "towers_in_range"], [4]),
    (["--rule", "none_of_that_name"], []),
    (["--rule", "it's"], []),
    (["--status", "open"], LAST),
    (["--status", "released"], []),
    (["--since", "2026-01-31T10:00:04Z"], [6, 5, 4]),
    (["--since", "2026-01-31T11:00:04+01:00"], [6, 5, 4]),
    (["--until", "2026-01-31 10:00:04"], [3, 2, 0]),
    (["--since", "2026-02-01"], []),
    (["--offsets", "2-4"], [4, 3, 2]),
    (["--offsets", "2"], [2]),
    (["--partition", "1"], [3]),
    (["--partition", "0", "--offsets", "2-4", "--reason", "no_value"], [2]),
    (["--entity", "matches"], LAST),
    (["--entity", "players"], []),
]


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize(
    ("arguments", "expected"), FILTERS, ids=lambda some: " ".join(map(str, some))
)
def test_a_filter_leaves_those_that_meet_it(arguments: list[str], expected: list[int]) -> None:
    assert offsets(*arguments) == expected
    assert facts("ls", *arguments)["total"] == len(expected)


@pytest.mark.usefixtures("lake")
def test_pages_follow_one_another_and_end() -> None:
    pages = [offsets("--limit", "4", "--page", page) for page in "123"]

    assert pages == [[6, 5, 4, 3], [2, 0], []]
    assert invoke("ls", "--limit", "4").stdout.splitlines()[-1] == (
        "6 refused, page 1 of 2; --page 2 shows more"
    )


def test_messages_of_all_entities_are_listed_in_one_order(lake: Planted) -> None:
    players = Planted(lake.root, "players", "esports-players").made()
    players.batch(refused("x", 4, "not_json"))

    found = [(one["topic"], one["offset"]) for one in facts("ls", "--limit", "4")["messages"]]

    assert found == [(TOPIC, 6), (TOPIC, 5), (TOPIC, 4), ("esports-players", 4)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "--reason", "nonsense"],
        ["ls", "--since", "soon"],
        ["ls", "--offsets", "4-2"],
        ["ls", "--offsets", "x"],
        ["ls", "--limit", "0"],
        ["ls", "--status", "shut"],
        ["show", f"{TOPIC}:0:1"],
        ["explain", "nonsense"],
        ["lss"],
    ],
)
@pytest.mark.usefixtures("lake")
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


@pytest.mark.usefixtures("lake")
def test_what_is_no_position_is_an_error() -> None:
    error = invoke("show", "x").exception

    assert isinstance(error, LakehouseError)
    assert (error.code, error.exit_code) == ("BAD_POSITION", 2)


def test_before_a_table_there_is_nothing_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))

    assert facts("ls")["total"] == 0
    assert facts("stats")["entities"]["matches"]["total"] == 0
    assert invoke("export").stdout == ""
    assert not any(tmp_path.iterdir())


# Decisions


def test_the_status_is_that_of_the_last_decision(lake: Planted) -> None:
    zero, two, five = (Message(None, offset) for offset in (0, 2, 5))
    later = {"at": BEGAN + timedelta(hours=1)}
    lake.decide(zero, "refused again", "r1")
    lake.decide(zero, "released", "r2", **later)
    lake.decide(two, "discarded", "r3")
    lake.decide(five, "refused again", "r1")
    lake.decide(five, "refused again", "r2", **later)

    found = {one["offset"]: (one["status"], one["attempts"]) for one in facts("ls")["messages"]}

    assert found == {
        0: ("released", 2),
        2: ("discarded", 0),
        3: ("open", 0),
        4: ("open", 0),
        5: ("refused again", 2),
        6: ("open", 0),
    }
    for status, expected in (("open", [6, 4, 3]), ("released", [0]), ("refused again", [5])):
        assert offsets("--status", status) == expected
        exported = invoke("export", "--status", status).stdout.splitlines()
        rows = {
            row["offset"]: (row["status"], row["attempts"]) for row in map(json.loads, exported)
        }
        assert rows == {offset: found[offset] for offset in expected}


def test_a_decision_written_twice_is_one(lake: Planted) -> None:
    zero = Message(None, 0)
    lake.decide(zero, "refused again", "r1")
    lake.decide(zero, "refused again", "r1")

    (one,) = facts("ls", "--offsets", "0")["messages"]

    assert (one["attempts"], len(one["decisions"])) == (1, 1)
    assert json.loads(invoke("export", "--offsets", "0").stdout)["attempts"] == 1


def test_a_decision_is_on_the_message_of_its_topic_id(lake: Planted) -> None:
    lake.batch(refused("x", 0, "not_json", topic_id=OLDER_TOPIC))
    lake.batch(refused("x", 0, "not_json", topic_id=None, partition=2))
    lake.decide(Message(None, 0, topic_id=OLDER_TOPIC), "discarded", "r1")
    lake.decide(Message(None, 0, topic_id=None, partition=2), "discarded", "r1")

    found = facts("ls", "--offsets", "0")["messages"]

    assert {one["topic_id"]: one["status"] for one in found} == {
        TOPIC_ID: "open",
        OLDER_TOPIC: "discarded",
        None: "discarded",
    }
    discarded = facts("ls", "--status", "discarded")["messages"]
    assert {one["topic_id"] for one in discarded} == {OLDER_TOPIC, None}


def test_a_decision_on_a_refusal_that_a_rebuild_wrote_anew_stands_no_longer(lake: Planted) -> None:
    before = {"at": BEGAN - timedelta(hours=1)}
    for offset, decision in ((0, "released"), (2, "refused again"), (5, "discarded")):
        lake.decide(Message(None, offset), decision, "r1", **before)

    found = {one["offset"]: one for one in facts("ls")["messages"]}

    statuses = {
        offset: (found[offset]["status"], found[offset]["attempts"]) for offset in (0, 2, 5)
    }
    assert statuses == {0: ("open", 0), 2: ("open", 0), 5: ("discarded", 0)}
    assert {offset: len(found[offset]["decisions"]) for offset in (0, 2, 5)} == {0: 1, 2: 1, 5: 1}
    assert [one["offset"] for one in facts("ls", "--status", "discarded")["messages"]] == [5]
    exported = map(json.loads, invoke("export").stdout.splitlines())
    assert {one["offset"]: one["status"] for one in exported} == {
        offset: one["status"] for offset, one in found.items()
    }


def test_what_is_wanted_is_the_same_in_the_request_that_asks_for_it() -> None:
    wanted = Wanted(
        reasons=("not_json",),
        statuses=("open", "refused again"),
        since=BEGAN,
        partition=0,
        offsets=(0, 7),
    )
    assert Wanted.of(json.loads(json.dumps(wanted.facts))) == wanted
    assert Wanted().facts == {}
    assert Wanted.of({}) == Wanted()


def test_nothing_is_discarded_that_was_not_named() -> None:
    result = invoke("discard", "--why", "because")
    assert result.exit_code == 2
    assert "--all" in result.output


def test_a_position_of_no_entity_is_refused_before_spark_starts() -> None:
    result = invoke("replay", "another-topic:0:1")
    assert isinstance(result.exception, LakehouseError)
    assert result.exception.code == "UNKNOWN_TOPIC"


def test_the_statuses_of_the_command_line_are_those_that_can_be() -> None:
    assert filters.STATUSES == decisions.STATUSES


# Show


def test_all_of_a_message_is_shown(lake: Planted) -> None:
    raw = b'{"match_id": "caf\xe9"}'
    lake.batch(
        Message(
            raw.decode("utf-8", "replace"),
            7,
            reasons=refused("", 0, "not_utf8").reasons,
            raw=raw,
            key=b"k\xff",
            headers=[{"key": "source", "value": b"test"}],
        )
    )
    lake.decide(Message(None, 7), "discarded", "r1", note="not ours")

    (one,) = facts("show", f"{TOPIC}:0:7")["messages"]
    said = invoke("show", f"{TOPIC}:0:7").stdout
    as_hex = invoke("show", f"{TOPIC}:0:7", "--hex").stdout

    assert base64.b64decode(one["value_raw"]) == raw
    assert base64.b64decode(one["key"]) == b"k\xff"
    assert base64.b64decode(one["headers"][0]["value"]) == b"test"
    assert one["status"] == "discarded"
    for text in (
        "is discarded",
        "caf\\xe9",
        "k\\xff",
        "source: test",
        "not ours",
        "explain not_utf8",
    ):
        assert text in said, text
    assert Reason.NOT_UTF8.meaning in said
    dumped = [line[12:60] for line in as_hex.splitlines() if line.startswith("  0000")]
    assert bytes.fromhex("".join(dumped)) == raw


def test_offsets_of_a_topic_that_was_created_again_are_all_shown(lake: Planted) -> None:
    lake.batch(refused("x", 0, "empty", topic_id=OLDER_TOPIC))

    found = facts("show", f"{TOPIC}:0:0")["messages"]

    assert {one["topic_id"] for one in found} == {TOPIC_ID, OLDER_TOPIC}


# Stats


def test_messages_are_counted_by_all_they_are_refused_for(lake: Planted) -> None:
    lake.batch(refused("{}", 7 + 86_400, "wrong_type", "wrong_type"))
    lake.decide(Message(None, 0), "discarded", "r1")
    lake.decide(Message(None, 5), "refused again", "r2")

    found = facts("stats")["entities"]["matches"]

    assert found["total"] == 7
    assert found["statuses"] == {"open": 5, "refused again": 1, "discarded": 1}
    reasons = {row["code"]: (row["messages"], row["unsettled"]) for row in found["reasons"]}
    assert reasons == {
        "not_json": (2, 1),
        "wrong_type": (2, 2),
        "no_value": (1, 1),
        "key_missing": (1, 1),
        "expectation_failed": (1, 1),
        "empty": (1, 1),
    }
    assert found["rules"] == [{"rule": "towers_in_range", "messages": 1, "unsettled": 1}]
    assert found["days"] == [
        {"day": "2026-01-31", "messages": 6},
        {"day": "2026-02-01", "messages": 1},
    ]


@pytest.mark.usefixtures("lake")
def test_counts_are_of_those_that_meet_the_filters() -> None:
    found = facts("stats", "--reason", "wrong_type")["entities"]["matches"]

    assert found["total"] == 1
    assert [row["code"] for row in found["reasons"]] == ["key_missing", "wrong_type"]


# Explain


def test_every_reason_is_explained_and_there_is_no_other() -> None:
    assert list(ADVICE) == list(Reason)
    for advice in ADVICE.values():
        assert advice.causes
        assert advice.cures
        assert all(text.endswith(".") for some in advice for text in some)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_explained_with_what_it_means_and_what_to_do(reason: Reason) -> None:
    said = invoke("explain", str(reason)).stdout
    found = facts("explain", str(reason))["reasons"]

    assert said.startswith(f"{reason:<18} {reason.meaning}\n")
    assert all(text in said for some in ADVICE[reason] for text in some)
    assert list(found) == [reason]
    assert found[reason]["cures"] == list(ADVICE[reason].cures)


def test_without_a_reason_all_are_listed() -> None:
    assert [line.split()[0] for line in invoke("explain").stdout.splitlines()] == list(Reason)
    assert list(facts("explain")["reasons"]) == list(Reason)


# Export

PAYLOADS = [
    "plain",
    "",
    None,
    'two\r\nlines, a "quote" and a comma',
    "NUL \x00 and escape \x1b[31m",
    "\u202ebidi \U0001f3ae",
    "=1+1",
]


@pytest.fixture
def exported(tmp_path: Path, lake: Planted) -> tuple[Path, list[str | None], bytes]:
    """A lake whose players hold PAYLOADS and, last, a value that is not UTF-8."""
    raw = bytes(range(256))
    players = Planted(lake.root, "players", "esports-players").made()
    messages = [refused(value, i, "not_json", key=raw) for i, value in enumerate(PAYLOADS)]
    repaired = raw.decode("utf-8", "replace")
    last = refused(
        repaired, len(PAYLOADS), "not_utf8", raw=raw, headers=[{"key": "h", "value": raw}]
    )
    players.batch(*messages, last)
    return tmp_path / "out", [*PAYLOADS, repaired], raw


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_every_byte_is_in_an_export(
    exported: tuple[Path, list[str | None], bytes], kind: str
) -> None:
    file, values, raw = exported

    result = invoke("export", "--entity", "players", "--format", kind, "--output", str(file))

    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert f"{len(values)} messages" in result.stderr
    rows = READERS[kind](file)
    assert [row["offset"] for row in rows] == list(range(len(values)))
    assert [row["entity"] for row in rows] == ["players"] * len(values)
    no_value = "" if kind == "csv" else None
    assert [row["value"] for row in rows] == [no_value if v is None else v for v in values]
    assert [row["key"] for row in rows] == [raw] * len(PAYLOADS) + [None]
    assert [row["value_raw"] for row in rows] == [None] * len(PAYLOADS) + [raw]
    assert rows[-1]["headers"] == [{"key": "h", "value": raw}]
    assert [row["reasons"][0]["code"] for row in rows] == ["not_json"] * len(PAYLOADS) + [
        "not_utf8"
    ]
    assert {row["status"] for row in rows} == {"open"}


def read_parquet(file: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def read_jsonl(file: Path) -> list[dict[str, Any]]:
    return [in_bytes(json.loads(line)) for line in file.read_text().splitlines()]


def read_csv(file: Path) -> list[dict[str, Any]]:
    rows = []
    for row in csv.DictReader(io.StringIO(file.read_bytes().decode(), newline="")):
        typed: dict[str, Any] = {**row, "offset": int(row["offset"])}
        for name in ("headers", "reasons"):
            typed[name] = json.loads(row[name])
        for name in ("key", "value_raw"):
            typed[name] = row[name] or None
        rows.append(in_bytes(typed))
    return rows


def in_bytes(row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* with base64 undone."""
    bare = {name: row[name] and base64.b64decode(row[name]) for name in ("key", "value_raw")}
    headers = [{**one, "value": base64.b64decode(one["value"])} for one in row["headers"]]
    return {**row, **bare, "headers": headers}


READERS = {"jsonl": read_jsonl, "csv": read_csv, "parquet": read_parquet}


@pytest.mark.usefixtures("lake")
@pytest.mark.parametrize("kind", READERS)
def test_an_export_of_all_entities_or_of_nothing_can_be_read(tmp_path: Path, kind: str) -> None:
    for name, arguments, rows in (("all", [], 6), ("none", ["--offsets", "99"], 0)):
        file = tmp_path / name
        assert invoke("export", "--format", kind, "--output", str(file), *arguments).exit_code == 0
        assert len(READERS[kind](file)) == rows


@pytest.mark.usefixtures("lake")
def test_an_export_goes_to_standard_output_and_never_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("mine")

    result = invoke("export", "--output", str(file))
    lines = invoke("export", "--reason", "empty").stdout.splitlines()

    assert result.exit_code == 2
    assert file.read_text() == "mine"
    assert [json.loads(line)["offset"] for line in lines] == [6]


# What a payload may hold


def test_a_payload_cannot_drive_a_terminal(lake: Planted) -> None:
    evil = "\x1b[31mred \u202eevil\u2066 \u200f\u061c<script>\x00\r\n\x9b31m"
    reason = dict.fromkeys(("rule", "column", "expected", "got"), evil)
    message = Message(
        evil,
        7,
        reasons=[{"code": "wrong_type", **reason}],
        key=evil.encode(),
        headers=[{"key": evil, "value": evil.encode()}],
    )
    lake.batch(message)
    lake.decide(message, "refused again", evil, by=evil, note=evil)

    for arguments in (
        ["ls"],
        ["show", f"{TOPIC}:0:7"],
        ["show", f"{TOPIC}:0:7", "--hex"],
        ["stats"],
    ):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.exception
        assert "wrong_type" in result.stdout
        assert all(line.isprintable() for line in result.stdout.split("\n")), arguments
        if "--hex" not in arguments:
            assert invoke(*arguments, "--json").stdout.isascii()
    assert invoke("export").stdout.isascii()
