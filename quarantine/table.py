"""The quarantine table: every refused message as bronze has it, with its reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql.types import (
    ArrayType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from lakehouse import layout, tables

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.tables import Lake, Table

REASON = StructType(
    [
        StructField("code", StringType()),
        # The name of an expectation, where one refused the row.
        StructField("rule", StringType()),
        StructField("column", StringType()),
        StructField("expected", StringType()),
        # The field as JSON text, shortened to 200 characters.
        StructField("got", StringType()),
    ]
)
REASONS = ArrayType(REASON)

QUARANTINE = StructType(
    [
        *tables.BRONZE.fields,
        StructField("reasons", REASONS),
        StructField("_checkpoint", StringType()),
        StructField("_batch_id", LongType()),
        StructField("_rules", StringType()),
        StructField("_quarantined_at", TimestampType()),
    ]
)


def prepare(spark: SparkSession, table: Table, lake: Lake) -> None:
    """Have the quarantine *table* exist and fit. It is append-only, as bronze is."""
    properties = {"delta.dataSkippingStatsColumns": tables.BRONZE_STATS}
    tables.create(spark, table, QUARANTINE, lake, **properties)
    # A rebuild that a kill cut short may have left it otherwise.
    tables.fit(spark, table, QUARANTINE, lake, **{layout.APPEND_ONLY: "true"})


def append(corrupt: DataFrame, *, to: Table) -> None:
    """Append *corrupt*, rows of QUARANTINE, in one commit.

    Inside `recorded` the commit is the batch's transaction, and the same batch again adds nothing.
    """
    corrupt.select(QUARANTINE.fieldNames()).write.format("delta").mode("append").save(to.path)
