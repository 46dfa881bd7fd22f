"""What the log says of a silver batch."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import log

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.audit.records import Record
    from lakehouse.health import BatchCounts
    from silver.batch import Batch

SAMPLES = 3
SAMPLE_CHARACTERS = 200


def report(triaged: DataFrame, record: Record, outcome: BatchCounts, batch: Batch) -> None:
    """Log the batch: its rows, a warning if some were corrupt, at debug level a few of those."""
    logger, rows = log.get(record.stream), record.rows
    if rows.quarantined:
        logger.warning(
            f"Batch {record.batch_id}: {rows.quarantined} corrupt records",
            corrupt_count=rows.quarantined,
            reasons=rows.reasons,
        )
        if logging.getLogger(record.stream).isEnabledFor(logging.DEBUG):
            _show_samples(triaged, record.stream)
    logger.info(
        f"Batch {record.batch_id} merged",
        batch_id=record.batch_id,
        record_count=rows.read,
        topic=batch.entity.topic,
        valid=rows.valid,
        quarantined=rows.quarantined,
        superseded=sum(outcome.superseded.values()),
        duration_ms=round((datetime.now(UTC) - batch.at).total_seconds() * 1000),
    )


def _show_samples(triaged: DataFrame, stream: str) -> None:
    corrupt = triaged.where(F.size("_reasons") > 0).select(
        F.format_string("%s:%s:%s", "_topic", "_partition", "_offset").alias("position"),
        F.to_json("_reasons").alias("reasons"),
        F.substring("_message.value", 1, SAMPLE_CHARACTERS).alias("value"),
    )
    for row in corrupt.limit(SAMPLES).collect():
        log.get(stream).debug("Corrupt record", **row.asDict())
