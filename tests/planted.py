"""Lakes planted by delta-rs, with the times and records that the product's own commits carry."""

from __future__ import annotations

import base64
import json
import string
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakehouse.reading.tables import Catalog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# The first commit of every planted table, and the time between two.
FIRST = datetime(2020, 1, 31, 10, 0, tzinfo=UTC)
STEP = timedelta(minutes=10)
SILVER = {"lakehouse.entity": json.dumps({"topic": "t", "keys": ["match_id"]})}
PROPERTIES = {
    "delta.enableInCommitTimestamps": "true",
    "delta.logRetentionDuration": "interval 30 days",
    "delta.deletedFileRetentionDuration": "interval 30 days",
    "lakehouse.layout": "1",
}
# The letters of Python's Base85, and those of ZeroMQ's, which Delta has.
BASE_85 = "".join((*string.digits, *string.ascii_uppercase, *string.ascii_lowercase))
BASE_85 += "!#$%&()*+-;<=>?@^_`{|}~"
Z85 = "".join((*string.digits, *string.ascii_lowercase, *string.ascii_uppercase))
Z85 += ".-:+=^!/*?&<>()[]{}@%$#"
MATCHES = pa.schema(
    [
        ("match_id", pa.string()),
        ("status", pa.string()),
        ("team_1_gold", pa.int32()),
        ("started_at", pa.timestamp("us", "UTC")),
        ("_offset", pa.int64()),
    ]
)


def catalog(root: Path) -> Catalog:
    return Catalog(str(root), ("matches", "players"))


def matches(*rows: tuple[str, str, int | None, int]) -> pa.Table:
    """Return rows of silver.matches: id, status, gold, offset."""
    columns = [
        {"match_id": i, "status": s, "team_1_gold": g, "started_at": FIRST, "_offset": o}
        for i, s, g, o in rows
    ]
    return pa.Table.from_pylist(columns, MATCHES)


def silver(root: Path) -> Path:
    """Plant silver.matches of five versions: made empty, three matches, a merge, a removal, empty.

    Version 2 finishes `b`, repeats `c` with nothing but a newer position, and brings `d`. Version
    3 removes `a`. Version 4 is a batch without rows.
    """
    path = root / "silver" / "matches"
    write_deltalake(path, matches())
    first = matches(("a", "live", 1, 0), ("b", "live", 2, 1), ("c", "live", None, 2))
    write_deltalake(path, first, mode="append")
    merge(path, matches(("b", "finished", 5, 3), ("c", "live", None, 4), ("d", "live", 7, 5)))
    DeltaTable(path).delete("match_id = 'a'")
    empty_commit(path)
    stamp(path, [None, *(record(n, 3, 1) for n in range(4))], SILVER)
    return path


def merge(path: Path, rows: pa.Table) -> None:
    merger = DeltaTable(path).merge(rows, "t.match_id = s.match_id", "s", "t")
    merger.when_matched_update_all().when_not_matched_insert_all().execute()


def empty_commit(path: Path, **info: Any) -> int:
    """Commit a version that changes nothing, by writing its file; return which one it is."""
    log = path / "_delta_log"
    version = 1 + max(int(file.stem) for file in log.glob("*.json"))
    said = {"commitInfo": {"timestamp": 0, "operation": "MERGE", **info}}
    (log / f"{version:020d}.json").write_text(json.dumps(said) + "\n")
    return version


def record(batch: int, valid: int, quarantined: int, **more: Any) -> dict[str, Any]:
    """Return what a silver commit says in its userMetadata."""
    rows = {"read": valid + quarantined, "valid": valid, "quarantined": quarantined}
    return {"v": 1, "stream": "silver.matches", "batch_id": batch, "rows": rows, **more}


def stamp(
    path: Path,
    records: Sequence[Mapping[str, Any] | None] = (),
    properties: Mapping[str, str] | None = None,
    *,
    first: datetime = FIRST,
) -> None:
    """Have each commit of the table at *path* carry its time, and its record where it has one.

    delta-rs writes no in-commit timestamps, and no table that has them, so this comes last.
    """
    for version, file in enumerate(sorted((path / "_delta_log").glob("*.json"))):
        actions = [json.loads(line) for line in file.read_text().splitlines()]
        none: dict[str, Any] = {"commitInfo": {}}
        info = next((a for a in actions if "commitInfo" in a), none)
        at = int((first + version * STEP).timestamp() * 1000)
        info["commitInfo"] |= {"inCommitTimestamp": at, "timestamp": at}
        said = records[version] if version < len(records) else None
        if said is not None:
            info["commitInfo"]["userMetadata"] = json.dumps(said)
        for action in actions:
            if "protocol" in action:
                action["protocol"] = {
                    "minReaderVersion": 1,
                    "minWriterVersion": 7,
                    "writerFeatures": ["appendOnly", "invariants", "inCommitTimestamp"],
                }
            if "remove" in action:
                action["remove"]["deletionTimestamp"] = at
            if "metaData" in action:
                action["metaData"]["configuration"] |= PROPERTIES | dict(properties or {})
        ordered = [info, *(a for a in actions if "commitInfo" not in a)]
        file.write_text("".join(json.dumps(a) + "\n" for a in ordered))


def mark(path: Path, *rows: int) -> None:
    """Commit that *rows* of the table's one file, by their places in it, are gone: by a vector.

    delta-rs writes none, so this writes it as the Delta protocol has it, in the commit itself.
    Comes after `stamp`, which takes the feature from the protocol.
    """
    log = path / "_delta_log"
    texts = [file.read_text() for file in sorted(log.glob("*.json"))]
    actions = [json.loads(line) for text in texts for line in text.splitlines()]
    protocol = [one["protocol"] for one in actions if "protocol" in one][-1]
    features = [*{*protocol["writerFeatures"], "deletionVectors"}]
    more = {"minReaderVersion": 3, "readerFeatures": ["deletionVectors"]}
    add = [one["add"] for one in actions if "add" in one][-1]
    remove = {key: add[key] for key in ("path", "deletionVector") if key in add}
    version = empty_commit(path)
    at = int((FIRST + version * STEP).timestamp() * 1000)
    said = [
        {"commitInfo": {"inCommitTimestamp": at, "timestamp": at, "operation": "MERGE"}},
        {"protocol": protocol | more | {"writerFeatures": features}},
        {"remove": remove | {"dataChange": True, "deletionTimestamp": at}},
        {"add": add | {"deletionVector": vector(rows)}},
    ]
    text = "".join(json.dumps(one) + "\n" for one in said)
    (log / f"{version:020d}.json").write_text(text)


def vector(rows: Sequence[int]) -> dict[str, Any]:
    """Return the deletion vector of *rows* below 65,536: a roaring bitmap of one container."""
    places = struct.pack(f"<{len(rows)}H", *sorted(rows))
    bitmap = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + places
    data = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    data += bytes(-len(data) % 4)
    text = base64.b85encode(data).decode().translate(str.maketrans(BASE_85, Z85))
    said = {"storageType": "i", "pathOrInlineDv": text}
    return said | {"sizeInBytes": len(data), "cardinality": len(rows)}


def clean_up(path: Path, before: int) -> None:
    """Remove the log of versions *before* one, which gets a checkpoint, as Delta does in time."""
    DeltaTable(path, version=before).create_checkpoint()
    for version in range(before):
        (path / "_delta_log" / f"{version:020d}.json").unlink()


def vacuum(path: Path, upto: int) -> list[str]:
    """Remove the files that versions up to *upto* had removed from the table, and name them."""
    gone = []
    for version in range(upto + 1):
        text = (path / "_delta_log" / f"{version:020d}.json").read_text()
        for line in text.splitlines():
            if "remove" in (action := json.loads(line)):
                gone.append(unquote(action["remove"]["path"]))
                (path / gone[-1]).unlink()
    return gone
