"""Which version of a table took which positions: the commits of its batches, without a JVM.

From the table's audit trail, and from its log where the trail ends. Of batches whose commit Delta
had removed before it was folded nothing is known. A commit without a transaction, such as that of
an OPTIMIZE, is no batch.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lakehouse.audit.commits import APPLICATION
from lakehouse.layout import DESK
from lakehouse.reading.rows import ask, opened
from lakehouse.reading.sql import literal
from lakehouse.reading.trail import commit_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from deltalake import DeltaTable

    from lakehouse.audit.commits import Commit
    from lakehouse.reading.positions import Position
    from lakehouse.settings import LakeSettings

# A message is landed, and mostly taken by silver, within so long.
NEAR = timedelta(minutes=10)
# Of a trail; without `record`, which is larger than all other columns together.
BATCH = "version, committed_at AS at, checkpoint, batch_id"
HELD = (
    f"SELECT {BATCH}, held['topic'] AS topic, held['topic_id'] AS topic_id, "  # noqa: S608 - names
    "held['partition'] AS partition, held['min'] AS low, held['max'] AS high "
    "FROM (SELECT *, unnest(ranges) AS held FROM t WHERE batch_id IS NOT NULL)"
)


@dataclass(frozen=True)
class Batch:
    """A batch of a stream and the version of the table that it made.

    Or what was done at the desk, which then has a `verb`: replay or rebuild.
    """

    version: int
    at: datetime
    checkpoint: str
    batch_id: int
    verb: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The batch as JSON has it."""
        return {
            "version": self.version,
            "at": self.at.isoformat(),
            "batch_id": self.batch_id,
            "verb": self.verb,
        }


@dataclass(frozen=True)
class Batches:
    """The batches of a table up to a version: those in its trail, and those only in its log.

    `logged` are the versions that only the log has, those that are no batches among them.
    """

    upto: int
    trail: DeltaTable | None = None
    fresh: tuple[Commit, ...] = ()
    logged: tuple[int, ...] = ()

    def holding(
        self, places: Iterable[Position], near: datetime | None = None
    ) -> dict[Position, Batch]:
        """Return for each of *places* the batch in whose range it lies; a range can have gaps.

        Commits around *near* are asked first: a trail keeps the least and greatest time of each
        file. Whatever is not found there is looked for everywhere.
        """
        wanted = set(places)
        found: dict[Position, Batch] = {}
        if near is not None:
            times = f"at BETWEEN {literal(near - NEAR)} AND {literal(near + NEAR)}"
            found = self._holding(wanted, times)
        if wanted - found.keys():
            found |= self._holding(wanted - found.keys(), "TRUE")
        return found

    def since(self, version: int, places: Iterable[Position]) -> dict[Position, Batch]:
        """Return what `holding` does, of batches of *version* and later alone."""
        return self._holding(set(places), f"version >= {version}")

    def passed(self, places: Iterable[Position]) -> dict[Position, bool | None]:
        """Return of each of *places*, which no known batch holds, whether the stream is past it.

        None where it cannot be told: there are versions of which nothing is known any more, and
        the known ones hold nothing that comes after it in its partition.
        """
        wanted = set(places)
        if not wanted or self._known_after(-1):
            return dict.fromkeys(wanted, False)
        return {at: self._passed(at) for at in wanted}

    def of(self, checkpoint: str, batch_id: int) -> Batch | None:
        """Return the batch of that transaction, by which its rows are marked."""
        for one in self.fresh:
            if (one.checkpoint, one.batch_id) == (checkpoint, batch_id):
                return _batch(one)
        where = f"checkpoint = {literal(checkpoint)} AND batch_id = {batch_id}"
        said = "record" if checkpoint == DESK else "NULL AS record"
        for row in ask(f"SELECT {BATCH}, {said} FROM t WHERE {where}", t=self.trail):  # noqa: S608 - literals
            verb = json.loads(row.pop("record") or "{}").get("verb")
            if row["version"] <= self.upto:
                return Batch(**row, verb=verb)
        return None

    def _holding(self, wanted: set[Position], where: str) -> dict[Position, Batch]:
        spans: dict[tuple[str, str | None, int], list[tuple[int, int, Batch]]] = {}
        for held, batch in self._spans(wanted, where):
            place = (held["topic"], held["topic_id"], held["partition"])
            spans.setdefault(place, []).append((held["low"], held["high"], batch))
        for some in spans.values():
            some.sort(key=lambda span: span[0])
        found = {}
        for at in wanted:
            own = spans.get((at.topic, at.topic_id, at.partition), [])
            # Each partition is taken in the order of its offsets, so its ranges never overlap.
            last = bisect_right(own, at.offset, key=lambda span: span[0]) - 1
            if last >= 0 and at.offset <= own[last][1]:
                found[at] = own[last][2]
        return found

    def _passed(self, at: Position) -> bool | None:
        """Say whether the stream, which takes a partition in order, is past *at*."""
        same_id = "IS NULL" if at.topic_id is None else f"= {literal(at.topic_id)}"
        (kept,) = ask(
            f"SELECT max(high) AS high, max(version) FILTER (WHERE high < {at.offset}) AS version "  # noqa: S608 - literals
            f"FROM ({HELD}) WHERE version <= {self.upto} AND partition = {at.partition} "
            f"AND topic = {literal(at.topic)} AND topic_id {same_id}",
            t=self.trail,
        ) or [{"high": None, "version": None}]
        place = (at.topic, at.topic_id, at.partition)
        own = [
            (one.version, held.max)
            for one in self.fresh
            for held in one.ranges
            if (held.topic, held.topic_id, held.partition) == place
        ]
        highs = [high for high in (kept["high"], *(high for _, high in own)) if high is not None]
        if max(highs, default=-1) > at.offset:
            return True
        before = [
            version for version in (kept["version"], *(n for n, _ in own)) if version is not None
        ]
        return False if before and self._known_after(max(before)) else None

    def _known_after(self, version: int) -> bool:
        """Say whether the commit of every version after *version* is known."""
        among = f"version > {version} AND version <= {self.upto}"
        rows = ask(f"SELECT count(DISTINCT version) AS kept FROM t WHERE {among}", t=self.trail)  # noqa: S608 - numbers
        kept = sum(row["kept"] for row in rows)
        return bool(kept + sum(n > version for n in self.logged) == self.upto - version)

    def _spans(self, wanted: set[Position], where: str) -> Iterator[tuple[dict[str, Any], Batch]]:
        """Yield the ranges, each with its batch, that can hold one of *wanted*."""
        offsets: dict[int, list[int]] = {}
        for at in wanted:
            offsets.setdefault(at.partition, []).append(at.offset)
        if not offsets:
            return
        near = " OR ".join(
            f"(partition = {partition} AND low <= {max(some)} AND high >= {min(some)})"
            for partition, some in offsets.items()
        )
        for row in ask(f"SELECT * FROM ({HELD}) WHERE ({where}) AND ({near})", t=self.trail):  # noqa: S608 - literals
            if row["version"] <= self.upto:
                yield row, Batch(row["version"], row["at"], row["checkpoint"], row["batch_id"])
        for one in self.fresh:
            for held in one.ranges:
                span = {**vars(held), "low": held.min, "high": held.max}
                yield span, _batch(one)


def batches(lake: LakeSettings, layer: str, entity: str, upto: int) -> Batches:
    """Return the batches of the table of *entity* in *layer*, up to its version *upto*."""
    trail = opened(lake, "audit", f"{layer}.{entity}")
    last = -1 if trail is None else trail.transaction_version(APPLICATION)
    if last is None:  # someone copied the trail, and not its transactions
        last = ask("SELECT max(version) AS last FROM t", t=trail)[0]["last"]
    path = f"{lake.location}/{layer}/{entity}"
    first = 0 if last is None else last + 1
    # Without listing the log, which can be long.
    logged = (commit_at(path, version) for version in range(first, upto + 1))
    found = [one for one in logged if one is not None]
    fresh = (one for one in found if one.checkpoint is not None and one.batch_id is not None)
    return Batches(upto, trail, tuple(fresh), tuple(one.version for one in found))


def _batch(one: Commit) -> Batch:
    place = one.version, one.committed_at, one.checkpoint or "", one.batch_id or 0
    return Batch(*place, one.facts.get("verb"))
