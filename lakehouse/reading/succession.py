"""Which messages have been the silver row of a key, one after the other, and in which versions.

From the files that the commits of silver added: a row whose position the commit's own batch took
is one that this batch made. Rows that a MERGE only copied have positions of earlier batches.
Neither snapshots of old versions nor an order of messages are needed. Nothing is known any more of
commits whose part of the log Delta has removed, or whose files a vacuum has.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow.parquet as pq
from pyarrow import fs

from lakehouse.reading.positions import COLUMNS, Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.reading.batches import Batch
    from lakehouse.reading.trace import Seen, Trace


COLUMNS_OF_SILVER = [f"_{name}" for name in COLUMNS]


@dataclass(frozen=True)
class Turn:
    """What the batch of one silver version made of a key's messages that it took.

    `row` is the position that became the silver row in it; None where the key kept the row it
    had. `known` is whether its commit and files could still be read.
    """

    batch: Batch
    row: Position | None = None
    known: bool = True

    @property
    def facts(self) -> dict[str, Any]:
        """The turn as JSON has it: the batch, and the position of the row."""
        return {**self.batch.facts, "position": self.row.facts if self.row else None}


@dataclass(frozen=True)
class Beaten:
    """The first and the last version in which a message can have been beaten; mostly the same.

    `by` is the message that beat it, where that is known.
    """

    first: int
    last: int
    by: Position | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """When it was beaten, and by what, as JSON has it."""
        return {"first": self.first, "last": self.last, "by": self.by.facts if self.by else None}


def succession(seen: Seen, taken: Mapping[Position, Batch], most: int) -> list[Turn]:
    """Return the turns of a key whose messages the batches in *taken* took.

    The oldest first, and at most *most* of them.
    """
    places: dict[int, tuple[Batch, set[Position]]] = {}
    for at, batch in taken.items():
        places.setdefault(batch.version, (batch, set()))[1].add(at)
    return [_turn(seen, *places[version]) for version in sorted(places)[:most]]


def beaten(one: Trace, turns: Sequence[Turn]) -> Beaten | None:
    """Return in which version the message of *one* was no longer, or not made, the row of its key.

    Exact where *turns* are of all later messages of the key. None where it is not superseded, or
    was released: of that the commit of its batch does not tell.
    """
    if one.fate != "superseded" or one.refused or not (one.taken and one.now and one.now.batch):
        return None
    own, last = one.taken.version, one.now.batch.version
    if last <= own:  # the row of today was there already, or came in the same batch
        return Beaten(own, own, one.now.position)
    first, certain = own, True
    for turn in (one for one in turns if one.batch.version >= own):
        version = turn.batch.version
        if not turn.known:
            certain = False
        elif version == own and turn.row != one.position:
            return Beaten(own, own, turn.row)
        elif version > own and turn.row is not None:
            return Beaten(version, version, turn.row) if certain else Beaten(first, version)
        if certain:
            first = version + 1
    return Beaten(first, last, one.now.position if first == last else None)


def _turn(seen: Seen, batch: Batch, places: set[Position]) -> Turn:
    try:
        rows = _made(seen, batch, {at.offset for at in places})
    except (OSError, ValueError):  # gone, or damaged: what Arrow raises is a ValueError
        return Turn(batch, known=False)
    made = [at for at in (Position.of(row, "_") for row in rows) if at in places]
    return Turn(batch, made[0] if made else None)


def _made(seen: Seen, batch: Batch, offsets: set[int]) -> list[dict[str, Any]]:
    """Return the positions with one of *offsets* in the files that the commit of *batch* added."""
    table = f"{seen.lake.location}/silver/{seen.entity.name}"
    files, folder = fs.FileSystem.from_uri(table)
    with files.open_input_stream(f"{folder}/_delta_log/{batch.version:020d}.json") as stream:
        actions = [json.loads(line) for line in stream.read().decode().split("\n") if line]
    found: list[dict[str, Any]] = []
    for action in actions:
        if "add" in action:
            with files.open_input_file(f"{folder}/{unquote(action['add']['path'])}") as file:
                rows = pq.ParquetFile(file).read(columns=COLUMNS_OF_SILVER)
            # In Python: a comparison of Arrow's with a number imports pandas first.
            for i, offset in enumerate(rows["_offset"].to_pylist()):
                if offset in offsets:
                    found += rows.slice(i, 1).to_pylist()
    return found
