"""Where a message went, told from tables and commits alone."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable

from lakehouse import layout
from lakehouse.cli import lakehouse
from lakehouse.errors import LakehouseError
from lakehouse.reading import positions
from lakehouse.reading.batches import batches
from lakehouse.reading.positions import Position
from lakehouse.settings import LakeSettings
from tests.conftest import CONF, ROOT
from tests.lakes import TOPIC, TOPIC_ID, Message, Planted, match, refused

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.entities import Entity

OLDER_TOPIC = "an-older-topic-of-the-name"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path / "lake"))
    return Planted(tmp_path / "lake").made()


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(lakehouse, ["--conf", str(CONF), "trace", *arguments])


def raised(*arguments: str) -> LakehouseError:
    """Return the error of ours that the command ended with."""
    error = invoke(*arguments).exception
    assert isinstance(error, LakehouseError), error
    return error


def facts(*arguments: str) -> dict[str, Any]:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def told(offset: int, partition: int = 0) -> dict[str, Any]:
    """Return the one trace of a position."""
    found = facts(f"{TOPIC}:{partition}:{offset}")
    assert found["absent"] == []
    (only,) = found["traces"]
    return dict(only)


# Fates


def test_the_row_of_its_key_is_current(lake: Planted) -> None:
    lake.batch(match("a", 0, 1), match("b", 1, 1))
    lake.batch(match("c", 2, 1))

    one = told(1)

    assert one["fate"] == "current"
    assert one["key"] == {"match_id": "b"}
    assert (one["bronze"]["version"], one["silver"]["version"]) == (1, 1)
    assert one["row"]["position"]["offset"] == 1
    assert one["beaten"] is None
    assert one["message"]["value"] == match("b", 1, 1).value


def test_a_row_that_a_later_batch_beat_names_the_version_and_the_row(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.batch(match("b", 1, 1))
    lake.batch(match("a", 2, 2))
    lake.batch(match("a", 3, 3))

    one = told(0)

    assert one["fate"] == "superseded"
    assert one["beaten"]["first"] == one["beaten"]["last"] == 3
    assert one["beaten"]["by"]["offset"] == 2
    assert (one["row"]["position"]["offset"], one["row"]["batch"]["version"]) == (3, 4)
    assert [(t["version"], t["position"]["offset"]) for t in one["later"]] == [(3, 2), (4, 3)]


def test_a_row_beaten_in_its_own_batch_never_was_in_silver(lake: Planted) -> None:
    lake.batch(match("a", 0, 1), match("a", 1, 2))
    lake.batch(match("a", 2, 3))

    one = told(0)

    assert (one["beaten"]["first"], one["beaten"]["last"]) == (1, 1)
    assert one["beaten"]["by"]["offset"] == 1
    assert one["row"]["position"]["offset"] == 2


def test_a_message_older_than_the_row_that_was_there_is_beaten_by_it(lake: Planted) -> None:
    lake.batch(match("a", 0, 9))
    lake.batch(match("a", 1, 1))

    one = told(1)

    assert one["fate"] == "superseded"
    assert (one["beaten"]["first"], one["beaten"]["last"]) == (2, 2)
    assert one["beaten"]["by"]["offset"] == 0
    assert one["row"]["batch"]["version"] == 1


def test_a_refused_message_has_all_its_reasons(lake: Planted) -> None:
    lake.batch(refused("{}", 0, "key_missing", "wrong_type"), match("a", 1, 1))

    one = told(0)

    assert one["fate"] == "quarantined"
    assert [reason["code"] for reason in one["reasons"]] == ["key_missing", "wrong_type"]
    assert one["silver"]["version"] == 1
    assert one["row"] is None


def test_a_message_that_silver_has_yet_to_read_is_unread(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.land(match("a", 1, 2))

    one = told(1)

    assert (one["fate"], one["silver"], one["row"]) == ("unread", None, None)
    assert one["bronze"]["version"] == 2


def test_a_valid_message_whose_key_is_nowhere_has_no_fate_and_is_not_explained_away(
    lake: Planted,
) -> None:
    lake.batch(match("a", 0, 1))
    lake.rows.clear()
    lake.batch(match("b", 1, 1))

    assert told(0)["fate"] == "none"
    assert "lakehouse audit verify" in invoke(f"{TOPIC}:0:0").stdout


def test_a_message_in_silver_and_in_quarantine_has_several_fates(lake: Planted) -> None:
    both = Message(match("a", 0, 1).value, 0, match("a", 0, 1).row, refused("", 0, "empty").reasons)
    lake.batch(both)

    assert told(0)["fate"] == "several"


# Decisions


@pytest.mark.parametrize(
    ("decision", "fate"),
    [("refused again", "quarantined"), ("discarded", "discarded"), ("released", "superseded")],
)
def test_decisions_are_told_and_decide_the_fate(lake: Planted, decision: str, fate: str) -> None:
    message = Message(match("a", 0, 1).value, 0, reasons=refused("", 0, "wrong_type").reasons)
    lake.batch(message, match("a", 1, 2))
    lake.decide(message, decision, "r1", note="why not")

    one = told(0)

    assert one["fate"] == fate
    assert [(d["decision"], d["by"], d["note"]) for d in one["decisions"]] == [
        (decision, "ann", "why not")
    ]
    assert "why not" in invoke(f"{TOPIC}:0:0").stdout


def test_a_released_message_can_be_the_row_of_its_key(lake: Planted) -> None:
    message = Message(match("a", 0, 1).value, 0, reasons=refused("", 0, "wrong_type").reasons)
    lake.batch(message)
    lake.decide(message, "released", "r1")
    lake.refine(match("a", 0, 1))

    assert told(0)["fate"] == "current"


# What is not in bronze


@pytest.mark.parametrize(
    ("position", "why"), [("0:4", "before"), ("0:9", "after"), ("0:7", "gap"), ("3:0", "partition")]
)
def test_a_position_that_bronze_does_not_hold_is_told_why(
    lake: Planted, position: str, why: str
) -> None:
    lake.batch(match("a", 5, 1), match("a", 6, 2), match("a", 8, 3))

    found = facts(f"{TOPIC}:{position}")

    (absent,) = found["absent"]
    assert (absent["why"], found["traces"]) == (why, [])
    if why != "partition":
        assert (absent["oldest"], absent["newest"]) == (5, 8)
    assert f"{TOPIC}:{position} is not in bronze.matches" in invoke(f"{TOPIC}:{position}").stdout


@pytest.mark.usefixtures("lake")
def test_before_the_first_message_bronze_is_empty() -> None:
    assert facts(f"{TOPIC}:0:0")["absent"][0]["why"] == "empty"


def test_a_position_that_only_other_tables_hold_is_a_fault(lake: Planted) -> None:
    lake.land(match("a", 0, 1))
    lake.refine(match("a", 0, 1), refused("x", 1, "not_json"))

    assert facts(f"{TOPIC}:0:1")["absent"][0]["stray"] == ["quarantine"]


def test_without_bronze_the_table_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))

    error = raised(f"{TOPIC}:0:0")

    assert (error.code, error.exit_code) == ("TABLE_MISSING", 4)


@pytest.mark.parametrize("damaged", ["*.parquet", "_delta_log/*.json"])
def test_a_table_that_cannot_be_read_is_an_error_and_no_trace(lake: Planted, damaged: str) -> None:
    lake.batch(match("a", 0, 1))
    for file in (lake.root / "bronze" / "matches").glob(damaged):
        file.write_text("junk")

    error = raised(f"{TOPIC}:0:0")

    assert (error.code, error.exit_code) == ("TABLE_UNREADABLE", 4)
    assert "bronze/matches" in error.message.what


def test_before_silver_has_begun_every_message_is_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    Planted(tmp_path).land(match("a", 0, 1))

    assert told(0)["fate"] == "unread"
    assert facts("matches", "a")["messages"] == 1


def test_offsets_of_a_topic_that_was_created_again_are_told_apart(lake: Planted) -> None:
    lake.batch(match("a", 0, 1, topic_id=OLDER_TOPIC))
    lake.batch(refused("junk", 0, "not_json"))

    found = facts(f"{TOPIC}:0:0")["traces"]

    fates = {one["position"]["topic_id"]: one["fate"] for one in found}
    assert fates == {OLDER_TOPIC: "current", TOPIC_ID: "quarantined"}
    said = invoke(f"{TOPIC}:0:0").stdout
    assert OLDER_TOPIC in said
    assert TOPIC_ID in said


def test_a_message_twice_in_bronze_has_several_fates(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.land(match("a", 0, 1))

    assert [one["fate"] for one in facts(f"{TOPIC}:0:0")["traces"]] == ["several", "several"]


@pytest.mark.parametrize(
    "text",
    [
        f"{TOPIC}:0",
        f"{TOPIC}:0:-1",
        f"{TOPIC}:0:99999999999999999999",
        f"{TOPIC}:9999999999:0",
        "matches",
        "",
    ],
)
def test_what_is_no_position_is_an_error(lake: Planted, text: str) -> None:
    lake.batch(match("a", 0, 1))

    error = raised(text)

    assert (error.code, error.exit_code, error.params["text"]) == ("BAD_POSITION", 2, text)


def test_without_a_word_it_is_a_usage_error() -> None:
    assert invoke().exit_code == 2


def test_an_unknown_topic_is_answered_with_the_known_ones() -> None:
    error = raised("nope:0:0")

    assert (error.code, error.exit_code) == ("UNKNOWN_TOPIC", 2)
    assert error.params["known"] == "esports-matches, esports-players"


def test_a_position_is_read_as_it_is_written() -> None:
    at = positions.parse("a.b-c_d:3:51")

    assert (at.topic, at.partition, at.offset, str(at)) == ("a.b-c_d", 3, 51, "a.b-c_d:3:51")


# Keys


def test_a_key_has_all_its_messages_the_newest_first(lake: Planted) -> None:
    lake.batch(match("a", 0, 1), match("b", 1, 1))
    lake.batch(refused('{"match_id": "a", "status": 7}', 2, "wrong_type"), match("a", 3, 2))
    lake.land(match("a", 4, 9))

    found = facts("matches", "a")

    assert found["messages"] == 4
    assert [(one["position"]["offset"], one["fate"]) for one in found["traces"]] == [
        (4, "unread"),
        (3, "current"),
        (2, "quarantined"),
        (0, "superseded"),
    ]
    assert found["row"]["position"]["offset"] == 3
    assert found["traces"][3]["beaten"]["last"] == 2


def test_a_limit_shows_the_newest_and_counts_all(lake: Planted) -> None:
    lake.batch(*(match("a", offset, offset) for offset in range(9)))

    found = facts("matches", "a", "--limit", "2")

    assert found["messages"] == 9
    assert [one["position"]["offset"] for one in found["traces"]] == [8, 7]


def test_a_key_without_messages_is_no_error(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))

    found = facts("matches", "z")

    assert (found["row"], found["messages"], found["traces"]) == (None, 0, [])


WRITTEN = [
    ("a", r'{"match_id": "\u0061"}'),
    ("a/b", r'{"match_id": "a\/b"}'),
    ('say "x"', r'{"match_id": "say \"x\""}'),
    ("back\\slash", r'{"match_id": "back\\slash"}'),
    ("Łódź", '{"match_id": "Łódź"}'),
    ("Łódź", r'{"match_id": "\u0141\u00F3d\u017a"}'),
    ("🎮", r'{"match_id": "\ud83c\udFAE"}'),
    ("o'clock", '{"match_id": "o\'clock"}'),
    ("50% (a.b)", '{"match_id" : "50% (a.b)"}'),
    ("x", r'{"\u006datch_id": "x"}'),
]


@pytest.mark.parametrize(("key", "value"), WRITTEN)
def test_a_key_is_found_however_json_writes_it(lake: Planted, key: str, value: str) -> None:
    row = {"match_id": key, "status": "live", "ingestion_timestamp": 1}
    near = match(f"{key}.", 1, 1)
    lake.batch(Message(value, 0, row), near)

    found = facts("matches", key)

    assert [one["position"]["offset"] for one in found["traces"]] == [0]
    assert found["traces"][0]["fate"] == "current"


@pytest.mark.parametrize(
    "value",
    ['["a"]', '{"other": "a"}', '{"match_id": ["a"]}', '"a"', '{"match_id": "a"', "[" * 5000],
)
def test_what_only_holds_the_text_of_a_key_is_no_message_of_it(lake: Planted, value: str) -> None:
    lake.batch(refused(value, 0, "not_json"), match("b", 1, 1))

    assert facts("matches", "a")["messages"] == 0
    assert told(0)["fate"] == "quarantined"


def test_a_number_beyond_all_bounds_hides_neither_its_key_nor_the_others(lake: Planted) -> None:
    row = {"match_id": "a", "status": "live", "ingestion_timestamp": 1}
    lake.batch(Message('{"match_id": "a", "other": 1e99999999999999999999}', 0, row))
    lake.batch(match("a", 1, 2), refused('{"match_id": 1e99999999999999999999}', 2, "wrong_type"))

    found = facts("matches", "a")

    fates = [(one["position"]["offset"], one["fate"]) for one in found["traces"]]
    assert fates == [(1, "current"), (0, "superseded")]
    assert told(2)["fate"] == "quarantined"


TYPES = [
    (pa.int64(), "7", 7, '{"id": 7, "part": "x"}', '{"id": 70, "part": "x"}'),
    (pa.bool_(), "true", True, '{"id": true, "part": "x"}', '{"id": "true", "part": "x"}'),
    (pa.bool_(), "false", False, '{"id": false, "part": "x"}', '{"id": 0, "part": "x"}'),
    (pa.decimal128(10, 2), "1.50", "1.50", '{"id": 1.5, "part": "x"}', '{"id": 15, "part": "x"}'),
    (pa.date32(), "2026-01-31", "2026-01-31", '{"id": "2026-01-31", "part": "x"}', "{}"),
    (
        pa.timestamp("us", "UTC"),
        "2026-01-31T10:00:00Z",
        "2026-01-31 10:00:00+00:00",
        '{"id": "2026-01-31T11:00:00+01:00", "part": "x"}',
        '{"id": "2026-01-31T11:00:00Z", "part": "x"}',
    ),
]


@pytest.mark.parametrize(("kind", "text", "shown", "value", "other"), TYPES)
def test_a_key_of_several_columns_is_asked_for_in_their_order_and_types(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: pa.DataType,
    text: str,
    shown: Any,
    value: str,
    other: str,
) -> None:
    conf = tmp_path / "conf"
    (conf / "entities" / "things").mkdir(parents=True)
    (conf / "lakehouse.toml").write_text((CONF / "lakehouse.toml").read_text())
    (conf / "entities" / "things" / "schema.ddl").touch()
    (conf / "entities" / "things" / "entity.toml").write_text(
        'topic = "things"\nkeys = ["id", "part"]\n'
    )
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path / "lake"))
    typed = pa.array([text]).cast(kind)[0].as_py()
    columns = {"id": kind, "part": pa.string()}
    planted = Planted(tmp_path / "lake", "things", "things", columns, ("id", "part")).made()
    planted.batch(
        Message(value, 0, {"id": typed, "part": "x"}),
        Message(value, 1, {"id": typed, "part": "x"}),
        refused(other, 2, "wrong_type"),
    )

    result = CliRunner().invoke(
        lakehouse, ["--conf", str(conf), "trace", "things", text, "x", "--json"]
    )

    found = json.loads(result.stdout)
    assert found["key"] == {"id": shown, "part": "x"}
    fates = {one["position"]["offset"]: one["fate"] for one in found["traces"]}
    assert fates == {0: "superseded", 1: "current"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", '{"match_id": 7}'),
        ("7", '{"match_id": "7"}'),
        ("7", '{"match_id": "\\u0037"}'),
        ("1.50", '{"match_id": 1.50}'),
        ("false", '{"match_id": false}'),
    ],
)
def test_before_silver_has_begun_a_key_is_found_by_its_text_whatever_its_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: str
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    Planted(tmp_path).land(Message(value, 0), match("71", 1), match(f"{text} ", 2))

    found = facts("matches", text)

    assert [one["position"]["offset"] for one in found["traces"]] == [0]
    assert found["traces"][0]["fate"] == "unread"
    assert raised("matches", "1", "2").params["reason"] == "its key is match_id"


@pytest.mark.parametrize("keys", [["game_id"], ["match_id", "game_id"]])
def test_a_key_that_the_table_was_not_made_with_is_a_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matches: Entity, keys: list[str]
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    planted = Planted(tmp_path, columns={one: pa.string() for one in keys}, keys=keys).made()
    planted.batch(Message("{}", 0, dict.fromkeys(keys, "x")))
    home = DeltaTable(tmp_path / "silver" / "matches")
    bare = [raised("matches", "x")] if "match_id" not in keys else []
    now = json.loads(matches.identity)
    said = {layout.IDENTITY: json.dumps({**now, "keys": keys})}
    home.alter.set_table_properties(said, raise_if_not_exists=False)

    for error in (*bare, raised("matches", "x"), raised(f"{TOPIC}:0:0")):
        assert (error.code, error.exit_code) == ("ENTITY_CONFLICT", 4)
    assert (error.params["before"], error.params["now"]) == (keys, ["match_id"])


def test_what_cannot_be_a_key_is_answered_with_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    Planted(tmp_path, columns={"match_id": pa.int64()}).made()

    for words, shown in ((["seven"], "'seven'"), (["1", "2"], "'1', '2'")):
        error = raised("matches", *words)

        assert (error.code, error.exit_code) == ("BAD_KEY", 2)
        assert error.params["key"] == shown
        assert error.params["reason"] == "its key is match_id (int64)"


# Commits that are gone


def test_without_the_log_the_trail_tells_which_version_took_a_message(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.batch(match("b", 1, 1))
    before = told(0)
    lake.fold("bronze")
    lake.fold("silver")

    after = told(0)

    assert (after["bronze"], after["silver"]) == (before["bronze"], before["silver"])
    assert after["silver"]["version"] == 1


def test_where_files_of_old_versions_are_gone_the_answer_is_a_range(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.batch(match("a", 1, 2))
    lake.batch(match("a", 2, 3))
    lake.fold("silver")

    one = told(0)

    assert (one["beaten"]["first"], one["beaten"]["last"]) == (1, 3)
    assert one["beaten"]["by"] is None
    assert "in one of versions 1 to 3" in invoke(f"{TOPIC}:0:0").stdout


def test_a_message_whose_commit_is_gone_is_not_said_to_be_unread(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.batch(match("a", 1, 2), refused("junk", 2, "not_json"))
    lake.batch(match("b", 3, 1))
    lake.land(match("a", 4, 9))
    lake.forget("silver", 0, 1, 2)

    one = told(0)
    text = invoke(f"{TOPIC}:0:0").stdout

    assert (one["fate"], one["silver"], one["beaten"]) == ("superseded", None, None)
    assert (one["row"]["position"]["offset"], one["later"]) == (1, None)
    assert "no commit that is known holds it" in text
    assert [told(offset)["fate"] for offset in (1, 2, 3)] == ["current", "quarantined", "current"]
    # The last batch that took of its partition is known, and all after it.
    assert told(4)["fate"] == "unread"
    fates = {t["position"]["offset"]: t["fate"] for t in facts("matches", "a")["traces"]}
    assert fates == {0: "superseded", 1: "current", 4: "unread"}


def test_where_no_commit_tells_whether_a_message_was_taken_its_fate_is_unknown(
    lake: Planted,
) -> None:
    lake.batch(match("a", 0, 1))
    lake.batch(match("a", 1, 2))
    lake.batch(match("c", 0, 1, partition=1))
    lake.land(match("a", 2, 1), match("z", 3, 1), refused("junk", 4))
    lake.forget("silver", 0, 1, 2)

    assert told(0)["fate"] == "superseded"  # the row of its key comes after it
    assert [told(offset)["fate"] for offset in (2, 3, 4)] == ["unknown"] * 3
    assert told(2)["row"]["position"]["offset"] == 1
    assert told(3)["row"] is None
    for offset in (2, 3, 4):
        text = invoke(f"{TOPIC}:0:{offset}").stdout
        assert "nothing is known any more" in text
        assert "no commit that is known holds it" in text


def test_what_was_not_folded_before_it_was_gone_is_a_gap_of_the_trail(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.fold("silver")
    lake.batch(match("b", 1, 1))
    lake.batch(match("b", 2, 2))
    lake.land(match("b", 3, 3))
    lake.forget("silver", 2)
    by_log = [told(offset)["fate"] for offset in range(4)]
    lake.batch(match("c", 0, 1, partition=1))
    lake.forget("silver", 3)

    assert by_log == ["current", "superseded", "current", "unread"]
    assert told(0)["silver"]["version"] == 1
    assert [told(offset)["fate"] for offset in range(4)] == [
        *("current", "superseded", "current", "unknown")
    ]


def test_a_commit_that_changes_no_row_took_nothing(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.batch(match("b", 1, 1))
    lake.compact("bronze")

    assert [told(offset)["bronze"]["version"] for offset in (0, 1)] == [1, 2]


def test_what_came_after_the_version_that_is_looked_at_is_not_seen(lake: Planted) -> None:
    lake.batch(match("a", 0, 1))
    lake.batch(match("a", 1, 2))
    settings = LakeSettings(root=str(lake.root))
    places = [Position(TOPIC, 0, offset, TOPIC_ID) for offset in (0, 1)]

    by_log = batches(settings, "silver", "matches", upto=1).holding(places)
    lake.fold("silver")
    by_trail = batches(settings, "silver", "matches", upto=1).holding(places)

    assert by_log.keys() == by_trail.keys() == {places[0]}


# What a payload may hold


EVIL = (
    "\x1b[31mred\x1b[0m \u202eevil\u202c \u2066x\u2069 \u200f\u061c "
    "<script>alert(1)</script> \x00\r\n\x9b31m"
)


def test_a_payload_cannot_drive_a_terminal(lake: Planted) -> None:
    value = json.dumps({"match_id": EVIL}, ensure_ascii=False)
    evil = Message(value, 0, {"match_id": EVIL, "status": "live", "ingestion_timestamp": 1})
    bad = [{"code": "wrong_type", "rule": EVIL, "column": EVIL, "expected": EVIL, "got": EVIL}]
    lake.batch(evil, Message(value, 1, reasons=bad))
    lake.decide(Message(value, 1), "refused again", EVIL, by=EVIL, note=EVIL)

    for arguments in ([f"{TOPIC}:0:0"], [f"{TOPIC}:0:1"]):
        plain, as_json = invoke(*arguments).stdout, invoke(*arguments, "--json").stdout
        assert all(line.isprintable() for line in plain.split("\n"))
        assert "\u200f" not in plain
        assert as_json.isascii()
        assert as_json.rstrip("\n").isprintable()
    assert "\\x1b[31mred" in invoke(f"{TOPIC}:0:0").stdout
    assert json.loads(facts(f"{TOPIC}:0:0")["traces"][0]["message"]["value"])["match_id"] == EVIL


def test_nothing_of_an_engine_is_imported_for_a_trace(lake: Planted) -> None:
    lake.batch(match("a", 0, 1), match("a", 1, 2))
    code = (
        "import sys; from lakehouse.cli import lakehouse\n"
        "lakehouse(sys.argv[1:], standalone_mode=False)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "trace", f"{TOPIC}:0:0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = set(done.stderr.split())
    assert "deltalake" in loaded
    # pandas would take a third of a second of the one that an answer may take.
    assert not loaded & {"pyspark", "great_expectations", "pandas", "structlog"}
