"""Lakes planted by delta-rs, without a JVM: tables and commits as the streams leave them."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction, RemoveAction

from lakehouse.audit.commits import APPLICATION, read
from lakehouse.audit.records import Range, Record, Rows, stream_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)
TOPIC = "esports-matches"
TOPIC_ID = "4ZxGyP0vSNmRz8h3xLkJbQ"
RULES = "0123456789abcdef"
CHECKPOINT = {"bronze": "checkpoint-of-bronze", "silver": "checkpoint-of-silver"}

# What files keep the least and the most of: those of bronze and quarantine, and of trails.
STATISTICS = ("topic", "partition", "offset", "version", "batch_id", "committed_at")

TIME = pa.timestamp("us", "UTC")
REASON = {name: pa.string() for name in ("code", "rule", "column", "expected", "got")}
BRONZE = pa.schema(
    {
        "value": pa.string(),
        "value_raw": pa.binary(),
        "key": pa.binary(),
        "headers": pa.list_(pa.struct({"key": pa.string(), "value": pa.binary()})),
        "topic": pa.string(),
        "topic_id": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": TIME,
        "timestamp_type": pa.int32(),
        "_landed_at": TIME,
    }
)
QUARANTINE = pa.schema(
    [
        *BRONZE,
        ("reasons", pa.list_(pa.struct(REASON))),
        ("_checkpoint", pa.string()),
        ("_batch_id", pa.int64()),
        ("_rules", pa.string()),
        ("_quarantined_at", TIME),
    ]
)
MARKS = {
    "_topic": pa.string(),
    "_topic_id": pa.string(),
    "_partition": pa.int32(),
    "_offset": pa.int64(),
    "_timestamp": TIME,
    "_checkpoint": pa.string(),
    "_batch_id": pa.int64(),
    "_rules": pa.string(),
    "_updated_at": TIME,
}
FOLD_AFTER = 50
RANGE = {
    "topic": pa.string(),
    "topic_id": pa.string(),
    "partition": pa.int32(),
    "min": pa.int64(),
    "max": pa.int64(),
    "count": pa.int64(),
}
PLANNED = {"topic": pa.string(), "partition": pa.int32(), "start": pa.int64(), "end": pa.int64()}
# As `lakehouse.audit.trail` has it, whose types are Spark's.
TRAIL = pa.schema(
    {
        "version": pa.int64(),
        "committed_at": TIME,
        "operation": pa.string(),
        "data_change": pa.bool_(),
        "rows_added": pa.int64(),
        "checkpoint": pa.string(),
        "batch_id": pa.int64(),
        "started_at": TIME,
        "ranges": pa.list_(pa.struct(RANGE)),
        "planned": pa.list_(pa.struct(PLANNED)),
        "metrics": pa.map_(pa.string(), pa.string()),
        "record": pa.string(),
    }
)
# What a breaker says of the batch that tripped it.
TRIPPED = {
    "stream": "silver.matches",
    "checkpoint": "c",
    "batch_id": 7,
    "reasons": "9 not_json",
    "read": 10,
    "refused": 9,
    "percent": 90.0,
    "limit": 20.0,
    "at": "2020-01-31T10:00:00+00:00",
}
MATCHES = {"match_id": pa.string(), "status": pa.string(), "ingestion_timestamp": pa.int64()}


@dataclass(frozen=True)
class Message:
    """A message, and what silver is to make of it: `row` its columns, or `reasons` why not."""

    value: str | None
    offset: int
    row: dict[str, Any] | None = None
    reasons: Sequence[dict[str, Any]] = ()
    partition: int = 0
    topic_id: str | None = TOPIC_ID
    raw: bytes | None = None
    key: bytes | None = None
    headers: Sequence[dict[str, Any]] = ()

    @property
    def at(self) -> datetime:
        return BEGAN + timedelta(seconds=self.offset)


def match(key: str, offset: int, sequence: int | None = None, **more: Any) -> Message:
    """Return a valid message of match *key*."""
    row = {"match_id": key, "status": "live", "ingestion_timestamp": sequence}
    return Message(json.dumps(row), offset, row=row, **more)


def refused(value: str | None, offset: int, *codes: str, **more: Any) -> Message:
    """Return a message that is refused for *codes*."""
    reasons = [{**dict.fromkeys(REASON), "code": code} for code in codes]
    return Message(value, offset, reasons=reasons, **more)


@dataclass
class Planted:
    """A lake as streams would leave it, batch by batch; a batch is one version of each table.

    The first version of each table holds no rows, as that of a table which its stream made.
    """

    root: Path
    entity: str = "matches"
    topic: str = TOPIC
    columns: dict[str, pa.DataType] = field(default_factory=lambda: dict(MATCHES))
    keys: Sequence[str] = ("match_id",)
    sequence: str = "ingestion_timestamp"
    batches: dict[str, int] = field(default_factory=lambda: {"bronze": 0, "silver": 0})
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    @property
    def silver(self) -> pa.Schema:
        return pa.schema({**self.columns, **MARKS})

    def made(self) -> Planted:
        """Have the three tables exist, with no rows."""
        for layer, schema in (
            ("bronze", BRONZE),
            ("silver", self.silver),
            ("quarantine", QUARANTINE),
        ):
            DeltaTable.create(self._home(layer), schema)
        return self

    def _home(self, layer: str) -> Path:
        return self.root / layer / self.entity

    def land(self, *messages: Message) -> None:
        """Land *messages* in bronze as one batch: a file for each Kafka partition."""
        topic_id = messages[0].topic_id
        record = stream_metadata(f"bronze.{self.entity}", "planted", self.topic, topic_id)
        rows = [self._bronze(one) for one in sorted(messages, key=lambda one: one.partition)]
        batch = self.batches["bronze"]
        self._write(f"bronze/{self.entity}", BRONZE, rows, (CHECKPOINT["bronze"], batch, record))
        self.batches["bronze"] += 1

    def refine(self, *messages: Message) -> None:
        """Take *messages* into silver and quarantine as one batch."""
        batch = self.batches["silver"]
        marks = {"_checkpoint": CHECKPOINT["silver"], "_batch_id": batch, "_rules": RULES}
        corrupt = [one for one in messages if one.reasons]
        mark = (CHECKPOINT["silver"], batch, self._record(messages, batch).to_json())
        if corrupt:
            rows = [
                {
                    **self._bronze(one),
                    "reasons": list(one.reasons),
                    **marks,
                    "_quarantined_at": one.at,
                }
                for one in corrupt
            ]
            self._write(f"quarantine/{self.entity}", QUARANTINE, rows, mark)
        for one in messages:
            if one.row is not None:
                self._merge(one, marks)
        self._write(
            f"silver/{self.entity}", self.silver, list(self.rows.values()), mark, mode="overwrite"
        )
        self.batches["silver"] += 1

    def batch(self, *messages: Message) -> None:
        """Land and refine *messages*."""
        self.land(*messages)
        self.refine(*messages)

    def decide(self, message: Message, decision: str, request: str, **more: Any) -> None:
        """Record a decision on a quarantined message, in the schema that the product states."""
        from lakehouse.reading.decisions import DECISIONS

        row = {
            "topic": self.topic,
            "topic_id": message.topic_id,
            "partition": message.partition,
            "offset": message.offset,
            "request_id": request,
            "decision": decision,
            "by": "ann",
            "note": None,
            "rules": RULES,
            "at": BEGAN + timedelta(minutes=30),
            **more,
        }
        self._write(f"quarantine/{self.entity}_decisions", pa.schema(DECISIONS), [row])

    def fold(self, layer: str) -> None:
        """Have the trail of a table hold its commits, and Delta have removed them from its log."""
        home = self._home(layer)
        table = DeltaTable(home)
        table.create_checkpoint()
        log = home / "_delta_log"
        commits = sorted(log.glob("*.json"))
        rows = [read(one.read_text(), int(one.stem)).to_row() for one in commits]
        for row in rows:
            row["committed_at"] = datetime.fromisoformat(row["committed_at"])
            row["started_at"] = None
            row["metrics"] = list(row["metrics"].items())
        plant_trail(self.root / "audit" / f"{layer}.{self.entity}", rows)
        for one in commits[:-1]:
            one.unlink()
        current = {Path(uri).name for uri in table.file_uris()}
        for file in home.glob("*.parquet"):
            if file.name not in current:
                file.unlink()

    def forget(self, layer: str, *versions: int) -> None:
        """Have Delta have removed the commits of *versions* from the log of a table."""
        home = self._home(layer)
        DeltaTable(home).create_checkpoint()
        for version in versions:
            (home / "_delta_log" / f"{version:020d}.json").unlink()

    def compact(self, layer: str) -> None:
        """Put the files of a table together, as its owner does."""
        DeltaTable(self._home(layer)).optimize.compact()

    def _merge(self, one: Message, marks: dict[str, Any]) -> None:
        row = one.row or {}
        new = {
            **row,
            "_topic": self.topic,
            "_topic_id": one.topic_id,
            "_partition": one.partition,
            "_offset": one.offset,
            "_timestamp": one.at,
            **marks,
            "_updated_at": one.at,
        }
        key = tuple(row[name] for name in self.keys)
        old = self.rows.get(key)
        if old is None or self._order(new) > self._order(old):
            self.rows[key] = new

    def _order(self, row: dict[str, Any]) -> tuple[Any, ...]:
        sequence = row.get(self.sequence)
        lowest = (sequence is not None, sequence or 0)
        return (*lowest, row["_timestamp"], row["_partition"], row["_offset"])

    def _bronze(self, one: Message) -> dict[str, Any]:
        return {
            "value": one.value,
            "value_raw": one.raw,
            "key": one.key,
            "headers": list(one.headers),
            "topic": self.topic,
            "topic_id": one.topic_id,
            "partition": one.partition,
            "offset": one.offset,
            "timestamp": one.at,
            "timestamp_type": 0,
            "_landed_at": one.at,
        }

    def _record(self, messages: Sequence[Message], batch: int) -> Record:
        corrupt = [one for one in messages if one.reasons]
        codes = [reason["code"] for one in corrupt for reason in one.reasons]
        return Record(
            stream=f"silver.{self.entity}",
            run_id="planted",
            checkpoint=CHECKPOINT["silver"],
            batch_id=batch,
            source_from=None,
            source_to="{}",
            ranges=ranges(self.topic, messages),
            rows=Rows(
                len(messages),
                len(messages) - len(corrupt),
                len(corrupt),
                {code: codes.count(code) for code in codes},
            ),
            rules=RULES,
            at=BEGAN.isoformat(),
        )

    def _write(
        self,
        folder: str,
        schema: pa.Schema,
        rows: Sequence[dict[str, Any]],
        mark: tuple[str, int, str] | None = None,
        mode: Literal["append", "overwrite"] = "append",
    ) -> None:
        """Commit *rows*, with a file for each Kafka partition, so that statistics are exact."""
        home = self.root / folder
        if not home.exists():
            DeltaTable.create(home, schema)
        files: list[AddAction | RemoveAction] = []
        for partition in sorted({row.get("partition", 0) for row in rows}):
            own = [row for row in rows if row.get("partition", 0) == partition]
            files.append(added(home, pa.Table.from_pylist(own, schema)))
        properties = None
        if mark:
            application, version, record = mark
            properties = CommitProperties(
                custom_metadata={"userMetadata": record},
                app_transactions=[Transaction(application, version)],
            )
        table = DeltaTable(home)
        table.create_write_transaction(
            files, mode=mode, schema=table.schema(), commit_properties=properties
        )


def plant_trail(home: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add *rows* to the trail at *home*, a file for each fifty as the owner of a stream does."""
    if not home.exists():
        DeltaTable.create(home, TRAIL)
    table = DeltaTable(home)
    folds = (rows[first : first + FOLD_AFTER] for first in range(0, len(rows), FOLD_AFTER))
    files: list[AddAction | RemoveAction] = [
        added(home, pa.Table.from_pylist(list(some), TRAIL)) for some in folds
    ]
    last = max(row["version"] for row in rows)
    properties = CommitProperties(app_transactions=[Transaction(APPLICATION, last)])
    table.create_write_transaction(
        files, mode="append", schema=table.schema(), commit_properties=properties
    )


def added(home: Path, rows: pa.Table) -> AddAction:
    """Write *rows* to a file of the table at *home*, and return what a commit says of it."""
    name = f"part-{uuid.uuid4()}.parquet"
    pq.write_table(rows, home / name, compression="zstd", write_page_index=True)
    bounds = [name for name in STATISTICS if name in rows.column_names and rows.num_rows]
    both = {name: pc.min_max(rows[name]).as_py() for name in bounds}
    low, high = ({name: one[end] for name, one in both.items()} for end in ("min", "max"))
    stats = {"numRecords": rows.num_rows, "minValues": low, "maxValues": high, "nullCount": {}}
    size = (home / name).stat().st_size
    return AddAction(name, size, {}, 0, True, json.dumps(stats, default=in_log))


def in_log(at: datetime) -> str:
    """Return *at* as the statistics of a file have it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ranges(topic: str, messages: Iterable[Message]) -> tuple[Range, ...]:
    """Return the positions of *messages*, by partition."""
    found: dict[tuple[str | None, int], list[int]] = {}
    for one in messages:
        found.setdefault((one.topic_id, one.partition), []).append(one.offset)
    return tuple(
        Range(topic, topic_id, partition, min(offsets), max(offsets), len(offsets))
        for (topic_id, partition), offsets in sorted(found.items(), key=str)
    )
