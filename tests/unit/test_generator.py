"""The demo's messages: the same for the same seed, sound where they say so, broken as they say."""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from lakehouse.demo import faults
from lakehouse.demo.generator import Message, messages

TEXT, INT, BIGINT, DOUBLE, BOOLEAN, TIME = "text", "int", "bigint", "double", "boolean", "time"
KEYS = {"matches": "match_id", "players": "player_id"}
SEQUENCES = {"matches": "ingestion_timestamp", "players": "profile_updated_at"}


def _columns(**words: str) -> dict[str, str]:
    return {name: kind for kind, names in words.items() for name in names.split()}


COLUMNS = {
    "matches": _columns(
        text="match_id game_id platform_game_id tournament_id tournament_name game_version patch"
        " team_1_id team_1_name team_2_id team_2_name winner_id winner_name status match_type"
        " data_source",
        int="match_duration team_1_kills team_2_kills team_1_gold team_2_gold team_1_towers"
        " team_2_towers game_number",
        time="started_at finished_at",
        bigint="ingestion_timestamp",
    ),
    "players": _columns(
        text="player_id summoner_name game_name tag_line first_name last_name nickname nationality"
        " current_team_id current_team_name role recent_form data_source",
        boolean="active professional",
        int="total_games total_wins total_losses",
        double="win_rate avg_kills avg_deaths avg_assists kda_ratio avg_cs_per_min"
        " avg_gold_per_min",
        time="last_match_date profile_updated_at",
        bigint="ingestion_timestamp",
    ),
}
INSTANT = re.compile(r"[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
CODES = {
    "not_utf8",
    "empty",
    "no_value",
    "not_json",
    "root_not_object",
    "duplicate_key",
    "expectation_failed",
    "key_missing",
    "wrong_type",
    "out_of_range",
}


def _rng(seed: int) -> random.Random:
    return random.Random(seed)


@cache
def _sample(*, bad_rate: float) -> tuple[Message, ...]:
    return tuple(messages(8_000, bad_rate=bad_rate, seed=7))


def _records(entity: str) -> list[dict[str, Any]]:
    return [json.loads(m.value or b"") for m in _sample(bad_rate=0.0) if m.entity == entity]


def _by_key(entity: str) -> list[list[dict[str, Any]]]:
    """The records of each key that carry their sequence, in the order of arrival."""
    keys = defaultdict(list)
    for record in _records(entity):
        if SEQUENCES[entity] in record:
            keys[record[KEYS[entity]]].append(record)
    return list(keys.values())


def _fits(value: object, kind: str) -> bool:
    if kind == TIME:
        return isinstance(value, str) and INSTANT.fullmatch(value) is not None
    if kind in (INT, BIGINT):
        return type(value) is int and abs(value) < 2 ** (31 if kind == INT else 63)
    if kind == DOUBLE:
        return type(value) is float and abs(value) != float("inf")
    return type(value) is {TEXT: str, BOOLEAN: bool}[kind]


def _refuse(token: str) -> None:
    raise ValueError(f"{token} is not JSON")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise KeyError("duplicate")
    return dict(pairs)


def _odd_column(value: object, kind: str) -> str | None:
    """The reason of one value, judged apart from the generator: a reading of the contract."""
    if kind == INT and type(value) is int and -1_000 < value < 0:
        return "expectation_failed"  # nothing that an INT counts here can be negative
    if value is None or _fits(value, kind):
        return "not_utf8" if re.search("[\ud800-\udfff]", str(value)) else None
    numeric = type(value) in (int, float) and kind in (INT, BIGINT, DOUBLE)
    far = kind == TIME and str(value).startswith("10000-")
    return "out_of_range" if numeric or far else "wrong_type"


def _document_reasons(record: object, entity: str) -> set[str | None]:
    if not isinstance(record, dict):
        return {"root_not_object"}
    columns = COLUMNS[entity]
    found = {_odd_column(value, columns[name]) for name, value in record.items()}
    if record.get(KEYS[entity]) is None:
        found.add("key_missing")
    return found - {None} or {None}


def _reasons(message: Message) -> set[str | None]:
    """Every reason against a message, or {None}."""
    if message.value is None:
        return {"no_value"}
    if not message.value.strip():
        return {"empty"}
    try:
        text = message.value.decode()
        record = json.loads(text, parse_constant=_refuse, object_pairs_hook=_pairs)
    except KeyError:
        return {"duplicate_key"}
    except ValueError as error:
        return {"not_utf8" if isinstance(error, UnicodeDecodeError) else "not_json"}
    return _document_reasons(record, message.entity)


def test_the_same_seed_gives_the_same_messages() -> None:
    first = list(messages(3_000, bad_rate=0.3, seed=11))
    assert first == list(messages(3_000, bad_rate=0.3, seed=11))


def test_another_seed_gives_other_messages() -> None:
    first = {m.value for m in messages(500, bad_rate=0.0, seed=1)}
    assert not first & {m.value for m in messages(500, bad_rate=0.0, seed=2)}


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    longer = list(messages(500, bad_rate=0.2, seed=5))
    assert list(messages(200, bad_rate=0.2, seed=5)) == longer[:200]


def test_the_simulated_clock_starts_at_a_fixed_instant_whatever_the_day() -> None:
    start = int(datetime(2026, 1, 31, 10, tzinfo=UTC).timestamp() * 1000)
    assert start < _records("matches")[0]["ingestion_timestamp"] < start + 120_000
    random.seed(99)
    assert tuple(messages(200, bad_rate=0.0, seed=7)) == _sample(bad_rate=0.0)[:200]


@pytest.mark.parametrize("count", [0, 1, 17, 2_000])
@pytest.mark.parametrize("bad_rate", [0.0, 0.5, 1.0])
def test_exactly_as_many_messages_come_as_were_asked_for(count: int, bad_rate: float) -> None:
    assert sum(1 for _ in messages(count, bad_rate=bad_rate, seed=3)) == count


def test_messages_come_lazily() -> None:
    assert next(messages(10**12, bad_rate=0.1, seed=3)).entity in KEYS


@pytest.mark.parametrize("bad_rate", [0.01, 0.2, 0.7])
def test_the_dial_sets_the_share_of_bad_messages(bad_rate: float) -> None:
    bad = sum(m.fault is not None for m in messages(10_000, bad_rate=bad_rate, seed=4))
    assert bad / 10_000 == pytest.approx(bad_rate, rel=0.2, abs=0.002)


def test_a_dial_of_zero_gives_none_and_of_one_gives_only_bad_messages() -> None:
    assert all(m.fault is None for m in _sample(bad_rate=0.0))
    assert all(m.fault is not None for m in _sample(bad_rate=1.0))


def test_seven_of_ten_messages_are_about_matches() -> None:
    share = Counter(m.entity for m in _sample(bad_rate=0.0))["matches"] / 8_000
    assert share == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("entity", KEYS)
def test_sound_messages_carry_the_contract_s_fields_with_the_right_types(entity: str) -> None:
    columns = COLUMNS[entity]
    for record in _records(entity):
        assert columns.keys() - record.keys() <= {SEQUENCES[entity]}
        for name, value in record.items():
            nullable = name != KEYS[entity]
            assert _fits(value, columns[name]) or (value is None and nullable), (name, value)


@pytest.mark.parametrize("entity", KEYS)
def test_the_kafka_key_is_the_key_in_the_value(entity: str) -> None:
    for message in _sample(bad_rate=0.0):
        if message.entity == entity:
            assert message.key == json.loads(message.value or b"")[KEYS[entity]].encode()
            assert message.headers == (("source", b"demo"),)


def test_values_are_compact_and_hold_names_beyond_ascii() -> None:
    values = [m.value or b"" for m in _sample(bad_rate=0.0)]
    for value in values:
        plain = json.dumps(json.loads(value), separators=(",", ":"), ensure_ascii=False)
        assert value == plain.encode()
    assert any(not value.isascii() for value in values)


def test_a_match_is_scheduled_then_live_then_finished_and_only_ever_grows() -> None:
    order = ("scheduled", "live", "finished")
    growing = ["match_duration"]
    growing += [f"team_{n}_{what}" for n in "12" for what in ("kills", "gold", "towers")]
    lives = [sorted(life, key=lambda r: r["ingestion_timestamp"]) for life in _by_key("matches")]
    for life in lives:
        for older, newer in pairwise(life):
            assert order.index(older["status"]) <= order.index(newer["status"])
            assert all(older[name] <= newer[name] for name in growing)
    whole = [life for life in lives if {r["status"] for r in life} == set(order)]
    assert len(whole) > 100


def test_several_matches_are_in_flight_at_once() -> None:
    live = {r["match_id"] for r in _records("matches")[1_000:1_200] if r["status"] == "live"}
    assert len(live) >= 8


def test_a_finished_match_has_a_winner_and_times_that_make_its_duration() -> None:
    for r in _records("matches"):
        done = r["status"] == "finished"
        assert done == (r["winner_id"] is not None) == (r["finished_at"] is not None)
        assert (r["status"] == "scheduled") == (r["started_at"] is None)
        assert 0 <= r["team_1_towers"] <= 11
        assert 0 <= r["team_2_towers"] <= 11
        if done:
            sides = [(r["team_1_id"], r["team_1_name"]), (r["team_2_id"], r["team_2_name"])]
            assert (r["winner_id"], r["winner_name"]) in sides
            start, end = map(datetime.fromisoformat, (r["started_at"], r["finished_at"]))
            assert (end - start).total_seconds() == r["match_duration"] > 0


def test_a_series_ends_when_a_team_has_won_it() -> None:
    series = defaultdict(dict)  # type: ignore[var-annotated]
    for r in _records("matches"):
        series[r["match_id"][:-1]][r["game_number"]] = r
    for games in series.values():
        assert sorted(games) == list(range(1, len(games) + 1))
        wins = Counter(r["winner_id"] for r in games.values() if r["winner_id"])
        assert max(wins.values(), default=0) <= 3
        assert len({frozenset((r["team_1_id"], r["team_2_id"])) for r in games.values()}) == 1
        if any(r["match_type"] == "regular" for r in games.values()):
            assert len(games) == 1
    assert {len(games) for games in series.values()} >= {1, 2, 3}


def test_wins_and_losses_never_exceed_games_and_rates_follow_from_them() -> None:
    for r in _records("players"):
        games, wins = r["total_games"], r["total_wins"]
        assert wins + r["total_losses"] <= games
        assert r["win_rate"] == pytest.approx(wins / games if games else 0.0, abs=1e-4)
        kda = (r["avg_kills"] + r["avg_assists"]) / (r["avg_deaths"] or 1.0)
        assert r["kda_ratio"] == pytest.approx(kda, abs=0.01)
        assert re.fullmatch("[WL]{0,5}", r["recent_form"])
        assert len(r["recent_form"]) == min(5, wins + r["total_losses"])
        assert r["role"] in {"Top", "Jungle", "Mid", "ADC", "Support"}
        assert (r["last_match_date"] or "") < r.get("profile_updated_at", "9")
    assert any(r["total_wins"] + r["total_losses"] < r["total_games"] for r in _records("players"))


@pytest.mark.parametrize("entity", KEYS)
def test_a_few_percent_of_updates_come_late_and_a_few_come_twice(entity: str) -> None:
    pairs = [
        (older[SEQUENCES[entity]], newer[SEQUENCES[entity]], older == newer)
        for life in _by_key(entity)
        for older, newer in pairwise(life)
    ]
    late = sum(newer < older for older, newer, _ in pairs)
    repeats = sum(same for *_, same in pairs)
    assert 0.01 < late / len(pairs) < 0.06
    assert 0.01 < repeats / len(pairs) < 0.05
    assert all(same or newer != older for older, newer, same in pairs)


@pytest.mark.parametrize("entity", KEYS)
def test_few_messages_lack_their_sequence(entity: str) -> None:
    records = _records(entity)
    lacking = sum(SEQUENCES[entity] not in r for r in records)
    assert 0.001 < lacking / len(records) < 0.015


def test_each_message_has_exactly_the_reason_that_it_was_given() -> None:
    for message in (*_sample(bad_rate=1.0), *_sample(bad_rate=0.0)):
        assert _reasons(message) == {message.fault}, message


def test_only_a_message_without_its_key_has_no_kafka_key() -> None:
    for message in _sample(bad_rate=1.0):
        assert (message.key is None) == (message.fault == "key_missing")


@pytest.mark.parametrize("entity", KEYS)
def test_every_kind_of_fault_is_what_it_says(entity: str) -> None:
    key = KEYS[entity]
    for kind in faults.KINDS:
        record = next(r for r in _records(entity) if r[key])
        before, rng = dict(record), _rng(1)
        for _ in range(50):
            value = kind.spoil(rng, record, faults.FIELDS[entity])
            spoilt = Message(entity, b"k", value, (), kind.code)
            assert _reasons(spoilt) == {kind.code}, (kind, value)
        assert record == before


def test_a_few_hundred_bad_messages_hold_every_reason() -> None:
    for entity in KEYS:
        bad = [m for m in messages(400, bad_rate=1.0, seed=8) if m.entity == entity]
        assert {m.fault for m in bad} == CODES


def test_a_deck_holds_every_kind_as_often_as_its_weight() -> None:
    dealt = faults.deal(_rng(2))
    size = sum(kind.weight for kind in faults.KINDS)
    for _ in range(3):
        deck = Counter(next(dealt).spoil for _ in range(size))
        assert deck == {kind.spoil: kind.weight for kind in faults.KINDS}


def test_truncated_messages_are_cut_everywhere_and_stay_utf_8() -> None:
    record: faults.Record = {"match_id": "é" * 20}
    rng = _rng(3)
    cuts = {faults.truncated(rng, record, faults.FIELDS["matches"]) for _ in range(1_000)}
    assert len(cuts) == len(json.dumps(record, ensure_ascii=False, separators=(",", ":"))) - 1
    assert all(cut.decode() for cut in cuts)
