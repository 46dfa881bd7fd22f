"""The case that this project began with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse import entities
from tests.e2e.harness import eventually
from tests.messages import proven

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.e2e.harness import Kafka, Lakehouse

GOOD = '{"match_id": "001", "status": "finished"}'
BAD = '{"invalid": json}'


def test_a_malformed_message_is_quarantined_and_the_job_goes_on(
    kafka: Kafka, lakehouse: Lakehouse, matches_topic: str, spark: SparkSession
) -> None:
    job = lakehouse.start("all", "--entity", "matches", "--trigger", "500ms")
    job.until("bronze.matches | INFO | Stream started")
    kafka.send(matches_topic, [GOOD, BAD])
    eventually(lambda: lakehouse.rows("quarantine"), "the malformed message is in quarantine")
    kafka.send(matches_topic, ['{"match_id": "002", "status": "live"}'])
    eventually(lambda: len(lakehouse.rows("silver")) == 2, "the job went on to the next message")

    silver = {row["match_id"]: row for row in lakehouse.rows("silver")}
    assert silver["001"]["status"] == "finished"
    assert silver["001"]["is_completed"] is True
    (refused,) = lakehouse.rows("quarantine")
    assert refused["value"] == BAD
    assert [reason["code"] for reason in refused["reasons"]] == ["not_json"]
    assert [row["value"] for row in lakehouse.rows("bronze")][:2] == [GOOD, BAD]

    assert job.stop() == 0
    matches = entities.load(lakehouse.conf / "entities" / "matches")
    assert proven(spark, matches, lakehouse.lake()).bronze == 3
    assert job.members() == []
    log = job.log.read_text()
    assert f"| record_count=2 | topic={matches_topic}" in log
    assert "WARNING | Batch 0: 1 corrupt records | corrupt_count=1 | reasons=" in log
