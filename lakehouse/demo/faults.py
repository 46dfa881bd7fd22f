"""Every way a demo message can be broken, each as a real producer would break it.

A fault is planted into a sound record, and into one place only, so the message has exactly one
reason to be refused. The code of a fault is the reason code that the message will get.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

Record = dict[str, object]

LATE_SHARE, REPEAT_SHARE, NO_SEQUENCE_SHARE = 0.03, 0.02, 0.005

# `allow_nan=False`: a NaN may only ever be planted, never slip into a sound message.
encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode

# Stands in for a raw token until it is planted. No name holds a NUL, so it is found only there.
_SLOT = "\0"


class Fields(NamedTuple):
    """Which fields of an entity carry what, as far as faults care."""

    key: str
    sequence: str
    names: tuple[str, ...]
    counts: tuple[str, ...]
    times: tuple[str, ...]
    ratios: tuple[str, ...] = ()


FIELDS = {
    "matches": Fields(
        key="match_id",
        sequence="ingestion_timestamp",
        names=("team_1_name", "team_2_name", "tournament_name"),
        counts=("match_duration", "team_1_gold", "team_2_gold", "team_1_kills", "team_2_kills"),
        times=("started_at", "finished_at"),
    ),
    "players": Fields(
        key="player_id",
        sequence="profile_updated_at",
        names=("summoner_name", "nickname", "first_name", "last_name"),
        counts=("total_games", "total_wins", "total_losses"),
        times=("last_match_date", "profile_updated_at"),
        ratios=("avg_kills", "avg_assists", "kda_ratio", "avg_gold_per_min"),
    ),
}


class Kind(NamedTuple):
    """One kind of fault; of two kinds, the one with twice the weight is met twice as often."""

    code: str
    weight: int
    spoil: Callable[[Random, Record, Fields], bytes | None]


def _text(record: Record) -> bytes:
    return encode(record).encode()


def _planted(record: Record, field: str, token: bytes) -> bytes:
    """The record with a raw token, which no encoder would write, as the value of one field."""
    return _text({**record, field: _SLOT}).replace(encode(_SLOT).encode(), token)


def latin_1_name(rng: Random, record: Record, fields: Fields) -> bytes:
    """A name comes from an old database that is not UTF-8."""
    name = rng.choice(("José", "Zoë", "Jörg", "Åsa", "Élodie"))
    return _planted(record, rng.choice(fields.names), f'"{name}"'.encode("latin-1"))


def lone_surrogate(rng: Random, record: Record, fields: Fields) -> bytes:
    """A name was cut to a length in the middle of an emoji: half of a pair is no character."""
    half = rng.choice((rb'"Lucky\ud800"', rb'"Lucky\ud83c"', rb'"Lucky\uDE00"'))
    return _planted(record, rng.choice(fields.names), half)


def blank(rng: Random, _record: Record, _fields: Fields) -> bytes:
    """A buffer that was never filled, or the blank last line of a file."""
    return rng.choice((b"", b" ", b"\n", b"\t\r\n"))


def tombstone(_rng: Random, _record: Record, _fields: Fields) -> None:
    """Kafka's own way to say that a key is gone, in a topic that has no such meaning."""
    return


def truncated(rng: Random, record: Record, _fields: Fields) -> bytes:
    """The producer's buffer was too short. Cut between characters: it stays UTF-8."""
    text = encode(record)
    return text[: rng.randrange(1, len(text))].encode()


def single_quoted(_rng: Random, record: Record, _fields: Fields) -> bytes:
    """A Python producer sent `str(record)` in place of JSON."""
    return str(record).encode()


def not_a_number(rng: Random, record: Record, fields: Fields) -> bytes:
    """A producer divided zero by zero, and its encoder wrote the result as it was."""
    return _planted(record, rng.choice(fields.ratios or fields.counts), b"NaN")


def trailing_junk(rng: Random, record: Record, _fields: Fields) -> bytes:
    """A template closed one bracket too many, or a shell script added its own text."""
    return _text(record) + rng.choice((b"}", b"]", b",", b" # retry 1"))


def two_documents(rng: Random, record: Record, _fields: Fields) -> bytes:
    """A batch of lines was sent as one message."""
    return _text(record) + rng.choice((b"", b"\n")) + _text(record)


def array_root(_rng: Random, record: Record, _fields: Fields) -> bytes:
    """A list of one, from an endpoint that returns pages."""
    return b"[" + _text(record) + b"]"


def number_root(rng: Random, _record: Record, _fields: Fields) -> bytes:
    """A heartbeat went to the wrong topic."""
    return str(rng.randrange(1, 1_000_000)).encode()


def text_root(_rng: Random, record: Record, _fields: Fields) -> bytes:
    """The record was encoded twice."""
    return encode(encode(record)).encode()


def duplicate_key(rng: Random, record: Record, _fields: Fields) -> bytes:
    """A field was added by string building though it was there already, with the same value."""
    field = rng.choice(list(record))
    return f"{encode(record)[:-1]},{encode(field)}:{encode(record[field])}}}".encode()


def key_absent(_rng: Random, record: Record, fields: Fields) -> bytes:
    """The producer knows an older contract, without the key."""
    return _text({name: value for name, value in record.items() if name != fields.key})


def key_null(_rng: Random, record: Record, fields: Fields) -> bytes:
    """A join upstream found no partner."""
    return _text({**record, fields.key: None})


def key_number(rng: Random, record: Record, fields: Fields) -> bytes:
    """A producer sent a number where text is due: `001` and `1` would become one key."""
    return _text({**record, fields.key: rng.randrange(1, 100_000)})


def text_for_number(rng: Random, record: Record, fields: Fields) -> bytes:
    """A value was formatted for people before it was sent."""
    return _text({**record, rng.choice(fields.counts): rng.choice(("n/a", "31:20", "12.4k"))})


def object_for_text(rng: Random, record: Record, fields: Fields) -> bytes:
    """A newer producer nests what used to be flat."""
    field = rng.choice(fields.names)
    return _text({**record, field: {"display": record[field], "locale": "en"}})


def no_instant(rng: Random, record: Record, fields: Fields) -> bytes:
    """Epoch seconds; or a time without its day, which read carelessly means today."""
    return _text({**record, rng.choice(fields.times): rng.choice((1_769_853_600, "10:00"))})


def overflow(rng: Random, record: Record, fields: Fields) -> bytes:
    """-1 as an unsigned number, one past the limit, or epoch milliseconds in an INT."""
    number = rng.choice((4_294_967_295, 2_147_483_648, 1_769_853_610_000))
    return _text({**record, rng.choice(fields.counts): number})


def infinite(rng: Random, record: Record, fields: Fields) -> bytes:
    """A number that no DOUBLE holds; where the entity has no DOUBLE, one that no INT holds."""
    if not fields.ratios:
        return overflow(rng, record, fields)
    return _planted(record, rng.choice(fields.ratios), b"1e400")


def year_10000(rng: Random, record: Record, fields: Fields) -> bytes:
    """`Never` was stored as the day after the last day that calendars agree on."""
    return _text({**record, rng.choice(fields.times): "10000-01-01T00:00:00Z"})


def below_nought(rng: Random, record: Record, fields: Fields) -> bytes:
    """A counter was reset in between, and a difference of two readings came out negative."""
    return _text({**record, rng.choice(fields.counts): -rng.randrange(1, 50)})


# Weights by feel of what support desks see most: cut messages and wrong types lead.
KINDS = (
    Kind("not_utf8", 2, latin_1_name),
    Kind("not_utf8", 1, lone_surrogate),
    Kind("empty", 2, blank),
    Kind("no_value", 2, tombstone),
    Kind("not_json", 5, truncated),
    Kind("not_json", 3, single_quoted),
    Kind("not_json", 2, not_a_number),
    Kind("not_json", 1, trailing_junk),
    Kind("not_json", 1, two_documents),
    Kind("root_not_object", 2, array_root),
    Kind("root_not_object", 1, number_root),
    Kind("root_not_object", 1, text_root),
    Kind("duplicate_key", 2, duplicate_key),
    Kind("key_missing", 3, key_absent),
    Kind("key_missing", 2, key_null),
    Kind("wrong_type", 2, key_number),
    Kind("wrong_type", 4, text_for_number),
    Kind("wrong_type", 2, object_for_text),
    Kind("wrong_type", 2, no_instant),
    Kind("out_of_range", 2, overflow),
    Kind("out_of_range", 1, infinite),
    Kind("out_of_range", 1, year_10000),
    Kind("expectation_failed", 3, below_nought),
)


def deal(rng: Random) -> Iterator[Kind]:
    """Kinds come without end, each deck of them holding every kind as often as its weight.

    Dealt rather than drawn one by one, so that a short demo also meets the rare ones.
    """
    deck = [kind for kind in KINDS for _ in range(kind.weight)]
    while True:
        rng.shuffle(deck)
        yield from deck


def delivered(rng: Random, updates: Iterator[tuple[str, Record]]) -> Iterator[tuple[str, Record]]:
    """Updates come as a network delivers them; each of them is still a sound one.

    Some come twice, some only after the next one of their key, and some without their sequence.
    """
    held: dict[object, Record] = {}
    for entity, record in updates:
        key = record[FIELDS[entity].key]
        if rng.random() < NO_SEQUENCE_SHARE:
            del record[FIELDS[entity].sequence]
        # A finished match has no next update that its last one could come after.
        may_be_late = key not in held and record.get("status") != "finished"
        if may_be_late and rng.random() < LATE_SHARE:
            held[key] = record
            continue
        yield entity, record
        if rng.random() < REPEAT_SHARE:
            yield entity, record
        if key in held:
            yield entity, held.pop(key)
