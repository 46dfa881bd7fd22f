"""The bronze table: made, and proven to be of this topic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lakehouse import checkpoints, layout, tables
from lakehouse.errors import SourceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.tables import Lake


def prepare(spark: SparkSession, entity: Entity, lake: Lake, topic_id: str | None) -> None:
    """Have the bronze table of *entity* exist and fit, proven to be of this very topic.

    Raises:
        SourceError: TOPIC_RECREATED when Kafka's id of the topic is another than the table's.
        TableError: ENTITY_CONFLICT, SCHEMA_CONFLICT, CHECKPOINT_MISMATCH or ROOT_UNWRITABLE.
    """
    table = lake.table("bronze", entity.name)
    checkpoints.compare(spark, table)
    properties = {
        layout.IDENTITY: json.dumps({"topic": entity.topic}),
        layout.TOPIC_ID: topic_id or "",
        "delta.dataSkippingStatsColumns": tables.BRONZE_STATS,
    }
    tables.create(spark, table, tables.BRONZE, lake, **properties)
    tables.fit(spark, table, tables.BRONZE, lake)
    tables.keep_identity(spark, table, entity)
    before = table.properties(spark).get(layout.TOPIC_ID) or None
    if before and topic_id and before != topic_id:
        raise SourceError("TOPIC_RECREATED", topic=entity.topic, before=before, now=topic_id)
