"""A stream's checkpoint, and whether it and the stream's table tell the same story."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse import storage
from lakehouse.errors import TableError
from lakehouse.layout import DESK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from lakehouse.tables import Table


@dataclass(frozen=True)
class Checkpoint:
    """What Spark has written about a stream's progress.

    `id` is drawn by Spark with the checkpoint and names its transactions in the table. `planned`
    and `committed` are the last batches of `offsets/` and `commits/`, None before the first.
    """

    id: str
    planned: int | None
    committed: int | None

    @property
    def unfinished(self) -> int | None:
        """The batch that was planned and not seen to its end: it will be run again, unchanged."""
        return self.planned if self.planned != self.committed else None


def read(spark: SparkSession, path: str) -> Checkpoint | None:
    """Return the checkpoint at *path*, or None where no query ever started."""
    metadata = storage.read(spark, f"{path}/metadata")
    if metadata is None:
        return None
    planned, committed = (_last(spark, f"{path}/{kind}") for kind in ("offsets", "commits"))
    return Checkpoint(json.loads(metadata)["id"], planned, committed)


def identity(spark: SparkSession, path: str) -> str:
    """Return the id of the checkpoint at *path*, which a query is using."""
    text = storage.read(spark, f"{path}/metadata")
    if text is None:
        raise FileNotFoundError(f"{path}/metadata")
    return str(json.loads(text)["id"])


def is_committed(spark: SparkSession, path: str, batch_id: int) -> bool:
    """Say whether Spark has noted that *batch_id* is done."""
    return str(batch_id) in storage.names(spark, f"{path}/commits")


def source_offsets(spark: SparkSession, path: str, batch_id: int) -> tuple[str | None, str]:
    """Return the source's offsets before and after *batch_id*, as the checkpoint holds them."""
    before = storage.read(spark, f"{path}/offsets/{batch_id - 1}") if batch_id else None
    after = storage.read(spark, f"{path}/offsets/{batch_id}")
    if after is None:
        raise FileNotFoundError(f"{path}/offsets/{batch_id}")
    return before.splitlines()[-1] if before else None, after.splitlines()[-1]


@dataclass(frozen=True)
class Plan:
    """What a checkpoint of a Kafka source planned for a batch: offsets by topic and partition."""

    start: dict[str, dict[str, int]]
    end: dict[str, dict[str, int]]
    at: datetime


def plan(spark: SparkSession, path: str, checkpoint: str | None, batch_id: int) -> Plan | None:
    """Return the plan of *batch_id*, if the checkpoint at *path* is that one and still has it.

    Spark keeps the last hundred batches or so.
    """
    metadata = storage.read(spark, f"{path}/metadata")
    text = storage.read(spark, f"{path}/offsets/{batch_id}")
    if metadata is None or text is None or json.loads(metadata)["id"] != checkpoint:
        return None
    start, end = source_offsets(spark, path, batch_id)
    millis = json.loads(text.splitlines()[1])["batchTimestampMs"]
    at = datetime.fromtimestamp(millis / 1000, UTC)
    return Plan(json.loads(start) if start else {}, json.loads(end), at)


def compare(spark: SparkSession, table: Table) -> Checkpoint | None:
    """Return the checkpoint of *table*'s stream, proven to be the one the table was written with.

    The table's transaction of that checkpoint is its last committed batch N, or N+1 where that
    batch was planned: a crash came between table and checkpoint, and the batch will be run again.

    Raises:
        TableError: CHECKPOINT_MISMATCH for one deleted, restored from an older copy, or of another
            table.
    """
    checkpoint = read(spark, table.checkpoint)
    there = table.exists(spark)
    written = batches(table.transactions(spark)) if there else {}
    difference = differing(checkpoint, written, there=there)
    if difference:
        raise TableError(
            "CHECKPOINT_MISMATCH", stream=table.name, path=table.checkpoint, difference=difference
        )
    return checkpoint


def batches(written: Mapping[str, int]) -> dict[str, int]:
    """Return those of the transactions *written* that are of a stream, not of a request."""
    return {application: last for application, last in written.items() if application != DESK}


def differing(checkpoint: Checkpoint | None, written: dict[str, int], *, there: bool) -> str | None:
    """Say in what a checkpoint and its table disagree, or None.

    *written* is the last transaction of each checkpoint in the table; *there*, whether there is a
    table at all.
    """
    if checkpoint is None:
        last = max(written.values(), default=None)
        return None if last is None else f"the table has batch {last}, and there is no checkpoint"
    if not there:
        ran = checkpoint.planned is not None
        return "the checkpoint has batches, and there is no table" if ran else None
    if checkpoint.id not in written and written:
        return "the table was written with another checkpoint"
    batch, committed, planned = written.get(checkpoint.id), checkpoint.committed, checkpoint.planned
    if batch == committed:
        return None
    following = 0 if committed is None else committed + 1
    if batch == following == planned:
        return None
    return f"the table has batch {batch}, the checkpoint ends at batch {committed}"


def _last(spark: SparkSession, folder: str) -> int | None:
    return max((int(name) for name in storage.names(spark, folder) if name.isdigit()), default=None)
