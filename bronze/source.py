"""Kafka as a DataFrame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse import kafka

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import KafkaSettings


def messages(spark: SparkSession, entity: Entity, settings: KafkaSettings) -> DataFrame:
    """Return the stream of the records of *entity*'s topic, in Kafka's own columns.

    Aborted transactions are left out. A record that is gone before it was read ends the stream: no
    setting makes it go on in silence.
    """
    options = {f"kafka.{key}": value for key, value in kafka.client_options(settings).items()}
    return (
        spark.readStream.format("kafka")
        .options(**options)
        .option("subscribe", entity.topic)
        .option("startingOffsets", settings.starting_offsets)
        .option("maxOffsetsPerTrigger", settings.max_offsets_per_trigger)
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .option("fetchOffset.numRetries", "1")
        .option("kafkaConsumer.pollTimeoutMs", "30000")
        .load()
    )
