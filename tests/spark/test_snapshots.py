"""The state of a snapshot is computed beside a batch, and nothing rests on it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from pyspark.sql.types import StringType, StructField, StructType

from lakehouse.audit.records import recorded
from lakehouse.snapshots import compute_ahead, computing
from lakehouse.tables import Lake, create, frame
from tests.spark.jobs import last_job

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.tables import Table


@dataclass(frozen=True)
class Numbered:
    """A transaction that says nothing but its number."""

    batch_id: int
    checkpoint: str = "own"

    def to_json(self) -> str:
        return "{}"


@pytest.fixture
def table(spark: SparkSession, tmp_path: Path) -> Table:
    lake = Lake(str(tmp_path), "30 days")
    found = lake.table("bronze", "things")
    create(spark, found, StructType([StructField("id", StringType())]), lake)
    for number in range(2):
        append(spark, found, number)
    return found


def append(spark: SparkSession, table: Table, number: int) -> int:
    """Commit one row as transaction *number*, and return how many jobs that took."""
    before = last_job(spark)
    with recorded(spark, Numbered(number)):
        rows = frame(spark, [{"id": str(number)}], "id STRING")
        rows.write.format("delta").mode("append").save(table.path)
    return last_job(spark) - before


def test_a_commit_does_not_compute_again_what_was_computed_beside_it(
    spark: SparkSession, table: Table
) -> None:
    alone = append(spark, table, 2)
    with computing(spark, table):
        pass
    assert append(spark, table, 3) < alone
    assert sorted(row["id"] for row in table.read(spark).collect()) == ["0", "1", "2", "3"]


def test_a_commit_does_not_compute_again_what_was_computed_ahead(
    spark: SparkSession, table: Table
) -> None:
    alone = append(spark, table, 2)
    compute_ahead(spark, table).join()
    assert append(spark, table, 3) < alone
    assert sorted(row["id"] for row in table.read(spark).collect()) == ["0", "1", "2", "3"]


def test_a_table_that_cannot_be_read_ahead_fails_nothing(spark: SparkSession, table: Table) -> None:
    compute_ahead(spark, replace(table, path="nowhere://there/is/no/such/filesystem")).join()


def test_what_is_computed_ahead_leaves_the_options_of_the_session_alone(
    spark: SparkSession, table: Table
) -> None:
    before = spark.conf.get("spark.sql.codegen.wholeStage")
    compute_ahead(spark, table).join()
    assert spark.conf.get("spark.sql.codegen.wholeStage") == before


def test_a_transaction_that_is_there_already_is_left_out(spark: SparkSession, table: Table) -> None:
    with computing(spark, table):
        append(spark, table, 1)
    assert table.read(spark).count() == 2


def test_a_table_that_cannot_be_read_is_left_to_the_commit(
    spark: SparkSession, table: Table
) -> None:
    broken = replace(table, path="nowhere://there/is/no/such/filesystem")
    with computing(spark, broken, table):
        assert append(spark, table, 2)
    with pytest.raises(Exception, match="nowhere"):
        append(spark, broken, 2)


def test_the_thread_is_gone_after_the_block_even_if_it_fails(
    spark: SparkSession, table: Table
) -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), computing(spark, table):
        raise ZeroDivisionError
    assert threading.active_count() == before
