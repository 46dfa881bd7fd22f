"""What a batch holds, counted once: the figures of its record, its log line and its alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.audit.records import Range, Rows
from quarantine.reasons import Reason

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Counts:
    """The positions of a batch and its rows by outcome."""

    ranges: tuple[Range, ...]
    rows: Rows


def count(triaged: DataFrame) -> Counts:
    """Return the counts of *triaged*, by one collected aggregate over (topic, partition).

    Not by `observe` and not by SQL metrics: both count again when a stage is retried.
    """
    codes = F.col("_reasons")["code"]
    having = [F.count_if(F.array_contains(codes, code)).alias(code) for code in Reason]
    found = (
        triaged.groupBy("_topic", "_topic_id", "_partition")
        .agg(
            F.count("*").alias("rows"),
            F.min("_offset").alias("min"),
            F.max("_offset").alias("max"),
            F.count_if(F.size("_reasons") > 0).alias("corrupt"),
            *having,
        )
        .orderBy("_topic", "_topic_id", "_partition")
        .collect()
    )
    ranges = tuple(
        Range(r["_topic"], r["_topic_id"], r["_partition"], r["min"], r["max"], r["rows"])
        for r in found
    )
    read, corrupt = sum(r["rows"] for r in found), sum(r["corrupt"] for r in found)
    reasons = {str(code): n for code in Reason if (n := sum(r[code] for r in found))}
    return Counts(ranges, Rows(read, read - corrupt, corrupt, reasons))
