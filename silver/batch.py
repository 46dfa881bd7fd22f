"""What is fixed for messages that are judged together, above all a micro-batch, and their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import checkpoints
from lakehouse.audit.conditions import conditions
from lakehouse.audit.expectations import verdict
from lakehouse.audit.records import Record
from lakehouse.health import BatchCounts
from lakehouse.tables import quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.audit.records import Expectations
    from lakehouse.entities import Entity
    from lakehouse.run import Run
    from lakehouse.tables import Lake, Table
    from silver.breaker import Breaker
    from silver.counts import Counts
    from silver.merge import Merged


def begin(spark: SparkSession, entity: Entity, batch_id: int, run: Run, breaker: Breaker) -> Batch:
    """Return the batch *batch_id* of *entity*'s silver stream, begun now."""
    path = run.lake.table("silver", entity.name).checkpoint
    checkpoint = checkpoints.identity(spark, path)
    return Batch(entity, run.lake, checkpoint, batch_id, datetime.now(UTC), run.id, breaker)


@dataclass(frozen=True)
class Judgement:
    """What rows that are judged together have in common: the entity under its rules, and marks.

    `checkpoint` and `id` are the transaction that writes them. `at` is taken once, so that every
    row has the same clock.
    """

    entity: Entity
    lake: Lake
    checkpoint: str
    id: int
    at: datetime

    @property
    def silver(self) -> Table:
        """The table that valid rows are merged into."""
        return self.lake.table("silver", self.entity.name)

    @property
    def quarantine(self) -> Table:
        """The table that corrupt rows are appended to."""
        return self.lake.table("quarantine", self.entity.name)

    def corrupt(self, triaged: DataFrame) -> DataFrame:
        """Return the refused messages as rows of quarantine: bronze's columns and the reasons."""
        corrupt = triaged.where(F.size("_reasons") > 0)
        messages = corrupt.select("_message.*", F.col("_reasons").alias("reasons"))
        return self._marked(messages, F.col("offset"), "_quarantined_at")

    def valid(self, triaged: DataFrame) -> DataFrame:
        """Return the valid messages as rows of silver: the entity's columns and marks."""
        valid = triaged.where(F.size("_reasons") == 0).drop(
            "_message", "_reasons", "_unmet", "_landed_at"
        )
        return self._marked(valid, F.col("_offset"), "_updated_at")

    def _marked(self, rows: DataFrame, offset: Column, clock: str) -> DataFrame:
        marks = {
            "_checkpoint": F.lit(self.checkpoint),
            "_batch_id": _constant(self.id, offset).cast("long"),
            "_rules": F.lit(self.entity.fingerprint),
            clock: _constant(self.at, offset),
        }
        return rows.withColumns(marks)


@dataclass(frozen=True)
class Batch(Judgement):
    """One micro-batch: judged together, and its place is in the stream's checkpoint."""

    run_id: str
    breaker: Breaker

    def record(self, spark: SparkSession, counts: Counts) -> Record:
        """Return what the batch's commits say about it."""
        path = self.silver.checkpoint
        source_from, source_to = checkpoints.source_offsets(spark, path, self.id)
        return Record(
            stream=self.silver.name,
            run_id=self.run_id,
            checkpoint=self.checkpoint,
            batch_id=self.id,
            source_from=source_from,
            source_to=source_to,
            ranges=counts.ranges,
            rows=counts.rows,
            rules=self.entity.fingerprint,
            at=self.at.isoformat(),
            expectations=self._expectations(spark, counts),
        )

    def outcome(self, spark: SparkSession, counts: Counts, merged: Merged) -> BatchCounts:
        """Return what became of the batch's rows, once they are written.

        Superseded are the valid rows that are not rows of silver now. Those without a sequence are
        told apart by looking into the table, and only where there can be any.
        """
        gone = counts.rows.valid - merged.inserted - merged.updated
        look = gone and counts.bare
        bare = counts.bare - self._current_without_sequence(spark) if look else 0
        failures = {
            (one.rule.name, one.rule.severity): tally.unmet
            for one, tally in zip(conditions(spark, self.entity), counts.tallies, strict=True)
        }
        tables = [self.silver, *([self.quarantine] if counts.rows.quarantined else [])]
        return BatchCounts(
            valid=counts.rows.valid,
            quarantined=counts.rows.quarantined,
            reasons=counts.rows.reasons,
            failures=failures,
            superseded={"older": gone - bare, "without_sequence": bare},
            versions={table.name: table.version(spark) for table in tables},
        )

    def _current_without_sequence(self, spark: SparkSession) -> int:
        own = (F.col("_checkpoint") == self.checkpoint) & (F.col("_batch_id") == self.id)
        bare = F.col(quoted(str(self.entity.sequence_by))).isNull()
        return self.silver.read(spark).where(own & bare).count()

    def _expectations(self, spark: SparkSession, counts: Counts) -> Expectations | None:
        if self.entity.suite is None:
            return None
        of = conditions(spark, self.entity)
        return verdict(self.entity.suite, of, counts.tallies)


def _constant(value: Any, number: Column) -> Column:
    """Return the constant *value* such that Spark keeps it beside the code that it generates.

    Texts are there always. A number or a time would stand in the code, which would then be another
    one for each batch, compiled anew by Spark and after it by the JVM, and slow until it is. So it
    is an item of an array, at a place that is not known before a row is: *number*, a column of
    integers that no row lacks, times zero.
    """
    return F.array(F.lit(value))[number * 0]
