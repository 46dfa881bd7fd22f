"""The bronze stream: Kafka to Delta, exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bronze.landing import land
from bronze.source import messages
from bronze.table import prepare
from lakehouse import kafka
from lakehouse.audit import trail
from lakehouse.audit.records import stream_metadata
from lakehouse.snapshots import compute_ahead

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from lakehouse.entities import Entity
    from lakehouse.run import Run
    from lakehouse.turns import Turn


def start(spark: SparkSession, entity: Entity, run: Run, _: Turn) -> StreamingQuery:
    """Land every record of *entity*'s topic in its bronze table, exactly once.

    Delta's own streaming sink writes: each batch is one commit with the batch's transaction, so a
    batch that runs again after a crash changes nothing. A stop may come at any moment: the planned
    batch is planned again with the same offsets. One file holds records of one Kafka partition.

    Raises:
        SourceError: the broker or the topic is not there, or the topic is not the one before.
        TableError: table or checkpoint is not what the stream left behind.
    """
    table = run.lake.table("bronze", entity.name)
    topic_id = kafka.topic_id(spark, run.config.kafka, entity.topic)
    prepare(spark, entity, run.lake, topic_id)
    compute_ahead(spark, table)
    trail.catch_up(spark, table, run.lake)
    landed = land(messages(spark, entity, run.config.kafka), topic_id)
    return (
        landed.writeStream.format("delta")
        .queryName(table.name)
        .outputMode("append")
        .option("checkpointLocation", table.checkpoint)
        .option("userMetadata", stream_metadata(table.name, run.id, entity.topic, topic_id))
        .trigger(**run.trigger)
        .start(table.path)
    )
