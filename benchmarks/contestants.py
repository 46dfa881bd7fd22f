"""Who is measured on the way from Kafka to tables. Each takes a session and a place, to the end.

K0  kafka_consumer    Kafka's own consumer for Python, thrown away
K1  kafka_to_noop     Spark reads Kafka and throws the rows away: the limit of bronze
S0  seed_as_shipped   the script this grew out of: at most 1,000 rows each ten seconds
S1  seed              the same without that limit: parse, two counts, append Parquet
S2  textbook          Delta bronze, foreachBatch, persist, count, quarantine, GX, plain MERGE
R1  delta_rs          confluent-kafka and delta-rs: bronze without Spark
    bronze, silver    the product, one after the other; both: at once
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, TopicPartition
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

import bronze.stream
import silver.stream
from benchmarks.expectations import judged_by_gx
from benchmarks.messages import PARTITIONS
from benchmarks.place import Place, config, matches
from lakehouse.run import Run
from lakehouse.schemas import schema
from lakehouse.turns import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.readwriter import DataStreamWriter


CORRUPT = "_corrupt_record"


def kafka_to_noop(spark: SparkSession, place: Place) -> None:
    """K1: read all of the topic with Spark, and write it nowhere."""
    query = (
        _kafka(spark, place)
        .writeStream.format("noop")
        .option("checkpointLocation", str(place.root / "checkpoint"))
    )
    query.trigger(availableNow=True).start().awaitTermination()


def bronze_stream(spark: SparkSession, place: Place) -> None:
    """Land all of the topic in the product's bronze table."""
    bronze.stream.start(spark, matches(place.topic), _run(place), Turn()).awaitTermination()


def silver_stream(spark: SparkSession, place: Place) -> None:
    """Bring all of bronze to silver and quarantine, under the shipped suite."""
    silver.stream.start(spark, matches(place.topic), _run(place), Turn()).awaitTermination()


def pipeline(spark: SparkSession, place: Place) -> None:
    """Bring all of the topic to bronze, then to silver and quarantine."""
    bronze_stream(spark, place)
    silver_stream(spark, place)


def shipped(spark: SparkSession, place: Place) -> None:
    """Bring all of the topic to silver in batches of the size that the product ships with."""
    run, entity = (
        Run(config(place.root, bootstrap=place.bootstrap), once=True),
        matches(place.topic),
    )
    for stream in (bronze.stream, silver.stream):
        stream.start(spark, entity, run, Turn()).awaitTermination()


def both(spark: SparkSession, place: Place) -> None:
    """Bring all of the topic to silver and quarantine while bronze lands them."""
    entity = matches(place.topic)
    landing = bronze.stream.start(spark, entity, _run(place), Turn())
    refining = silver.stream.start(spark, entity, _run(place, once=False), Turn())
    try:
        landing.awaitTermination()
        refining.processAllAvailable()
    finally:
        refining.stop()


def several(spark: SparkSession, place: Place, topics: Sequence[str]) -> None:
    """Bring each of *topics*, of an entity each, to bronze, all at once, and then to silver."""
    entities = [matches(topic, name=f"matches_{n}") for n, topic in enumerate(topics)]
    for stream in (bronze.stream, silver.stream):
        queries = [
            stream.start(spark, entity, _run(place, entity=entity.name), Turn())
            for entity in entities
        ]
        for query in queries:
            query.awaitTermination()


def seed_as_shipped(spark: SparkSession, place: Place) -> float:
    """S0: the same job with the settings it came with; return its rows a second over a minute."""
    query = _seed(spark, replace(place, rows=1_000)).trigger(processingTime="10 seconds").start()
    try:
        query.awaitTermination(60)
        return sum(one.numInputRows for one in query.recentProgress) / 60
    finally:
        query.stop()


def seed(spark: SparkSession, place: Place) -> None:
    """S1: the job that this product grew out of, without its limit of 100 rows a second."""
    _seed(spark, place).trigger(availableNow=True).start().awaitTermination()


def _seed(spark: SparkSession, place: Place) -> DataStreamWriter:
    fields = _fields()

    def write(batch: DataFrame, _: int) -> None:
        parsed = batch.select(
            F.from_json(F.col("value").cast("string"), fields).alias("data"), "timestamp"
        )
        valid, corrupt = parsed.where("data IS NOT NULL"), parsed.where("data IS NULL")
        if corrupt.count():
            corrupt.show(3)
        if valid.count():
            rows = valid.select("data.*", "timestamp", F.current_timestamp().alias("processed_at"))
            rows.write.mode("append").partitionBy("status").parquet(str(place.root / "parquet"))

    return (
        _kafka(spark, place)
        .writeStream.foreachBatch(write)
        .option("checkpointLocation", str(place.root / "checkpoint"))
    )


def textbook(spark: SparkSession, place: Place) -> None:
    """S2: what the documentation of Spark, Delta and Great Expectations adds up to."""
    textbook_bronze(spark, place)
    textbook_silver(spark, place)


def textbook_bronze(spark: SparkSession, place: Place) -> None:
    """Land the topic as text in Delta."""
    landed = _kafka(spark, place).selectExpr(
        "CAST(value AS STRING) AS value", "topic", "partition", "offset", "timestamp"
    )
    query = (
        landed.writeStream.format("delta")
        .option("checkpointLocation", str(place.root / "checkpoint.bronze"))
        .trigger(availableNow=True)
    )
    query.start(str(place.root / "bronze")).awaitTermination()


def textbook_silver(spark: SparkSession, place: Place) -> None:
    """Parse, split, validate with GX and MERGE each batch of bronze."""
    from delta import DeltaTable

    target = str(place.root / "silver")
    fields = StructType([*_fields(), StructField(CORRUPT, StringType())])
    DeltaTable.createIfNotExists(spark).location(target).addColumns(_fields()).addColumn(
        "duration_minutes", "INT"
    ).addColumn("is_completed", "BOOLEAN").addColumn("offset", "BIGINT").partitionedBy(
        "status"
    ).execute()
    validate = judged_by_gx("COMPLETE")

    def write(batch: DataFrame, _: int) -> None:
        options = {"columnNameOfCorruptRecord": CORRUPT}
        parsed = batch.withColumn("data", F.from_json("value", fields, options)).persist()
        parsed.count()
        bad = F.col("data").isNull() | F.col(f"data.{CORRUPT}").isNotNull()
        corrupt = parsed.where(bad).drop("data")
        corrupt.write.format("delta").mode("append").save(str(place.root / "quarantine"))
        valid = parsed.where(~bad).select("data.*", "offset").drop(CORRUPT)
        validate(valid)
        order = [F.col("ingestion_timestamp").desc(), F.col("offset").desc()]
        ranked = valid.withColumn(
            "rank", F.row_number().over(Window.partitionBy("match_id").orderBy(*order))
        )
        newest = (
            ranked.where("rank = 1")
            .drop("rank")
            .withColumn("duration_minutes", F.expr("CAST(match_duration / 60 AS INT)"))
            .withColumn("is_completed", F.expr("status = 'finished'"))
        )
        merge = DeltaTable.forPath(spark, target).alias("t")
        merge.merge(newest.alias("s"), "t.match_id = s.match_id").whenMatchedUpdateAll(
            "s.ingestion_timestamp >= t.ingestion_timestamp"
        ).whenNotMatchedInsertAll().execute()
        parsed.unpersist()

    query = (
        spark.readStream.format("delta")
        .option("maxFilesPerTrigger", str(PARTITIONS))
        .load(str(place.root / "bronze"))
        .writeStream.foreachBatch(write)
        .option("checkpointLocation", str(place.root / "checkpoint.silver"))
    )
    query.trigger(availableNow=True).start().awaitTermination()


def kafka_consumer(place: Place, count: int) -> None:
    """K0: read *count* messages with confluent-kafka, and throw them away."""
    for messages in _consumed(place, count, 100_000):
        messages.clear()


def delta_rs(place: Place, count: int, commit: int) -> None:
    """R1: append *count* messages to a Delta table with delta-rs, *commit* of them at a time."""
    import pyarrow as pa
    from deltalake import write_deltalake

    for messages in _consumed(place, count, commit):
        table = pa.table(
            {
                "value": pa.array((m.value() for m in messages), pa.binary()).cast(pa.string()),
                "key": pa.array((m.key() for m in messages), pa.binary()),
                "topic": pa.array((m.topic() for m in messages), pa.string()),
                "partition": pa.array((m.partition() for m in messages), pa.int32()),
                "offset": pa.array((m.offset() for m in messages), pa.int64()),
                "timestamp": pa.array((m.timestamp()[1] for m in messages), pa.timestamp("ms")),
            }
        )
        write_deltalake(str(place.root / "bronze"), table, mode="append")


def _consumed(place: Place, count: int, most: int) -> Any:
    consumer = Consumer(
        {"bootstrap.servers": place.bootstrap, "group.id": "bench", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(place.topic, number, 0) for number in range(PARTITIONS)])
    try:
        while count > 0:
            messages: list[Any] = []
            while len(messages) < min(most, count):
                messages += consumer.consume(min(most, count) - len(messages), 10)
            count -= len(messages)
            yield messages
    finally:
        consumer.close()


def _kafka(spark: SparkSession, place: Place) -> DataFrame:
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", place.bootstrap)
        .option("subscribe", place.topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", place.rows)
        .load()
    )


def _fields() -> StructType:
    return schema(matches("any"))


def _run(place: Place, *, once: bool = True, entity: str = "matches") -> Run:
    bound = _commit_bytes(place.root / "bronze" / entity / "_delta_log")
    own = config(place.root, bootstrap=place.bootstrap, max_bytes_per_trigger=bound)
    kafka = own.kafka.model_copy(update={"max_offsets_per_trigger": place.rows})
    return Run(own.model_copy(update={"kafka": kafka}), once=once)


def _commit_bytes(log: Path) -> str:
    """Return a bound that has a silver batch take the files of just one commit of bronze's *log*.

    Delta takes files until the bound is passed: a little less than the newest batch has.
    """
    for file in sorted(log.glob("*.json"), reverse=True):
        actions = map(json.loads, file.read_text().split("\n")[:-1])
        added = (one["add"] for one in actions if "add" in one)
        if size := sum(one["size"] for one in added if one["dataChange"]):
            return f"{size * 9 // 10}b"
    return "256m"
