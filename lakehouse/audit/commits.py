"""What one commit of a Delta table says, read from its file in the log. Needs no engine.

The format is that of the Delta protocol: one JSON action a line.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.audit.records import Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Names a trail's own transactions, each the last version folded: a fold that runs twice adds
# nothing, and who reads sees where the trail ends.
APPLICATION = "lakehouse.trail"


@dataclass(frozen=True)
class Planned:
    """The Kafka offsets that a bronze batch was planned to take of a partition, `end` excluded."""

    topic: str
    partition: int
    start: int | None
    end: int


@dataclass(frozen=True)
class Commit:
    """One commit of a table.

    `checkpoint` and `batch_id` are the transaction by which a batch's commit is found. `ranges`
    are the positions it holds: of silver and quarantine as its record says, of bronze as the
    statistics of its files say; empty where those do not tell. `rows_added` is the number of rows
    in the files that it added. `planned` is bronze's only, as long
    as its checkpoint tells; `started_at` comes from there, or from the record.
    """

    version: int
    committed_at: datetime
    operation: str
    data_change: bool
    rows_added: int | None
    checkpoint: str | None = None
    batch_id: int | None = None
    started_at: datetime | None = None
    ranges: tuple[Range, ...] = ()
    planned: tuple[Planned, ...] = ()
    metrics: dict[str, str] = field(default_factory=dict)
    record: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What the record in its `userMetadata` says; nothing where there is none of ours."""
        try:
            said = json.loads(self.record or "{}")
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    @property
    def is_batch(self) -> bool:
        """Whether its record says that a stream wrote a batch, and not its owner by some verb."""
        return bool(self.facts.get("stream")) and "verb" not in self.facts

    def to_row(self) -> dict[str, Any]:
        """Return the commit as a row of the trail, in values that JSON has."""
        row = asdict(self)
        row["committed_at"] = self.committed_at.isoformat()
        row["started_at"] = self.started_at and self.started_at.isoformat()
        return row

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Commit:
        """Return the commit that a row of the trail tells of."""
        times = {name: row[name] and _utc(row[name]) for name in ("committed_at", "started_at")}
        ranges = tuple(Range(**one) for one in row["ranges"])
        planned = tuple(Planned(**one) for one in row["planned"])
        more = {"ranges": ranges, "planned": planned, "metrics": dict(row["metrics"])}
        return cls(**{**row, **times, **more})


def version_of(file: str) -> int | None:
    """Return the version whose commit the *file* of a log holds; None of any other file."""
    found = re.fullmatch(r"(\d{20})\.json", file)
    return int(found[1]) if found else None


def joined(kept: Sequence[Commit], log: Iterable[Commit]) -> list[Commit]:
    """Return the commits *kept* in a trail, and those of the *log* that come after them."""
    last = kept[-1].version if kept else -1
    return [*kept, *(one for one in log if one.version > last)]


def read(text: str, version: int) -> Commit:
    """Return the commit whose file in the log holds *text*."""
    # Not splitlines: a text in an action may hold any of the other ends of line that Unicode has.
    actions = [json.loads(line) for line in text.split("\n") if line]
    info: dict[str, Any] = next((a["commitInfo"] for a in actions if "commitInfo" in a), {})
    transaction = next((a["txn"] for a in actions if "txn" in a), None)
    added = [a["add"] for a in actions if "add" in a]
    removed = [a["remove"] for a in actions if "remove" in a]
    record = info.get("userMetadata")
    facts = Commit(0, datetime.now(UTC), "", False, None, record=record).facts
    source = facts.get("source") or {}
    ranges = [Range(**one) for one in source.get("ranges", ())] or _ranges(added, facts)
    at = info.get("inCommitTimestamp") or info.get("timestamp") or 0
    return Commit(
        version=version,
        committed_at=datetime.fromtimestamp(at / 1000, UTC),
        operation=str(info.get("operation", "")),
        data_change=any(file.get("dataChange", True) for file in (*added, *removed)),
        rows_added=_rows(added),
        checkpoint=transaction and str(transaction["appId"]),
        batch_id=transaction and int(transaction["version"]),
        started_at=datetime.fromisoformat(facts["at"]) if facts.get("at") else None,
        ranges=tuple(sorted(ranges, key=lambda r: (r.topic, r.topic_id or "", r.partition))),
        metrics={str(k): str(v) for k, v in (info.get("operationMetrics") or {}).items()},
        record=record,
    )


def _rows(added: list[dict[str, Any]]) -> int | None:
    stats = [json.loads(file["stats"]) for file in added if file.get("stats")]
    return sum(int(one["numRecords"]) for one in stats) if len(stats) == len(added) else None


def _ranges(added: list[dict[str, Any]], facts: dict[str, Any]) -> list[Range]:
    """Return the positions in bronze's *added* files, of which each holds one Kafka partition.

    The topic is the record's: in statistics Delta keeps only the beginning of a text.
    """
    found: dict[int, Range] = {}
    for file in added:
        stats = json.loads(file.get("stats") or "{}")
        low, high = stats.get("minValues") or {}, stats.get("maxValues") or {}
        partition = low.get("partition")
        if partition is None or partition != high["partition"] or "topic" not in facts:
            return []
        rows = int(stats["numRecords"])
        topic, topic_id = facts["topic"], facts.get("topic_id")
        one = Range(topic, topic_id, partition, low["offset"], high["offset"], rows)
        found[partition] = _joined(found[partition], one) if partition in found else one
    return list(found.values())


def _joined(one: Range, other: Range) -> Range:
    low, high = min(one.min, other.min), max(one.max, other.max)
    return Range(one.topic, one.topic_id, one.partition, low, high, one.count + other.count)


def _utc(value: str | datetime) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at if at.tzinfo else at.replace(tzinfo=UTC)
