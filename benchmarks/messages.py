"""The load: matches as JSON of a given size, a fixed share of them bad or repeated.

One in a hundred is cut short, one in two hundred has a wrong type, one in twenty repeats a key
that was there before. Which ones is fixed by their number, so every run sees the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 4
# The whole record of a match is about this long; longer messages carry events nobody asked for.
WHOLE = 800
EVENT = {"at": 1200, "kind": "tower", "by": "team_1", "lane": "mid", "note": "first of the game"}
STATUSES = ("finished", "live", "scheduled")


@dataclass(frozen=True)
class Load:
    """So many messages of about so many bytes, the first of them number `start`."""

    count: int
    size: int = WHOLE
    start: int = 0

    @property
    def bad(self) -> int:
        """How many of them are refused, whoever reads them strictly."""
        numbers = range(self.start, self.start + self.count)
        return sum(is_cut(n) or is_mistyped(n) for n in numbers)


def is_cut(number: int) -> bool:
    """Say whether the message of this *number* is cut short."""
    return number % 100 == 37


def is_mistyped(number: int) -> bool:
    """Say whether the message of this *number* has text where a number belongs."""
    return number % 200 == 11


def values(load: Load) -> Iterator[bytes]:
    """The values of *load*, in order."""
    template = json.dumps(_record(load.size), separators=(",", ":")).replace("%", "%%")
    for name in ("match_id", "status"):
        template = template.replace(f'"{name}":"?"', f'"{name}":"%({name})s"')
    for name in ("match_duration", "team_1_kills", "team_2_gold", "ingestion_timestamp"):
        template = template.replace(f'"{name}":0', f'"{name}":%({name})s')
    for number in range(load.start, load.start + load.count):
        # 501 before: a number that itself repeats no key.
        key = number - 501 if number % 20 == 3 and number >= 501 else number
        text = template % {
            "match_id": f"m-{key:010d}",
            "status": STATUSES[key % 3],
            "match_duration": '"long"' if is_mistyped(number) else 1200 + number % 2400,
            "team_1_kills": number % 40,
            "team_2_gold": 20_000 + number * 7919 % 60_000,
            "ingestion_timestamp": 1_769_853_600_000 + number,
        }
        yield (text[: len(text) * 2 // 3] if is_cut(number) else text).encode()


def _record(size: int) -> dict[str, Any]:
    """Return the record of a match, all that is fixed filled in: part of it where it is short."""
    record: dict[str, Any] = {
        "match_id": "?",
        "status": "?",
        "match_duration": 0,
        "team_1_kills": 0,
        "team_2_gold": 0,
        "ingestion_timestamp": 0,
        "game_number": 2,
        "patch": "26.1",
        "match_type": "best_of",
    }
    if size < WHOLE:
        return record
    record |= {
        "game_id": "0100231",
        "platform_game_id": "ESPORTSTMNT03_2734561",
        "tournament_id": "winter-crown-2026-playoffs-upper",
        "tournament_name": "Winter Crown 2026, Playoffs, Upper Bracket",
        "game_version": "26.1.741.1077",
        "team_1_id": "T07",
        "team_1_name": "Saint Bernard's Owls",
        "team_2_id": "T21",
        "team_2_name": "Łódź Kraken",
        "winner_id": "T07",
        "winner_name": "Saint Bernard's Owls",
        "team_2_kills": 11,
        "team_1_gold": 61234,
        "team_1_towers": 9,
        "team_2_towers": 3,
        "started_at": "2026-01-31T10:00:00Z",
        "finished_at": "2026-01-31T10:41:30Z",
        "data_source": "official-feed-of-the-league",
    }
    short = size - len(json.dumps(record, separators=(",", ":")).encode()) - 30
    if short >= len(json.dumps(EVENT)):
        record["events"] = [EVENT] * (short // len(json.dumps(EVENT, separators=(",", ":"))))
    return record


def make(bootstrap: str, topic: str) -> None:
    """Have *topic* exist."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if topic not in admin.list_topics(timeout=10).topics:
        new = NewTopic(topic, PARTITIONS, 1, config={"max.message.bytes": "20000000"})
        for created in admin.create_topics([new]).values():
            created.result()


def produce(bootstrap: str, topic: str, load: Load) -> None:
    """Have *topic*, made if it is not there, hold the messages of *load*, spread evenly.

    Raises:
        RuntimeError: the broker did not take them all.
    """
    make(bootstrap, topic)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "1",
            "linger.ms": 50,
            "queue.buffering.max.messages": 500_000,
        }
    )
    for number, value in enumerate(values(load), load.start):
        while True:
            try:
                producer.produce(topic, value, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    if left := producer.flush(120):
        raise RuntimeError(f"{left} messages did not reach {topic}")
