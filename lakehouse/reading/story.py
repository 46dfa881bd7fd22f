"""What there is to tell of a message or of a key, put together from its traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.reading import keys
from lakehouse.reading.positions import Position, among
from lakehouse.reading.rows import ask
from lakehouse.reading.succession import Beaten, Turn, beaten, succession
from lakehouse.reading.trace import Absent, Row, Trace, row_of, trace, traces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.reading.trace import Seen

# Bronze that is larger, compressed, is not looked through for the other messages of a key unless
# someone asks by the key: about 350,000 messages of the demo, half a second.
LOOKED_THROUGH = 16 * 1024 * 1024
# The most commits of silver that are looked into for one key: a millisecond or a few each.
COMMITS = 200


@dataclass(frozen=True)
class Told:
    """A trace, and in which version its message was beaten.

    `later` are the rows that its key had in silver after the version that took it, each with that
    version; None where bronze was too large to look for them.
    """

    trace: Trace
    beaten: Beaten | None
    later: tuple[Turn, ...] | None


@dataclass(frozen=True)
class Story:
    """A key: the row it has in silver, how many messages bronze has of it, and the newest ones.

    Of messages that were refused for what cannot be read no key is known; they are not among them.
    """

    key: dict[str, Any]
    now: Row | None
    messages: int
    told: tuple[Told, ...]


def of_position(seen: Seen, at: Position) -> list[Told] | Absent:
    """Return what there is to tell of the message at *at*, for each topic id that has it."""
    found = trace(seen, at)
    if isinstance(found, Absent):
        return found
    size = sum(seen.bronze.get_add_actions(flatten=True)["size_bytes"].to_pylist())
    return [_told(seen, one, complete=size <= LOOKED_THROUGH) for one in found]


def of_key(seen: Seen, key: Mapping[str, Any], most: int) -> Story:
    """Return what there is to tell of *key*: of its newest *most* messages, by Kafka's time."""
    types = keys.kinds(seen.silver, list(key))
    found = keys.messages(seen.bronze, key, types)
    found.sort(key=lambda row: (row["timestamp"], row["partition"], row["offset"]), reverse=True)
    shown = [Position.of(row) for row in found[:most]]
    rows = ask(f"SELECT * FROM t WHERE {among(shown)}", t=seen.bronze)  # noqa: S608 - numbers
    by = {Position.of(row): row for row in rows}
    ways = traces(seen, [by[at] for at in shown])
    since = min((one.taken.version for one in ways if one.taken), default=0)
    turns = succession(seen, seen.taken.since(since, map(Position.of, found)), COMMITS)
    told = (Told(one, beaten(one, turns), None) for one in ways)
    return Story(dict(key), row_of(seen, key), len(found), tuple(told))


def _told(seen: Seen, one: Trace, *, complete: bool) -> Told:
    if one.key is None or one.taken is None:
        return Told(one, None, ())
    taken = {one.position: one.taken}
    if complete:
        types = keys.kinds(seen.silver, list(one.key))
        found = map(Position.of, keys.messages(seen.bronze, one.key, types))
        taken = seen.taken.since(one.taken.version, found)
    turns = succession(seen, taken, COMMITS)
    later = tuple(t for t in turns if t.row and t.batch.version > one.taken.version)
    return Told(one, beaten(one, turns), later if complete else None)
