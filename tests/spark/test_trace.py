"""What a trace looks up is what the proof finds by judging every message again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql.types import StructType

from lakehouse import entities
from lakehouse.audit import trail
from lakehouse.compaction import compact
from lakehouse.proof.fates import fates
from lakehouse.proof.judged import judge
from lakehouse.proof.view import view
from lakehouse.reading.decisions import DECISIONS
from lakehouse.reading.positions import Position
from lakehouse.reading.rows import ask
from lakehouse.reading.story import Told, of_position
from lakehouse.reading.trace import look, traces
from lakehouse.run import Run
from tests.conftest import CONF, settings_for
from tests.messages import Sent, plant, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Config


def live(key: str, sequence: int | None, offset: int, partition: int = 0) -> Sent:
    return Sent({"match_id": key, "ingestion_timestamp": sequence}, partition, offset)


# What each batch holds, in two partitions: rows that are beaten later, at once and by older ones,
# with and without a sequence, and messages that are refused.
BATCHES: list[list[Any]] = [
    [
        live("a", 1, 0),
        live("a", 2, 1),
        Sent("junk", 0, 2),
        live("b", None, 0, 1),
        live("c", 9, 1, 1),
    ],
    [live("a", 3, 3), live("c", 1, 4), live("b", 1, 2, 1), Sent('{"status": "live"}', 1, 3)],
    [live("a", 2, 5), live("d", 1, 6), live("a", 4, 4, 1), Sent(None, 1, 5)],
]
UNREAD = [live("a", 5, 7), Sent("junk", 1, 6)]


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = settings_for(tmp_path_factory.mktemp("trace") / "lake")
    matches = entities.load(CONF / "entities" / "matches")
    for batch in BATCHES:
        plant(spark, Run(config).lake, matches, batch)
        run_once(spark, config, [matches], "silver")
    plant(spark, Run(config).lake, matches, UNREAD)
    return config


def proven(spark: SparkSession, config: Config) -> dict[Position, str]:
    seen = view(spark, "matches", Run(config).lake)
    rows = fates(seen, judge(seen)).collect()
    return {Position.of(row.asDict()): str(row["fate"]) for row in rows}


def traced(config: Config) -> dict[Position, str]:
    seen = look(config.lake, entities.load(CONF / "entities" / "matches"))
    found = traces(seen, ask("SELECT * FROM t", t=seen.bronze))
    return {one.position: one.fate for one in found}


def test_each_position_is_traced_to_the_fate_that_is_proven(
    spark: SparkSession, made: Config
) -> None:
    expected = proven(spark, made)

    assert set(expected.values()) == {"current", "superseded", "quarantined", "unread"}
    assert traced(made) == expected


def test_a_message_was_the_row_of_its_key_until_the_version_that_is_said(
    spark: SparkSession, made: Config
) -> None:
    seen = look(made.lake, entities.load(CONF / "entities" / "matches"))
    silver = Run(made).lake.table("silver", "matches")
    rows = {
        version: {
            (row["_partition"], row["_offset"]): row["match_id"]
            for row in silver.read(spark, version).collect()
        }
        for version in range(silver.version(spark) + 1)
    }
    told: list[Told] = []
    for at, fate in proven(spark, made).items():
        if fate == "superseded":
            found = of_position(seen, at)
            assert isinstance(found, list)
            told += found

    assert len(told) == 6
    for one in told:
        assert one.beaten is not None
        assert one.trace.taken is not None
        place = (one.trace.position.partition, one.trace.position.offset)
        was_row = [version for version, there in rows.items() if place in there]
        assert one.beaten.first == one.beaten.last
        assert was_row == list(range(one.trace.taken.version, one.beaten.last))


def test_traces_stay_as_they_are_when_commits_are_folded_and_files_put_together(
    spark: SparkSession, made: Config
) -> None:
    before = traced(made)
    lake = Run(made).lake
    for layer in ("bronze", "silver", "quarantine"):
        table = lake.table(layer, "matches")
        compact(spark, table, "tests")
        trail.fold(spark, table, lake)

    assert traced(made) == before == proven(spark, made)


def test_the_schema_of_decisions_is_one_that_spark_reads() -> None:
    read = StructType.fromJson(json.loads(DECISIONS.to_json()))
    assert read.fieldNames() == [field.name for field in DECISIONS.fields]
