"""Messages as Kafka has them, tables planted with them, and streams run over them to their end."""

from __future__ import annotations

import json
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import functions as F

from bronze import table as bronze_table
from bronze.landing import land
from lakehouse import owner, pipeline, streams
from lakehouse.audit.records import stream_metadata
from lakehouse.entities import Entity, from_contents
from lakehouse.proof.verify import verify
from lakehouse.run import Run
from silver.parse import parse
from silver.triage import triage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, Row, SparkSession

    from lakehouse.proof.fates import Proof
    from lakehouse.settings import Config
    from lakehouse.tables import Lake

KAFKA = pa.schema(
    {
        "key": pa.binary(),
        "value": pa.binary(),
        "topic": pa.string(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": pa.timestamp("us", "UTC"),
        "timestampType": pa.int32(),
        "headers": pa.list_(pa.struct({"key": pa.string(), "value": pa.binary()})),
    }
)
BEGAN = datetime(2026, 1, 31, 10, tzinfo=UTC)
TOPIC_ID = "4ZxGyP0vSNmRz8h3xLkJbQ"

# The columns of the tests that hold far dates.
TIMES = ("ts", "nz", "dt")

Value = str | bytes | dict[str, Any] | None


@dataclass(frozen=True)
class Sent:
    """One record: a value, and where in Kafka it lies."""

    value: Value
    partition: int = 0
    offset: int | None = None
    at: datetime | None = None


def entity(ddl: str, toml: str, name: str = "things") -> Entity:
    """Return an entity as a folder with these two files would give it."""
    contents = {"entity.toml": f'topic = "esports-{name}"\n{toml}', "schema.ddl": ddl}
    return from_contents(name, contents, f"conf/entities/{name}")


def as_bytes(value: Value) -> bytes | None:
    if value is None or isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def landed(
    spark: SparkSession, values: Sequence[Value | Sent], topic: str = "t", first: int = 0
) -> DataFrame:
    """Return *values* as bronze rows, through bronze's own landing."""
    rows: dict[str, list[Any]] = {name: [] for name in KAFKA.names}
    for i, one in enumerate(values):
        sent = one if isinstance(one, Sent) else Sent(one)
        offset = first + i if sent.offset is None else sent.offset
        at = sent.at or BEGAN + timedelta(seconds=first + i)
        row: tuple[Any, ...] = (
            None,
            as_bytes(sent.value),
            topic,
            sent.partition,
            offset,
            at,
            0,
            [],
        )
        for name, value in zip(KAFKA.names, row, strict=True):
            rows[name].append(value)
    # Arrow, because rows of Python objects would start Python workers for each table.
    return land(spark.createDataFrame(pa.table(rows, schema=KAFKA)), TOPIC_ID)


def judged(spark: SparkSession, values: Sequence[Value], by: Entity) -> list[Row]:
    """Return what triage makes of *values*, in their order; times as text.

    Python cannot hold midnight of 0001-01-01 in a local time, which every other reader can.
    """
    triaged = triage(parse(landed(spark, values), by), by)
    times = {f.name: F.col(f.name).cast("string") for f in triaged.schema if f.name in TIMES}
    return triaged.withColumns(times).orderBy("_offset").collect()


def plant(
    spark: SparkSession, lake: Lake, of: Entity, values: Sequence[Value | Sent], first: int = 0
) -> None:
    """Append *values* to the bronze table of an entity, in one commit, as its stream would."""
    table = lake.table("bronze", of.name)
    if not table.exists(spark):
        bronze_table.prepare(spark, of, lake, TOPIC_ID)
    # A file holds one Kafka partition, and each commit is a batch of one checkpoint.
    rows = landed(spark, values, of.topic, first).repartition(4, "partition")
    marks = {
        "txnAppId": "planted",
        "txnVersion": str(table.transactions(spark).get("planted", -1) + 1),
        "userMetadata": stream_metadata(table.name, "planted", of.topic, TOPIC_ID),
    }
    rows.write.format("delta").mode("append").options(**marks).save(table.path)


def run_once(spark: SparkSession, config: Config, entities: Sequence[Entity], *layers: str) -> Run:
    """Run the streams of *layers* over all there is, in the session of the tests."""
    run = Run(config, once=True)
    for layer in layers:
        built, health = pipeline.build(spark, run, entities, [layer])
        with ExitStack() as stack:
            stack.callback(spark.streams.removeListener, health)
            for stream in built:
                stack.enter_context(owner.owning(config.state_dir, stream.name))
            streams.run_all(spark, built, run, health, asked=lambda: 0)
    return run


def proven(spark: SparkSession, of: Entity, lake: Lake) -> Proof:
    """Return the proof of an entity, whose tables and commits are verified to the row."""
    found = verify(spark, of, lake)
    assert found.differences == (), found.differences
    return found.proof


def outlived(spark: SparkSession, path: str) -> None:
    """Have Delta clean the log of the table at *path*, as it does a year later by itself."""
    long_ago = time.time() - 400 * 86_400
    for file in Path(path, "_delta_log").iterdir():
        os.utime(file, (long_ago, long_ago))
    jvm: Any = spark._jvm
    none = jvm.scala.Option.empty()
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
    log.checkpoint(log.update(False, none, none), none)


def behind_its_back(spark: SparkSession, lake: Lake, layer: str, sql: str) -> None:
    """Change the table of matches in *layer* as someone would who goes round the product."""
    path = lake.table(layer, "matches").path
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.appendOnly' = 'false')")
    spark.sql(sql.format(table=f"delta.`{path}`"))


def rows(spark: SparkSession, lake: Lake, layer: str, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table, as dictionaries."""
    return [row.asDict(recursive=True) for row in lake.table(layer, name).read(spark).collect()]
