"""Which version of a table took which positions: the commits of its batches, without a JVM."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.audit.records import Range
from lakehouse.reading.rows import ask, opened
from lakehouse.reading.trail import logged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from lakehouse.reading.positions import Position
    from lakehouse.settings import LakeSettings

    # Lowest and highest offset, and the batch that holds what lies between.
    Span = tuple[int, int, "Batch"]
    Partition = tuple[str, str | None, int]

# Of a trail; without `record`, which is larger than all other columns together.
HELD = (
    "SELECT version, committed_at, checkpoint, batch_id, unnest(ranges) AS held FROM t "
    "WHERE data_change AND batch_id IS NOT NULL"
)


@dataclass(frozen=True)
class Batch:
    """A batch of a stream and the version of the table that it made."""

    version: int
    at: datetime
    checkpoint: str
    batch_id: int

    @property
    def facts(self) -> dict[str, Any]:
        """The batch as JSON has it."""
        return {"version": self.version, "at": self.at.isoformat(), "batch_id": self.batch_id}


@dataclass(frozen=True)
class Batches:
    """The batches of a table, by the positions they hold and by their transaction."""

    spans: dict[Partition, list[Span]]
    marked: dict[tuple[str, int], Batch]

    def holding(self, at: Position) -> Batch | None:
        """Return the batch in whose range *at* lies; a range can have gaps."""
        spans = self.spans.get((at.topic, at.topic_id, at.partition), [])
        # Each partition is taken in the order of its offsets, so its ranges never overlap.
        found = bisect_right(spans, at.offset, key=lambda span: span[0]) - 1
        if found < 0 or spans[found][1] < at.offset:
            return None
        return spans[found][2]

    def of(self, checkpoint: str | None, batch_id: int | None) -> Batch | None:
        """Return the batch of that transaction, by which its rows are marked."""
        return self.marked.get((checkpoint or "", -1 if batch_id is None else batch_id))


def batches(lake: LakeSettings, table: str, upto: int | None = None) -> Batches:
    """Return the batches of *table*, such as `silver.matches`, that are in version *upto*.

    From its audit trail, and from its log where the trail ends. Of batches whose commit Delta had
    removed before it was folded nothing is known, nor of empty ones. A commit that changes no row,
    such as OPTIMIZE, is no batch.
    """
    spans: dict[Partition, list[Span]] = {}
    marked: dict[tuple[str, int], Batch] = {}
    for batch, held in _told(lake, table):
        if upto is not None and batch.version > upto:
            continue
        marked[batch.checkpoint, batch.batch_id] = batch
        place = (held.topic, held.topic_id, held.partition)
        spans.setdefault(place, []).append((held.min, held.max, batch))
    for some in spans.values():
        some.sort(key=lambda span: span[0])
    return Batches(spans, marked)


def _told(lake: LakeSettings, table: str) -> Iterator[tuple[Batch, Range]]:
    """Yield each range that a batch of *table* holds, with the batch."""
    layer, _, entity = table.partition(".")
    trail = opened(lake, "audit", table)
    last = -1
    if trail is not None:
        folded: int | None = ask("SELECT max(version) AS last FROM t", t=trail)[0]["last"]
        last = -1 if folded is None else folded
        for row in ask(HELD, t=trail):
            transaction = (row["checkpoint"], row["batch_id"])
            yield Batch(row["version"], row["committed_at"], *transaction), Range(**row["held"])
    for commit in logged(f"{lake.location}/{layer}/{entity}/_delta_log", last):
        if not commit.data_change or commit.checkpoint is None or commit.batch_id is None:
            continue
        batch = Batch(commit.version, commit.committed_at, commit.checkpoint, commit.batch_id)
        for one in commit.ranges:
            yield batch, one
