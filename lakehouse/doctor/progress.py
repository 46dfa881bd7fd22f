"""How far each stream is: its checkpoint can be read, and its tables tell the same story."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake.exceptions import DeltaError

from lakehouse.audit import commits
from lakehouse.checkpoints import Checkpoint, differing
from lakehouse.doctor.finding import fail, of, ok
from lakehouse.errors import TableError
from lakehouse.reading.rows import EPOCH, micros, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deltalake import DeltaTable

    from lakehouse.doctor.finding import Finding

CURE = (
    "put back the folder from the copy that was made with the table; never delete it to get going."
    " If it is lost: a new lake"
)


def read(folder: Path) -> Checkpoint | None:
    """Return the checkpoint in *folder*, or None where no query ever started.

    Raises:
        ValueError: a file of it does not hold what Spark writes.
    """
    metadata = folder / "metadata"
    if not metadata.exists():
        if folder.exists() and any(folder.glob("*/[0-9]*")):
            raise ValueError(f"{metadata} is missing, and there are batches")
        return None
    try:
        own = str(json.loads(metadata.read_text(encoding="utf-8"))["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{metadata} is not what Spark writes") from error
    planned, committed = (_last(folder / kind) for kind in ("offsets", "commits"))
    return Checkpoint(own, planned, committed)


def _last(folder: Path) -> int | None:
    """Return the last batch that *folder* has a file of, which can be read."""
    names = folder.iterdir() if folder.is_dir() else ()
    last = max((int(path.name) for path in names if path.name.isdigit()), default=None)
    # What a crash of the machine leaves is a file of no bytes, or of zeros.
    if last is not None and not (folder / str(last)).read_bytes().startswith(b"v1\n"):
        raise ValueError(f"{folder / str(last)} is not what Spark writes")
    return last


def written(table: DeltaTable | None, checkpoint: Checkpoint | None) -> dict[str, int]:
    """Return the last batch of *checkpoint* in *table*; where it has none, of whatever wrote last.

    The latter as far as the log still has it.

    Raises:
        TableError: TABLE_UNREADABLE.
    """
    if table is None:
        return {}
    try:
        last = None if checkpoint is None else table.transaction_version(checkpoint.id)
    except DeltaError as error:
        raise unreadable(table.table_uri, error) from error
    if checkpoint is not None and last is not None:
        return {checkpoint.id: last}
    log = Path(unquote(urlsplit(table.table_uri).path)) / "_delta_log"
    for file in sorted(log.glob("*.json"), reverse=True):
        version = commits.version_of(file.name)
        if version is None:
            continue
        try:
            commit = commits.read(file.read_text(encoding="utf-8"), version)
        except ValueError as error:
            raise unreadable(str(file), error) from error
        if commit.checkpoint is not None and commit.batch_id is not None:
            return {commit.checkpoint: commit.batch_id}
    return {}


def compared(
    stream: str, folder: Path, table: DeltaTable | None, quarantine: DeltaTable | None
) -> Iterator[Finding]:
    """Compare the checkpoint of *stream* in *folder* with the tables that it writes.

    *quarantine* is silver's; of bronze it is not looked at. Only while nobody owns the stream:
    between two looks it may commit.
    """
    try:
        checkpoint = read(folder)
    except ValueError as error:
        yield fail("checkpoints", str(error), CURE, stream)
        return
    difference = differing(checkpoint, written(table, checkpoint), there=table is not None)
    if difference is None and stream.startswith("silver."):
        difference = _refused(checkpoint, quarantine)
    if difference is not None:
        other = TableError("CHECKPOINT_MISMATCH", stream=stream, path=folder, difference=difference)
        yield of("checkpoints", other, stream)
    elif checkpoint is None:
        yield ok("checkpoints", "none yet, and no batch in its table", stream)
    else:
        yield ok("checkpoints", said(checkpoint), stream)


def readable(stream: str, folder: Path) -> Iterator[Finding]:
    """Look whether the checkpoint of *stream* can be read; all there is to say while it runs."""
    try:
        checkpoint = read(folder)
    except ValueError as error:
        yield fail("checkpoints", str(error), CURE, stream)
        return
    found = "none yet" if checkpoint is None else said(checkpoint)
    yield ok("checkpoints", f"{found}; its stream runs, so its table was not compared", stream)


def said(checkpoint: Checkpoint) -> str:
    """Say how far *checkpoint* is."""
    if checkpoint.planned is None:
        return "begun, without a batch"
    if checkpoint.unfinished is not None:
        return f"batch {checkpoint.unfinished} is in hand, and will be done again"
    return f"batch {checkpoint.committed} is done, in its table too"


def _refused(checkpoint: Checkpoint | None, quarantine: DeltaTable | None) -> str | None:
    """Say why *quarantine* cannot be that of silver's *checkpoint*, as a start of silver would."""
    if quarantine is None:
        begun = checkpoint is not None and checkpoint.committed is not None
        return "silver has batches, and there is no quarantine table" if begun else None
    found = written(quarantine, checkpoint)
    own = checkpoint is not None and checkpoint.id in found
    return None if own or not found else "its quarantine was filled under another checkpoint"


def newest_commit(table: DeltaTable) -> datetime | None:
    """Return when the newest version of *table* was committed."""
    try:
        newest = table.history(1)
    except DeltaError as error:
        raise unreadable(table.table_uri, error) from error
    return datetime.fromtimestamp(newest[0]["timestamp"] / 1000, UTC) if newest else None


def newest_message(bronze: DeltaTable) -> datetime | None:
    """Return the newest of Kafka's timestamps in *bronze*, as the statistics of its files say."""
    try:
        reader = pa.RecordBatchReader.from_stream(bronze.get_add_actions(flatten=True))
    except DeltaError as error:
        raise unreadable(bronze.table_uri, error) from error
    if "max.timestamp" not in reader.schema.names:
        return None
    times = [one for batch in reader for one in micros(batch.column("max.timestamp")) if one]
    return EPOCH + timedelta(microseconds=max(times)) if times else None
