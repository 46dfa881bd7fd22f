"""What there is to tell of a message or of a key, put together from its traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError
from lakehouse.reading import keys, positions, telling
from lakehouse.reading.positions import Position, among
from lakehouse.reading.rows import ask
from lakehouse.reading.succession import Beaten, Turn, beaten, succession
from lakehouse.reading.trace import Absent, Row, Trace, look, row_of, trace, traces

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.entities import Entity
    from lakehouse.reading.trace import Seen
    from lakehouse.settings import LakeSettings

# Bronze that is larger, compressed, is not looked through for the other messages of a key unless
# someone asks by the key: about 350,000 messages of the demo, half a second.
LOOKED_THROUGH = 16 * 1024 * 1024
# The most commits of silver that are looked into for one key: a millisecond or a few each.
COMMITS = 200


@dataclass(frozen=True, repr=False)
class Told:
    """A trace, and in which version its message was beaten. Its own text tells all of it.

    `later` are the rows that its key had in silver after the version that took it, each with that
    version; None where bronze was too large to look for them, or of that version nothing is known.
    """

    trace: Trace
    beaten: Beaten | None
    later: tuple[Turn, ...] | None

    def __repr__(self) -> str:
        return "\n".join(telling.trace_lines(self, alone=True))

    @property
    def facts(self) -> dict[str, Any]:
        """What is told, as JSON has it."""
        later = None if self.later is None else [one.facts for one in self.later]
        beaten = self.beaten.facts if self.beaten else None
        return {**self.trace.facts, "beaten": beaten, "later": later}


@dataclass(frozen=True, repr=False)
class Whereabouts:
    """Where the message at a position is. Its own text tells all of it.

    `told` has a trace for each entity of the topic and each topic id that has the position,
    `absent` says for each entity whose bronze has not why.
    """

    position: Position
    told: tuple[Told, ...]
    absent: tuple[Absent, ...]

    def __repr__(self) -> str:
        return "\n".join(telling.whereabouts_lines(self))

    @property
    def facts(self) -> dict[str, Any]:
        """Where it is, as JSON has it."""
        return {
            "position": str(self.position),
            "traces": [one.facts for one in self.told],
            "absent": [one.facts for one in self.absent],
        }


@dataclass(frozen=True, repr=False)
class Story:
    """A key: the row it has in silver, how many messages bronze has of it, and the newest ones.

    Of messages that were refused for what cannot be read no key is known; they are not among them.
    Its own text has a line for each message, and `print` shows all that is told of them.
    """

    entity: str
    key: dict[str, Any]
    now: Row | None
    messages: int
    told: tuple[Told, ...]

    def __repr__(self) -> str:
        return "\n".join(telling.story_lines(self, brief=True))

    def __str__(self) -> str:
        return "\n".join(telling.story_lines(self))

    @property
    def facts(self) -> dict[str, Any]:
        """The story as JSON has it."""
        return {
            "entity": self.entity,
            "key": self.key,
            "row": self.now.facts if self.now else None,
            "messages": self.messages,
            "traces": [one.facts for one in self.told],
        }


def whereabouts(lake: LakeSettings, known: Sequence[Entity], text: str) -> Whereabouts:
    """Return where the message at the position *text*, TOPIC:PARTITION:OFFSET, is.

    Looked for in each of the *known* entities that has the topic.

    Raises:
        ConfigError: BAD_POSITION or UNKNOWN_TOPIC.
        TableError: TABLE_MISSING, of bronze; TABLE_UNREADABLE; ENTITY_CONFLICT.
    """
    at = positions.parse(text)
    chosen = [one for one in known if one.topic == at.topic]
    if not chosen:
        topics = ", ".join(sorted({one.topic for one in known}))
        raise ConfigError("UNKNOWN_TOPIC", topic=at.topic, known=topics)
    told: list[Told] = []
    absent: list[Absent] = []
    for entity in chosen:
        found = of_position(look(lake, entity), at)
        if isinstance(found, Absent):
            absent.append(found)
        else:
            told += found
    return Whereabouts(at, tuple(told), tuple(absent))


def story(lake: LakeSettings, entity: Entity, words: Sequence[str], most: int) -> Story:
    """Return what there is to tell of the key that *words* are, one for each column of it.

    Of its newest *most* messages.

    Raises:
        ConfigError: BAD_KEY.
        TableError: TABLE_MISSING, of bronze; TABLE_UNREADABLE; ENTITY_CONFLICT.
    """
    seen = look(lake, entity)
    types = keys.kinds(seen.silver, entity)
    found = keys.written(words, types) if len(words) == len(types) else None
    if found is None:
        both = zip(entity.keys, types, strict=True)
        said = ", ".join(f"{name} ({kind})" if kind else name for name, kind in both)
        key = ", ".join(map(repr, words)) or "nothing"
        raise ConfigError("BAD_KEY", key=key, entity=entity.name, reason=f"its key is {said}")
    return of_key(seen, dict(zip(entity.keys, found, strict=True)), most)


def of_position(seen: Seen, at: Position) -> list[Told] | Absent:
    """Return what there is to tell of the message at *at*, for each topic id that has it."""
    found = trace(seen, at)
    if isinstance(found, Absent):
        return found
    size = sum(seen.bronze.get_add_actions(flatten=True)["size_bytes"].to_pylist())
    return [_told(seen, one, complete=size <= LOOKED_THROUGH) for one in found]


def of_key(seen: Seen, key: Mapping[str, Any], most: int) -> Story:
    """Return what there is to tell of *key*: of its newest *most* messages, by Kafka's time."""
    types = keys.kinds(seen.silver, seen.entity)
    found = keys.messages(seen.bronze, key, types)
    found.sort(key=lambda row: (row["timestamp"], row["partition"], row["offset"]), reverse=True)
    shown = [Position.of(row) for row in found[:most]]
    rows = ask(f"SELECT * FROM t WHERE {among(shown)}", t=seen.bronze)  # noqa: S608 - numbers
    by = {Position.of(row): row for row in rows}
    ways = traces(seen, [by[at] for at in shown])
    since = min((one.taken.version for one in ways if one.taken), default=0)
    turns = succession(seen, seen.taken.since(since, map(Position.of, found)), COMMITS)
    told = tuple(Told(one, beaten(one, turns), None) for one in ways)
    return Story(seen.entity.name, dict(key), row_of(seen, key), len(found), told)


def _told(seen: Seen, one: Trace, *, complete: bool) -> Told:
    if one.key is None:
        return Told(one, None, ())
    if one.taken is None:
        return Told(one, None, () if one.fate == "current" else None)
    taken = {one.position: one.taken}
    if complete:
        types = keys.kinds(seen.silver, seen.entity)
        found = map(Position.of, keys.messages(seen.bronze, one.key, types))
        taken = seen.taken.since(one.taken.version, found)
    turns = succession(seen, taken, COMMITS)
    later = tuple(t for t in turns if t.row and t.batch.version > one.taken.version)
    return Told(one, beaten(one, turns), later if complete else None)
