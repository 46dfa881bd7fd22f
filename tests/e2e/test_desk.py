"""Replay beside a running stream, and killed: what a person asks is done once and for all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import entities, owner
from lakehouse.run import Run
from silver import rebuild
from tests.conftest import settings_for
from tests.e2e.harness import eventually
from tests.messages import proven

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from tests.e2e.harness import Kafka, Lakehouse, Running

# 12 towers are refused by the shipped suite; of `a`, that message is older than the valid one.
FIRST: list[Any] = [
    {"match_id": "a", "ingestion_timestamp": 1, "team_1_towers": 12},
    {"match_id": "b", "ingestion_timestamp": 1, "team_1_towers": 12},
    {"match_id": "a", "ingestion_timestamp": 2},
    '{"invalid": json}',
]


def mend(lakehouse: Lakehouse) -> None:
    file = suite(lakehouse)
    file.write_text(file.read_text().replace('"max_value": 11', '"max_value": 12'))


def suite(lakehouse: Lakehouse) -> Path:
    return lakehouse.conf / "entities" / "matches" / "expectations.json"


@pytest.fixture(autouse=True)
def _rules_of_towers_alone(lakehouse: Lakehouse) -> None:
    """Leave out the other rules of the suite: they cost each start and each proof some seconds."""
    shipped = json.loads(suite(lakehouse).read_text())
    kept = [one for one in shipped["expectations"] if "towers" in one["kwargs"].get("column", "")]
    suite(lakehouse).write_text(json.dumps({**shipped, "expectations": kept}))


def versions(lakehouse: Lakehouse) -> list[int]:
    names = (("silver", "matches"), ("quarantine", "matches"), ("quarantine", "matches_decisions"))
    return [lakehouse.table(*name).version() for name in names]


def replayed(lakehouse: Lakehouse, *options: str) -> dict[str, Any]:
    done = lakehouse.call("quarantine", "replay", "--entity", "matches", "--json", *options)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)["entities"]["matches"]
    return facts


def silver(lakehouse: Lakehouse) -> dict[str, int]:
    return {row["match_id"]: row["_offset"] for row in lakehouse.rows("silver")}


def mended_while_running(kafka: Kafka, lakehouse: Lakehouse, topic: str) -> Running:
    """Start the streams over FIRST, and mend the rule once its valid message is in silver."""
    kafka.send(topic, FIRST)
    running = lakehouse.start("all", "--entity", "matches")
    eventually(lambda: silver(lakehouse) == {"a": 2}, "the valid message is in silver")
    mend(lakehouse)
    return running


def test_a_mended_rule_releases_messages_while_the_stream_runs_and_holds_for_the_next_ones(
    kafka: Kafka, lakehouse: Lakehouse, matches_topic: str, spark: SparkSession
) -> None:
    running = mended_while_running(kafka, lakehouse, matches_topic)

    said = replayed(lakehouse, "--note", "towers go to 12")
    assert (said["released"], said["refused_again"], said["reloaded"]) == (2, 1, True)
    assert silver(lakehouse) == {"a": 2, "b": 1}
    kafka.send(matches_topic, [{"match_id": "c", "team_1_towers": 12}])
    eventually(lambda: silver(lakehouse) == {"a": 2, "b": 1, "c": 4}, "the stream goes on")
    before = versions(lakehouse)
    again = replayed(lakehouse)
    assert (again["judged"], again["judged_before"], again["reloaded"]) == (0, 1, False)
    assert versions(lakehouse) == before
    assert running.stop() == 0
    assert running.said("Rules reloaded")

    one = entities.load(lakehouse.conf / "entities" / "matches")
    proof = proven(spark, one, lakehouse.lake())
    assert {str(k): n for k, n in proof.counts.items() if n} == {
        "current": 3,
        "superseded": 1,
        "quarantined": 1,
    }


@pytest.mark.soak
def test_what_does_not_fit_the_table_is_refused_and_the_stream_goes_on(
    kafka: Kafka, lakehouse: Lakehouse, matches_topic: str, spark: SparkSession
) -> None:
    running = mended_while_running(kafka, lakehouse, matches_topic)
    replayed(lakehouse)

    ddl = lakehouse.conf / "entities" / "matches" / "schema.ddl"
    sound = ddl.read_text()
    ddl.write_text(sound.replace("team_1_kills INT", "team_1_kills BIGINT"))
    refused = lakehouse.call("quarantine", "replay", "--entity", "matches")
    assert refused.returncode == 4
    assert "[SCHEMA_CONFLICT]" in refused.stderr
    assert "lakehouse rebuild silver" in refused.stderr
    ddl.write_text(sound)
    kafka.send(matches_topic, [{"match_id": "d"}])
    eventually(lambda: "d" in silver(lakehouse), "the stream goes on")
    small = lakehouse.call("optimize", "silver.matches", "--json")
    assert json.loads(small.stdout)["tables"]["silver.matches"]["files"] >= 2, small.stderr
    assert running.stop() == 0

    # Row by row, silver is what a rebuild would make of bronze.
    one = entities.load(lakehouse.conf / "entities" / "matches")
    own = Run(settings_for(lakehouse.root))
    differs = rebuild.preview(spark, one, owner.request("rebuild", entity="matches"), own)
    assert not any(differs["silver"].get(kind) for kind in ("added", "changed", "removed"))
    assert not differs["quarantine"]["newly_refused"] + differs["quarantine"]["rescued"]


@pytest.mark.soak
def test_a_replay_that_is_killed_with_its_jvm_is_finished_by_the_next(
    kafka: Kafka, lakehouse: Lakehouse, matches_topic: str, spark: SparkSession
) -> None:
    kafka.send(matches_topic, FIRST)
    lakehouse.once("all", "--entity", "matches")
    mend(lakehouse)
    killed = lakehouse.begin("quarantine", "replay", "--entity", "matches")
    decided = lakehouse.log_of("quarantine", "matches_decisions") / f"{1:020d}.json"
    eventually(decided.exists, "the decisions are committed")
    killed.kill()

    said = replayed(lakehouse)
    assert (said["judged"], said["judged_before"]) == (0, 1)
    assert silver(lakehouse) == {"a": 2, "b": 1}
    one = entities.load(lakehouse.conf / "entities" / "matches")
    counts = proven(spark, one, lakehouse.lake()).counts
    assert {str(k): n for k, n in counts.items() if n} == {
        "current": 2,
        "superseded": 1,
        "quarantined": 1,
    }
    made = lakehouse.table("quarantine", "matches_decisions")
    assert made.to_pyarrow_table().num_rows == 3
