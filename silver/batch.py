"""What is fixed for one silver micro-batch, and the rows it writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import checkpoints
from lakehouse.audit.expectations import conditions, verdict
from lakehouse.audit.records import Record

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.audit.records import Expectations
    from lakehouse.entities import Entity
    from lakehouse.tables import Lake, Table
    from silver.counts import Counts


@dataclass(frozen=True)
class Batch:
    """One micro-batch: the entity under its rules, the lake, its place in the checkpoint.

    `at` is taken once, so that every row of the batch has the same clock.
    """

    entity: Entity
    lake: Lake
    checkpoint: str
    id: int
    run_id: str
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
        marked = corrupt.select("_message.*", F.col("_reasons").alias("reasons"))
        return self._marked(marked).withColumn("_quarantined_at", F.lit(self.at))

    def valid(self, triaged: DataFrame) -> DataFrame:
        """Return the valid messages as rows of silver: the entity's columns and marks."""
        valid = triaged.where(F.size("_reasons") == 0).drop(
            "_message", "_reasons", "_unmet", "_landed_at"
        )
        return self._marked(valid).withColumn("_updated_at", F.lit(self.at))

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

    def _expectations(self, spark: SparkSession, counts: Counts) -> Expectations | None:
        if self.entity.suite is None:
            return None
        of = conditions(spark, self.entity)
        return verdict(self.entity.suite, of, counts.tallies)

    def _marked(self, rows: DataFrame) -> DataFrame:
        marks = {
            "_checkpoint": F.lit(self.checkpoint),
            "_batch_id": F.lit(self.id).cast("long"),
            "_rules": F.lit(self.entity.fingerprint),
        }
        return rows.withColumns(marks)
