"""Kafka's columns to bronze's: nothing dropped, nothing changed beyond repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.tables import BRONZE
from tests.messages import TOPIC_ID, landed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

VALUES = [b"plain", "grüße 서울".encode(), b"", None, b"\xff\xfe", b"a\xc0\xafb", b"\xed\xa0\x80"]


def test_every_value_can_be_had_back_byte_for_byte(spark: SparkSession) -> None:
    rows = landed(spark, VALUES).orderBy("offset").collect()
    back = [
        row["value_raw"] if row["value_raw"] is not None else row["value"] and row["value"].encode()
        for row in rows
    ]
    assert [None if b is None else bytes(b) if b else b"" for b in back] == VALUES


@pytest.mark.parametrize("value", [b"\xff\xfe", b"a\xc0\xafb", b"\xed\xa0\x80"])
def test_invalid_bytes_are_repaired_in_value_and_kept_in_value_raw(
    spark: SparkSession, value: bytes
) -> None:
    (row,) = landed(spark, [value]).collect()
    assert "\ufffd" in row["value"]
    assert bytes(row["value_raw"]) == value


def test_valid_bytes_leave_value_raw_null(spark: SparkSession) -> None:
    (row,) = landed(spark, ["é"]).collect()
    assert (row["value"], row["value_raw"]) == ("é", None)


def test_rows_have_bronzes_columns_and_the_topics_id(spark: SparkSession) -> None:
    rows = landed(spark, ["x"])
    assert [(f.name, f.dataType) for f in rows.schema] == [(f.name, f.dataType) for f in BRONZE]
    assert rows.collect()[0]["topic_id"] == TOPIC_ID
