"""A lake of a million messages and ten thousand versions, planted by writing log files.

Each version is a batch of 104 messages, 26 of each of four partitions, but every 500th, which puts
the small files together. What that removed is named in the log and is not there, as after a
vacuum. All but the last ten versions are in the trails, and a checkpoint is behind the last 30.
Of quarantine the commits before the checkpoint are one file, because nothing reads them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from lakehouse.audit.records import Record, Rows, stream_metadata, upkeep_metadata
from lakehouse.reading.rows import EPOCH
from tests import lakes
from tests.lakes import BEGAN, BRONZE, CHECKPOINT, QUARANTINE, RULES, TOPIC, TOPIC_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Numbers = np.ndarray[Any, np.dtype[np.int64]]

PARTITIONS, EACH = 4, 26
BATCH = PARTITIONS * EACH
COMPACTED, LAST = 500, 10_000
HEAD = LAST + 30
# How many commits are in the log and not in the trail yet.
FRESH = 10
KEYS = 200_000
# Which of the messages of a batch are refused.
REFUSED = (7, 59)
SILVER = pa.schema({**lakes.MATCHES, **lakes.MARKS})
LAYERS = {"bronze": BRONZE, "silver": SILVER, "quarantine": QUARANTINE}
BRONZE_RECORD = stream_metadata("bronze.matches", "planted", TOPIC, TOPIC_ID)
SILVER_RECORD = json.loads(
    Record(
        stream="silver.matches",
        run_id="planted",
        checkpoint=CHECKPOINT["silver"],
        batch_id=0,
        source_from=None,
        source_to="{}",
        ranges=(),
        rows=Rows(BATCH, BATCH - len(REFUSED), len(REFUSED), {"wrong_type": len(REFUSED)}),
        rules=RULES,
        at=BEGAN.isoformat(),
    ).to_json()
)
# A row of the trail, but for what each commit says.
EMPTY: dict[str, Any] = {
    **dict.fromkeys(lakes.TRAIL.names),
    "operation": "WRITE",
    "data_change": True,
    "ranges": [],
    "planned": [],
    "metrics": [],
}
# So that a message is as long as those of the demo.
FILLER = "x" * 520


def version_of(batch: int) -> int:
    """Return which version *batch* made."""
    return batch + 1 + batch // (COMPACTED - 1)


# Between two versions, as it is unless someone sets it.
TRIGGER = timedelta(seconds=10)
# The number of batches up to LAST and up to HEAD: each version but every 500th.
SETTLED = LAST - LAST // COMPACTED
BATCHES = SETTLED + HEAD - LAST
MESSAGES = BATCHES * BATCH


@dataclass(frozen=True)
class File:
    """A file of a table, and what its commit says of it."""

    path: str
    stats: str
    size: int = 1


def plant(root: Path) -> None:
    """Make the lake at *root*."""
    for layer in LAYERS:
        home = root / layer / "matches"
        large, fresh = _files(home, layer)
        _checkpoint(home, large)
        rows = []
        for version in range(1, HEAD + 1):
            compaction = version <= LAST and version % COMPACTED == 0
            commit = _compaction if compaction else _batch
            text, row = commit(layer, version, large if compaction else fresh.get(version, []))
            file = home / "_delta_log" / f"{version:020d}.json"
            if layer == "quarantine" and 1 < version < LAST:
                file.hardlink_to(file.with_name(f"{1:020d}.json"))
            else:
                file.write_text(text)
            rows.append(
                {**EMPTY, "version": version, "committed_at": BEGAN + version * TRIGGER, **row}
            )
        lakes.plant_trail(root / "audit" / f"{layer}.matches", rows[:-FRESH])


def position(number: int) -> str:
    """Return where the message of that number lies."""
    return f"{TOPIC}:{number % PARTITIONS}:{number // PARTITIONS}"


def taken_in(number: int) -> int:
    """Return which version took the message of that number."""
    return version_of(number // BATCH)


def _files(home: Path, layer: str) -> tuple[list[File], dict[int, list[File]]]:
    """Write the data of *layer*: the large files up to LAST, and those of each batch since."""
    DeltaTable.create(home, LAYERS[layer])
    step = SETTLED // 20 * BATCH
    large = [_write(home, layer, np.arange(n, n + step)) for n in range(0, SETTLED * BATCH, step)]
    fresh = {}
    for batch in range(SETTLED, BATCHES):
        numbers = np.arange(batch * BATCH, (batch + 1) * BATCH)
        # A file of bronze holds one Kafka partition until it is put together with others.
        parts = (
            [numbers[p::PARTITIONS] for p in range(PARTITIONS)] if layer == "bronze" else [numbers]
        )
        fresh[version_of(batch)] = [_write(home, layer, part) for part in parts]
    return large, fresh


def _write(home: Path, layer: str, numbers: Numbers) -> File:
    refused = np.isin(numbers % BATCH, REFUSED)
    if layer == "quarantine":
        numbers = numbers[refused]
    elif layer == "silver":
        # The newest that is valid of each key: no later one has it, or only refused ones.
        later = numbers[:, None] + KEYS * np.arange(1, MESSAGES // KEYS + 2)
        beaten = ((later < MESSAGES) & ~np.isin(later % BATCH, REFUSED)).any(axis=1)
        numbers = numbers[~refused & ~beaten]
    rows = ROWS[layer](numbers)
    one = lakes.added(home, rows)
    return File(one.path, one.stats, one.size)


def _messages(numbers: Numbers) -> dict[str, Any]:
    noise = np.random.default_rng(int(numbers[0])).integers(2**62, size=(2, len(numbers)))
    value = pc.binary_join_element_wise(
        '{"match_id": "m', _text(numbers % KEYS), '", "ingestion_timestamp": ', _text(numbers),
        ', "status": "live", "noise": "', _text(noise[0]), _text(noise[1]), f'{FILLER}"}}', "",
    )  # fmt: skip
    return {
        "value": value,
        "topic": TOPIC,
        "topic_id": TOPIC_ID,
        "partition": numbers % PARTITIONS,
        "offset": numbers // PARTITIONS,
        "timestamp": _times(numbers),
        "timestamp_type": 0,
        "_landed_at": _times(numbers),
    }


def _bronze(numbers: Numbers) -> pa.Table:
    return _table(BRONZE, len(numbers), _messages(numbers))


def _quarantine(numbers: Numbers) -> pa.Table:
    reason = {**dict.fromkeys(lakes.REASON), "code": "wrong_type", "column": "status"}
    marks = {
        "reasons": [reason],
        "_checkpoint": CHECKPOINT["silver"],
        "_batch_id": numbers // BATCH,
        "_rules": RULES,
        "_quarantined_at": _times(numbers),
    }
    return _table(QUARANTINE, len(numbers), {**_messages(numbers), **marks})


def _silver(numbers: Numbers) -> pa.Table:
    columns = {
        "match_id": pc.binary_join_element_wise("m", _text(numbers % KEYS), ""),
        "status": "live",
        "ingestion_timestamp": numbers,
        "_topic": TOPIC,
        "_topic_id": TOPIC_ID,
        "_partition": numbers % PARTITIONS,
        "_offset": numbers // PARTITIONS,
        "_timestamp": _times(numbers),
        "_checkpoint": CHECKPOINT["silver"],
        "_batch_id": numbers // BATCH,
        "_rules": RULES,
        "_updated_at": _times(numbers),
    }
    return _table(SILVER, len(numbers), columns)


ROWS = {"bronze": _bronze, "silver": _silver, "quarantine": _quarantine}


def _table(schema: pa.Schema, rows: int, columns: dict[str, Any]) -> pa.Table:
    """Return *columns*, where one value stands for all rows and an absent one for NULL."""
    made = []
    for field in schema:
        one = columns.get(field.name)
        if isinstance(one, (np.ndarray, pa.Array)):
            made.append(pa.array(one).cast(field.type))
        else:
            made.append(pa.repeat(pa.scalar(one, field.type), rows))
    return pa.table(made, schema=schema)


def _times(numbers: Numbers) -> Numbers:
    """Return when the batches of messages began: just before the versions that they made."""
    batch = numbers // BATCH
    began, trigger = (one // timedelta(microseconds=1) for one in (BEGAN - EPOCH, TRIGGER))
    return began + (batch + batch // (COMPACTED - 1)) * trigger


def _text(numbers: Numbers) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _checkpoint(home: Path, large: list[File]) -> None:
    """Have the table at *home* be, at version LAST, what it is after a commit of *large*."""
    scratch = home.with_name("scratch")
    shutil.copytree(home / "_delta_log", scratch / "_delta_log")
    text = "\n".join(_adds(large, data_change=True))
    (scratch / "_delta_log" / f"{1:020d}.json").write_text(text)
    DeltaTable(scratch).create_checkpoint()
    log = scratch / "_delta_log"
    made = f"{1:020d}.checkpoint.parquet"
    (log / made).rename(home / "_delta_log" / made.replace(f"{1:020d}", f"{LAST:020d}"))
    last = json.loads((log / "_last_checkpoint").read_text())
    (home / "_delta_log" / "_last_checkpoint").write_text(json.dumps({**last, "version": LAST}))
    shutil.rmtree(scratch)


def _batch(layer: str, version: int, files: list[File]) -> tuple[str, dict[str, Any]]:
    """Return the commit of a batch, and what is different in its row of the trail."""
    batch = version - 1 - min(version, LAST) // COMPACTED
    mark = CHECKPOINT["bronze" if layer == "bronze" else "silver"]
    first = batch * EACH
    place = {"topic": TOPIC, "topic_id": TOPIC_ID, "min": first, "max": first + EACH - 1}
    ranges = [{**place, "partition": p, "count": EACH} for p in range(PARTITIONS)]
    record = BRONZE_RECORD
    if layer != "bronze":
        source: dict[str, Any] = {"from": None, "to": {}, "ranges": ranges}
        record = json.dumps({**SILVER_RECORD, "batch_id": batch, "source": source})
    lines = [
        _info("WRITE", version, record),
        json.dumps({"txn": {"appId": mark, "version": batch}}),
        *_adds(files or list(_gone(layer, batch)), data_change=True),
    ]
    row = {"checkpoint": mark, "batch_id": batch, "ranges": ranges, "record": record}
    return "\n".join(lines), row


def _compaction(layer: str, version: int, large: list[File]) -> tuple[str, dict[str, Any]]:
    """Return the commit that put together what the batches since the last one added."""
    number = version // COMPACTED - 1
    batches = range(number * (COMPACTED - 1), (number + 1) * (COMPACTED - 1))
    removed = [
        json.dumps({"remove": {"path": one.path, "dataChange": False}})
        for batch in batches
        for one in _gone(layer, batch)
    ]
    record = upkeep_metadata(f"{layer}.matches", "planted", "optimize")
    own = _adds(large[number : number + 1], data_change=False)
    row = {"operation": "OPTIMIZE", "data_change": False, "record": record}
    return "\n".join([_info("OPTIMIZE", version, record), *removed, *own]), row


def _gone(layer: str, batch: int) -> Iterator[File]:
    """Yield the files that *batch* added and a compaction has removed since."""
    if layer != "bronze":
        yield File(f"gone-{batch}.parquet", json.dumps({"numRecords": 1}))
        return
    for partition in range(PARTITIONS):
        first = batch * EACH
        low = {"partition": partition, "offset": first}
        high = {"partition": partition, "offset": first + EACH - 1}
        stats = {"numRecords": EACH, "minValues": low, "maxValues": high, "nullCount": {}}
        yield File(f"gone-{batch}-{partition}.parquet", json.dumps(stats))


def _info(operation: str, version: int, record: str) -> str:
    at = (BEGAN + version * TRIGGER).timestamp()
    info = {"operation": operation, "timestamp": int(at * 1000), "userMetadata": record}
    return json.dumps({"commitInfo": info})


def _adds(files: list[File], *, data_change: bool) -> list[str]:
    return [
        json.dumps(
            {
                "add": {
                    "path": one.path,
                    "partitionValues": {},
                    "size": one.size,
                    "modificationTime": 0,
                    "dataChange": data_change,
                    "stats": one.stats,
                }
            }
        )
        for one in files
    ]
