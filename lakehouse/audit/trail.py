"""The audit trail: what every commit of a table said, kept for longer than the table's own log.

Delta removes the files of its log once they are older than the retention. The owner of a stream
folds them into `audit/<layer>.<entity>` before: every FOLD_AFTER batches, every hour, and at a
start that finds as many commits waiting, or old ones. Who reads takes the trail together with the
part of the log that is not folded yet.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import checkpoints, storage, tables
from lakehouse.audit import commits
from lakehouse.audit.commits import APPLICATION, Commit, Planned

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.tables import Lake, Table

FOLD_AFTER = 50
FOLD_EVERY = timedelta(hours=1)
TRAIL = (
    "version LONG, committed_at TIMESTAMP, operation STRING, data_change BOOLEAN, rows_added LONG, "
    "checkpoint STRING, batch_id LONG, started_at TIMESTAMP, "
    "ranges ARRAY<STRUCT<topic: STRING, topic_id: STRING, partition: INT, min: LONG, max: LONG, "
    "count: LONG>>, "
    "planned ARRAY<STRUCT<topic: STRING, partition: INT, start: LONG, end: LONG>>, "
    "metrics MAP<STRING, STRING>, record STRING"
)


def fold(spark: SparkSession, table: Table, lake: Lake) -> int:
    """Have the trail of *table* hold each commit that its log has, and return how many were new.

    Idempotent, and safe to be killed at any point: one commit of the trail, whose transaction is
    the last version folded. Only the owner of the table's stream may call it.
    """
    return _fold(spark, _waiting(spark, table, lake), lake.trail(table.name), lake)


def catch_up(spark: SparkSession, table: Table, lake: Lake) -> int:
    """Fold what runs before have left of *table*, if it is as much or as old as a run folds it.

    A start is no reason by itself: a Spark job of each stream, before its first batch.
    """
    new = _waiting(spark, table, lake)
    old = datetime.now(UTC) - FOLD_EVERY
    due = len(new) >= FOLD_AFTER or (bool(new) and new[0].committed_at < old)
    return _fold(spark, new, lake.trail(table.name), lake) if due else 0


def _waiting(spark: SparkSession, table: Table, lake: Lake) -> list[Commit]:
    """Return the commits of *table* that its trail does not hold."""
    trail = lake.trail(table.name)
    folded = trail.transactions(spark).get(APPLICATION, -1) if trail.exists(spark) else -1
    return logged(spark, table, after=folded)


def _fold(spark: SparkSession, new: list[Commit], trail: Table, lake: Lake) -> int:
    # The first start has but the commit that made the table: the trail can begin with the next.
    if not new or new[-1].version == 0:
        return 0
    rows = tables.frame(spark, [one.to_row() for one in new], TRAIL)
    tables.create(spark, trail, rows.schema, lake)
    writer = rows.coalesce(1).write.format("delta").mode("append")
    marks = {"txnAppId": APPLICATION, "txnVersion": str(new[-1].version)}
    writer.options(**marks).save(trail.path)
    return len(new)


def trail(spark: SparkSession, table: Table, lake: Lake, upto: int | None = None) -> list[Commit]:
    """Return every commit of *table* up to version *upto*, the oldest first.

    From the trail, and from the log where the trail ends. Versions that were removed from the log
    before they were folded are not there.
    """
    kept = folded(spark, table, lake)
    found = commits.joined(kept, logged(spark, table, after=kept[-1].version if kept else -1))
    return [one for one in found if upto is None or one.version <= upto]


def folded(spark: SparkSession, table: Table, lake: Lake) -> list[Commit]:
    """Return the commits in the trail of *table*, the oldest first."""
    kept = lake.trail(table.name)
    if not kept.exists(spark):
        return []
    micros = {name: F.unix_micros(name).alias(name) for name in ("committed_at", "started_at")}
    rows = kept.read(spark).orderBy("version").withColumns(micros).collect()
    return [
        Commit.from_row(
            {**row.asDict(recursive=True), **{name: _time(row[name]) for name in micros}}
        )
        for row in rows
    ]


def logged(spark: SparkSession, table: Table, after: int = -1) -> list[Commit]:
    """Return the commits of *table* later than version *after* that its log still has."""
    log = f"{table.path}/_delta_log"
    found = map(commits.version_of, storage.names(spark, log))
    versions = sorted(one for one in found if one is not None and one > after)
    read = []
    for version in versions:
        text = storage.read(spark, f"{log}/{version:020d}.json")
        if text is not None:  # else Delta has just removed it
            read.append(_with_plan(spark, table, commits.read(text, version)))
    return read


def _with_plan(spark: SparkSession, table: Table, commit: Commit) -> Commit:
    """Return *commit* of bronze with what its checkpoint planned, as long as that is kept."""
    if not table.name.startswith("bronze.") or commit.batch_id is None:
        return commit
    plan = checkpoints.plan(spark, table.checkpoint, commit.checkpoint, commit.batch_id)
    if plan is None:
        return commit
    planned = tuple(
        Planned(topic, int(partition), plan.start.get(topic, {}).get(partition), end)
        for topic, partitions in plan.end.items()
        for partition, end in partitions.items()
    )
    return replace(commit, planned=planned, started_at=plan.at)


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1_000_000, UTC)
