"""Where a message went: what the tables and the commits say of its position, without a JVM.

What is proof: that the message is in bronze, in quarantine or in silver, and in which versions;
which batch took it; which decisions were made. All of it is looked up, and nothing judged again.
What is read: the key of a message that is neither in silver nor refused, from its JSON. That the
silver row of this key is newer is what the guard of MERGE ensures; `lakehouse audit verify`
proves it, by judging again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.reading import keys
from lakehouse.reading.batches import Batch, Batches, batches
from lakehouse.reading.decisions import (
    Decided,
    Decision,
    beside,
    decisions,
    standing,
    status,
)
from lakehouse.reading.messages import message_facts
from lakehouse.reading.positions import Position, among
from lakehouse.reading.rows import ask, demanded, opened
from lakehouse.reading.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deltalake import DeltaTable

    from lakehouse.entities import Entity
    from lakehouse.settings import LakeSettings

MARKS = "_topic, _topic_id, _partition, _offset, _checkpoint, _batch_id, _rules"
LAYERS = ("silver", "quarantine")


@dataclass(frozen=True)
class Seen:
    """The tables of one entity, each at one version, and which of its versions took what.

    Silver first, bronze last: what one holds, those after it held before.
    """

    lake: LakeSettings
    entity: Entity
    silver: DeltaTable | None
    quarantine: DeltaTable | None
    decided: DeltaTable | None
    bronze: DeltaTable
    taken: Batches
    landed: Batches


@dataclass(frozen=True)
class Row:
    """A row of silver: the position of its message, and the batch that made it so."""

    position: Position
    batch: Batch | None
    rules: str | None

    @property
    def facts(self) -> dict[str, Any]:
        """The row as JSON has it."""
        batch = self.batch.facts if self.batch else None
        return {"position": self.position.facts, "batch": batch, "rules": self.rules}


@dataclass(frozen=True)
class Trace:
    """What became of one message.

    `message` is the row of bronze; `landed` and `taken` are the batches of bronze and silver that
    hold it; `refused` is its row in quarantine. `key` is that of a message which is not refused,
    and `now` the row that silver has of this key. `fate` is one of those of `lakehouse.proof`, or
    discarded, or unknown: of the commit that may have taken it nothing is known any more.
    """

    entity: str
    position: Position
    fate: str
    message: dict[str, Any]
    landed: Batch | None
    taken: Batch | None
    refused: dict[str, Any] | None
    key: dict[str, Any] | None
    now: Row | None
    decisions: tuple[Decision, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """The trace as JSON has it."""
        refused = self.refused
        return {
            "entity": self.entity,
            "position": self.position.facts,
            "fate": self.fate,
            "message": message_facts(self.message),
            "bronze": self.landed.facts if self.landed else None,
            "silver": self.taken.facts if self.taken else None,
            "reasons": refused["reasons"] if refused else [],
            "quarantined_at": refused["_quarantined_at"].isoformat() if refused else None,
            "key": self.key,
            "row": self.now.facts if self.now else None,
            "decisions": [said.facts for said in self.decisions],
        }


@dataclass(frozen=True)
class Absent:
    """A position that bronze does not hold, and why: empty, partition, before, after or gap.

    `oldest` and `newest` are the offsets that bronze has of the partition. `stray` names the
    tables that hold the position all the same, which is a fault.
    """

    entity: str
    position: Position
    why: str
    oldest: int | None = None
    newest: int | None = None
    stray: tuple[str, ...] = ()

    @property
    def facts(self) -> dict[str, Any]:
        """Why it is not there as JSON has it."""
        return {
            "entity": self.entity,
            "why": self.why,
            "oldest": self.oldest,
            "newest": self.newest,
            "stray": list(self.stray),
        }


def look(lake: LakeSettings, entity: Entity) -> Seen:
    """Return the tables of *entity* as they are now.

    Raises:
        TableError: TABLE_MISSING, of bronze.
    """
    silver, quarantine = (opened(lake, layer, entity.name) for layer in LAYERS)
    decided, bronze = beside(lake, entity.name), demanded(lake, "bronze", entity.name)
    taken = batches(lake, "silver", entity.name, silver.version()) if silver else Batches(-1)
    landed = batches(lake, "bronze", entity.name, bronze.version())
    return Seen(lake, entity, silver, quarantine, decided, bronze, taken, landed)


def trace(seen: Seen, at: Position) -> list[Trace] | Absent:
    """Return what became of the message at *at*: a trace for each topic id that has the position.

    The `topic_id` of *at* is not looked at.
    """
    rows = ask(f"SELECT * FROM t WHERE {among([at])}", t=seen.bronze)  # noqa: S608 - numbers
    return traces(seen, rows) if rows else _absent(seen, at)


def traces(seen: Seen, rows: Sequence[Mapping[str, Any]]) -> list[Trace]:
    """Return what became of each message of *rows*, which are bronze's, in their order.

    Raises:
        TableError: ENTITY_CONFLICT; TABLE_UNREADABLE.
    """
    places = Counter(map(Position.of, rows))
    where, names = among(places), seen.entity.keys
    types = keys.kinds(seen.silver, seen.entity)
    refused = _by_position(seen.quarantine, "*", where)
    current = _by_position(seen.silver, _columns(names), among(places, "_"), "_")
    said = decisions(seen.decided, where)
    near = rows[0]["_landed_at"] if rows else None
    landed, taken_in = (one.holding(places, near) for one in (seen.landed, seen.taken))
    passed = seen.taken.passed(places.keys() - taken_in.keys() - refused.keys() - current.keys())
    rivals: dict[Any, Row | None] = {}
    found = []
    for row in rows:
        at = Position.of(row)
        own, mine, decided = refused.get(at), current.get(at), tuple(said.get(at, ()))
        taken = taken_in.get(at)
        told = status(standing(decided, own["_quarantined_at"])) if own else None
        held = own is not None and told != Decided.RELEASED
        read = passed.get(at, True)
        key = None
        if mine is not None:
            key = tuple(mine[name] for name in names)
        elif not held and read is not False:
            key = keys.told(row["value"], names, types)
        named_key = dict(zip(names, key, strict=True)) if key else None
        if named_key and key not in rivals:
            rivals[key] = row_of(seen, named_key)
        now = rivals[key] if named_key else None
        if read is None and now and now.position.follows(at):
            read = True
        fate = _fate(told if held else None, row=bool(mine), read=read, now=now)
        if places[at] > 1:
            fate = "several"
        facts = (dict(row), landed.get(at), taken, own, named_key, now, decided)
        found.append(Trace(seen.entity.name, at, fate, *facts))
    return found


def _fate(held: str | None, *, row: bool, read: bool | None, now: Row | None) -> str:
    """Return the fate of a message.

    `held` is its status, of one that quarantine keeps; `row` is whether it is a row of silver,
    `read` whether silver has read it, None where no commit tells any more, and `now` the row that
    its key has.
    """
    if held:
        kept = "discarded" if held == Decided.DISCARDED else "quarantined"
        return "several" if row else kept
    if row:
        return "current"
    if not read:
        return "unknown" if read is None else "unread"
    return "superseded" if now else "none"


def row_of(seen: Seen, key: Mapping[str, Any]) -> Row | None:
    """Return the row that silver has of *key*."""
    columns, where = _columns(seen.entity.keys), keys.same(key)
    rows = ask(f"SELECT {columns} FROM t WHERE {where} LIMIT 1", t=seen.silver)  # noqa: S608 - literals
    if not rows:
        return None
    batch = seen.taken.of(rows[0]["_checkpoint"], rows[0]["_batch_id"])
    return Row(Position.of(rows[0], "_"), batch, rows[0]["_rules"])


def _columns(names: Sequence[str]) -> str:
    return ", ".join([MARKS, *map(quoted, names)])


def _by_position(
    table: DeltaTable | None, columns: str, where: str, prefix: str = ""
) -> dict[Position, dict[str, Any]]:
    rows = ask(f"SELECT {columns} FROM t WHERE {where}", t=table)  # noqa: S608 - numbers
    return {Position.of(row, prefix): row for row in rows}


def _absent(seen: Seen, at: Position) -> Absent:
    stray = [
        layer
        for layer, table, prefix in (
            ("silver", seen.silver, "_"),
            ("quarantine", seen.quarantine, ""),
        )
        if ask(
            f"SELECT 1 AS one FROM t WHERE {among([at], prefix)}",  # noqa: S608 - numbers
            t=table,
        )
    ]
    held = ask(
        'SELECT "partition", min("offset") AS low, max("offset") AS high FROM t GROUP BY 1',
        t=seen.bronze,
    )
    own = next((row for row in held if row["partition"] == at.partition), None)
    if own is None:
        why = "partition" if held else "empty"
        return Absent(seen.entity.name, at, why, stray=tuple(stray))
    low, high = own["low"], own["high"]
    why = "before" if at.offset < low else "after" if at.offset > high else "gap"
    return Absent(seen.entity.name, at, why, low, high, tuple(stray))
