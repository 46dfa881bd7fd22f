"""What Kafka can hold beyond plain records: each lands once, and none stops a stream."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from lakehouse import entities
from lakehouse.proof.fates import Fate, prove
from lakehouse.run import Run
from tests.conftest import settings_for
from tests.e2e.harness import Kafka, Lakehouse, eventually
from tests.messages import Sent, landed, proven, run_once

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config


@pytest.fixture
def own(kafka: Kafka, tmp_path: Path) -> Config:
    config = settings_for(tmp_path / "lake")
    settings = config.kafka.model_copy(update={"bootstrap": kafka.bootstrap})
    return config.model_copy(update={"kafka": settings})


@pytest.fixture
def product(own: Config, kafka: Kafka) -> Lakehouse:
    from pathlib import Path

    return Lakehouse(Path(own.lake.root), kafka.bootstrap)


def reading(kafka: Kafka, matches: Entity, name: str, **settings: str) -> Entity:
    topic = kafka.create(f"traps-{name}", 1, **settings)
    return matches.model_copy(update={"topic": topic})


def test_an_empty_topic_is_no_error_and_later_records_land(
    kafka: Kafka, spark: SparkSession, own: Config, matches: Entity, product: Lakehouse
) -> None:
    empty = reading(kafka, matches, "empty")
    run_once(spark, own, [empty], "bronze", "silver")
    assert product.rows("bronze") == []
    kafka.send(empty.topic, ['{"match_id":"1"}'])
    run_once(spark, own, [empty], "bronze", "silver")
    assert [row["match_id"] for row in product.rows("silver")] == ["1"]


def test_aborted_transactions_are_no_messages_and_gaps_are_no_loss(
    kafka: Kafka, spark: SparkSession, own: Config, matches: Entity, product: Lakehouse
) -> None:
    reads = reading(kafka, matches, "transactions")
    producer = kafka.producer(**{"transactional.id": "traps"})
    producer.init_transactions(30)
    for number, commit in enumerate([True, False, True, False]):
        producer.begin_transaction()
        for i in range(3):
            producer.produce(reads.topic, json.dumps({"match_id": f"{number}-{i}"}), partition=0)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
        if number % 2:
            run_once(spark, own, [reads], "bronze", "silver")
    expected = [f"{n}-{i}" for n in (0, 2) for i in range(3)]
    assert [row["match_id"] for row in product.rows("silver")] == expected
    offsets = [row["offset"] for row in product.rows("bronze")]
    assert offsets == [0, 1, 2, 8, 9, 10]
    assert proven(spark, reads, Run(own).lake).holds


def test_a_compacted_topic_with_tombstones_lands_what_is_left(
    kafka: Kafka, spark: SparkSession, own: Config, matches: Entity, product: Lakehouse
) -> None:
    settings = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.001"}
    settings |= {
        "segment.ms": "100",
        "delete.retention.ms": "86400000",
        "max.compaction.lag.ms": "100",
    }
    reads = reading(kafka, matches, "compacted", **settings)
    for i in range(5):
        kafka.send(reads.topic, [json.dumps({"match_id": "a", "game_number": i})], key=b"a")
    kafka.send(reads.topic, [None], key=b"b")
    kafka.send(reads.topic, ['{"match_id":"c"}'], key=b"c")

    def compacted() -> bool:
        kafka.send(reads.topic, ['{"match_id":"roll"}'], key=b"roll")  # rolls the segment
        return earliest(kafka, reads.topic) > 0

    eventually(compacted, "the log cleaner has been there", 60)
    run_once(spark, own, [reads], "bronze", "silver")
    proof = proven(spark, reads, Run(own).lake)
    assert proof.holds
    (tombstone,) = product.rows("quarantine")
    assert (bytes(tombstone["key"]), tombstone["value"]) == (b"b", None)
    assert [reason["code"] for reason in tombstone["reasons"]] == ["no_value"]
    silver = {row["match_id"]: row["game_number"] for row in product.rows("silver")}
    assert silver["a"] == 4


def earliest(kafka: Kafka, topic: str) -> int:
    """Return the first offset that a consumer gets."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "unused"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(5)
        return -1 if message is None else message.offset() or 0
    finally:
        consumer.close()


def test_a_large_value_and_headers_and_keys_land_whole(
    kafka: Kafka, spark: SparkSession, own: Config, matches: Entity, product: Lakehouse
) -> None:
    reads = reading(kafka, matches, "large")
    large = json.dumps({"match_id": "large", "patch": "x" * 10_000_000})
    headers = [("trace", b"\xff\x00"), ("empty", None), ("trace", b"2")]
    kafka.send(reads.topic, [large], key=b"\xff\xfe", headers=headers)
    run_once(spark, own, [reads], "bronze", "silver")
    (bronze,) = product.rows("bronze")
    assert bronze["value"] == large
    assert bytes(bronze["key"]) == b"\xff\xfe"
    assert [(h["key"], h["value"]) for h in bronze["headers"]] == headers
    (silver,) = product.rows("silver")
    assert len(silver["patch"]) == 10_000_000


def test_far_kafka_times_land_and_are_readable_everywhere(
    kafka: Kafka, spark: SparkSession, own: Config, matches: Entity, product: Lakehouse
) -> None:
    forever = {"message.timestamp.after.max.ms": str(2**63 - 1)}
    reads = reading(kafka, matches, "times", **forever)
    far = [
        1,
        253402300799999,
        253402300800000,
        9_000_000_000_000_000,
    ]  # to the years 9999 and 287396
    for i, at in enumerate(far):
        kafka.send(reads.topic, [f'{{"match_id":"{i}"}}'], timestamp=at)
    run_once(spark, own, [reads], "bronze", "silver")
    # Kafka itself refuses a time before 1970; another tool may have written one.
    old = Sent('{"match_id":"old"}', offset=100, at=datetime(1900, 1, 1, tzinfo=UTC))
    ids = F.lit(product.table("bronze").to_pyarrow_table()["topic_id"][0].as_py())
    planted = landed(spark, [old], reads.topic).withColumn("topic_id", ids)
    planted.write.format("delta").mode("append").save(str(product.root / "bronze" / "matches"))
    run_once(spark, own, [reads], "silver")
    times: Any = product.table("bronze").to_pyarrow_table()["timestamp"].cast("int64").to_pylist()
    assert sorted(t // 1000 for t in times)[1:] == far
    assert product.table("silver").to_pyarrow_table().num_rows == len(far) + 1
    # One row was written by another hand, which verify would rightly say.
    proof = prove(spark, reads, Run(own).lake)
    assert (proof.holds, proof.counts[Fate.CURRENT]) == (True, len(far) + 1)


def test_a_topic_created_anew_is_another_topic(
    kafka: Kafka, spark: SparkSession, own: Config, matches: Entity
) -> None:
    from confluent_kafka.admin import AdminClient

    from lakehouse.errors import SourceError

    reads = reading(kafka, matches, "again")
    kafka.send(reads.topic, ['{"match_id":"1"}'])
    run_once(spark, own, [reads], "bronze")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.delete_topics([reads.topic])[reads.topic].result()
    eventually(lambda: reads.topic not in admin.list_topics(timeout=5).topics, "the topic is gone")
    kafka.create(reads.topic)
    kafka.send(reads.topic, ['{"match_id":"2"}', '{"match_id":"3"}'])
    with pytest.raises(SourceError) as refused:
        run_once(spark, own, [reads], "bronze")
    assert (refused.value.code, refused.value.exit_code) == ("TOPIC_RECREATED", 3)


def test_lost_offsets_stop_the_stream_and_are_named(
    kafka: Kafka, spark: SparkSession, own: Config, matches: Entity, product: Lakehouse
) -> None:
    from confluent_kafka import TopicPartition
    from confluent_kafka.admin import AdminClient

    from lakehouse.errors import SourceError

    reads = reading(kafka, matches, "lost")
    kafka.send(reads.topic, ['{"match_id":"1"}'])
    run_once(spark, own, [reads], "bronze")
    kafka.send(reads.topic, [f'{{"match_id":"{i}"}}' for i in range(10)])
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    gone = admin.delete_records([TopicPartition(reads.topic, 0, 6)])
    for deleted in gone.values():
        deleted.result()
    with pytest.raises(SourceError) as stopped:
        run_once(spark, own, [reads], "bronze")
    assert (stopped.value.code, stopped.value.exit_code) == ("OFFSETS_LOST", 3)
    named = str(stopped.value.params["range"])
    assert named == f"Could not read records in offset [1, 11) for topic partition {reads.topic}-0"
    assert len(product.rows("bronze")) == 1


def test_shipped_topics_are_the_ones_this_project_began_with() -> None:
    from tests.conftest import CONF

    topics = {e.name: e.topic for e in entities.load_all(CONF)}
    assert topics == {"matches": "esports-matches", "players": "esports-players"}
