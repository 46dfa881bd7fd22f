"""Where tables lie, how they are made, and what must stay true of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from lakehouse import layout
from lakehouse.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity

HEADERS = ArrayType(
    StructType([StructField("key", StringType()), StructField("value", BinaryType())])
)

BRONZE = StructType(
    [
        StructField(
            "value", StringType(), metadata={"comment": "The value; invalid UTF-8 repaired"}
        ),
        StructField("value_raw", BinaryType(), metadata={"comment": "The bytes, if not UTF-8"}),
        StructField("key", BinaryType()),
        StructField("headers", HEADERS),
        StructField("topic", StringType()),
        StructField("topic_id", StringType(), metadata={"comment": "Kafka's own id of the topic"}),
        StructField("partition", IntegerType()),
        StructField("offset", LongType()),
        StructField("timestamp", TimestampType(), metadata={"comment": "Kafka's, UTC"}),
        StructField("timestamp_type", IntegerType(), metadata={"comment": "0 create, 1 append"}),
        StructField("_landed_at", TimestampType(), metadata={"comment": "UTC"}),
    ]
)
# Named for pruning and for exact offset ranges per file; text and bytes get no minimum and maximum.
BRONZE_STATS = "topic,partition,offset,timestamp"

# What silver adds to an entity's own columns.
POSITION = ("topic", "topic_id", "partition", "offset", "timestamp")
SILVER_MARKS = StructType(
    [
        StructField("_topic", StringType()),
        StructField("_topic_id", StringType()),
        StructField("_partition", IntegerType()),
        StructField("_offset", LongType()),
        StructField("_timestamp", TimestampType()),
        StructField("_checkpoint", StringType()),
        StructField("_batch_id", LongType()),
        StructField("_rules", StringType()),
        StructField("_updated_at", TimestampType()),
    ]
)


@dataclass(frozen=True)
class Lake:
    """The root under which everything lies, and how long versions can be read."""

    root: str
    time_travel: str

    def table(self, layer: str, entity: str) -> Table:
        """Return the table of *entity* in *layer*, whether it exists or not."""
        root = self.root.rstrip("/")
        stream = f"{layer}.{entity}"
        return Table(stream, f"{root}/{layer}/{entity}", f"{root}/_checkpoints/{stream}")

    def trail(self, table: str) -> Table:
        """Return the table that keeps the audit trail of *table*, such as `silver.matches`."""
        return self.table("audit", table)

    def rules(self, fingerprint: str) -> str:
        """Return the path under which the rules of that fingerprint are archived."""
        return f"{self.root.rstrip('/')}/_rules/{fingerprint}"


@dataclass(frozen=True)
class Table:
    """A Delta table; its name is also the name of the stream that writes it."""

    name: str
    path: str
    checkpoint: str

    def exists(self, spark: SparkSession) -> bool:
        """Say whether there is a Delta table at the path."""
        return DeltaTable.isDeltaTable(spark, self.path)

    def delta(self, spark: SparkSession) -> DeltaTable:
        """Return the table for its verbs."""
        return DeltaTable.forPath(spark, self.path)

    def read(self, spark: SparkSession, version: int | None = None) -> DataFrame:
        """Return the rows, of *version* or of the latest one."""
        reader = spark.read.format("delta")
        return (reader if version is None else reader.option("versionAsOf", version)).load(
            self.path
        )

    def properties(self, spark: SparkSession) -> dict[str, str]:
        """Return the table's properties."""
        found = self._snapshot(spark).metadata().configuration().iterator()
        pairs = {}
        while found.hasNext():
            one = found.next()
            pairs[str(one.productElement(0))] = str(one.productElement(1))
        return pairs

    def version(self, spark: SparkSession) -> int:
        """Return the latest version."""
        return int(self._snapshot(spark).version())

    def files(self, spark: SparkSession) -> DataFrame:
        """Return the files of the latest version, a row each, as its log has them."""
        return DataFrame(self._snapshot(spark).allFiles().toDF(), spark)

    def readable(self, spark: SparkSession, version: int | None) -> int:
        """Return *version*, or the latest one, proven to be readable.

        Raises:
            TableError: VERSION_GONE, naming the oldest and the newest that can be read.
        """
        latest = self.version(spark)
        if version is None:
            return latest
        try:
            self.read(spark, version).schema  # noqa: B018 - reading it is the proof
        except AnalysisException as error:
            oldest = re.search(r"\[(\d+), *\d+\]", str(error))
            raise TableError(
                "VERSION_GONE",
                table=self.name,
                version=version,
                oldest=oldest[1] if oldest else "unknown",
                newest=latest,
                since="the oldest",
                reason="older ones went with lake.time_travel",
            ) from error
        return version

    def transactions(self, spark: SparkSession) -> dict[str, int]:
        """Return the last transaction of each application, such as a stream's checkpoint.

        This is where a batch's commit is proven: by its transaction, never by being the last one.
        Delta keeps them beside each commit; where it could not, they are read from the log, which
        is a Spark job.
        """
        snapshot = self._snapshot(spark)
        kept = snapshot.checksumOpt()
        told = kept.get().setTransactions() if kept.isDefined() else kept
        found = (told.get() if told.isDefined() else snapshot.setTransactions()).iterator()
        pairs = {}
        while found.hasNext():
            one = found.next()
            pairs[str(one.appId())] = int(one.version())
        return pairs

    def compute_state(self, spark: SparkSession) -> None:
        """Have Delta know the state of the latest version, and so all of its transactions."""
        self._snapshot(spark).transactions()

    def _snapshot(self, spark: SparkSession) -> Any:
        """Return Delta's own latest snapshot: a command would start Spark jobs to ask it."""
        jvm: Any = spark._jvm  # noqa: SLF001 - Delta's Python API does not show transactions
        none = jvm.scala.Option.empty()  # a Scala default argument has to be passed by hand
        log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, self.path)  # noqa: SLF001 - as above
        return log.update(False, none, none)


def create(
    spark: SparkSession,
    table: Table,
    columns: StructType,
    lake: Lake,
    *,
    partition_by: Sequence[str] = (),
    **properties: str,
) -> None:
    """Have *table* exist with *columns* and the properties every table of the lake has.

    Delta's table features stay within what other readers know: no column mapping, and no deletion
    vectors unless *properties* ask for them. An existing table is left alone; `fit` looks at it.

    Raises:
        TableError: ROOT_UNWRITABLE.
    """
    if table.exists(spark):
        return
    builder = (
        DeltaTable.createIfNotExists(spark)
        .location(table.path)
        .addColumns(columns)
        .partitionedBy(*partition_by)
    )
    layer = table.name.partition(".")[0]
    promised = layout.promised(layer, lake.time_travel)
    for key, value in {layout.DELETION_VECTORS: "false", **properties, **promised}.items():
        builder = builder.property(key, value)
    try:
        builder.execute()
    except AnalysisException as error:
        difference = _first_line(error)
        raise _unfit(table, difference) from error
    except (PySparkException, Py4JJavaError) as error:
        raise TableError("ROOT_UNWRITABLE", root=lake.root, reason=_first_line(error)) from error


def fit(spark: SparkSession, table: Table, columns: StructType, lake: Lake, **follows: str) -> None:
    """Have the existing *table* hold *columns*: new ones are added, no other changes.

    Its retention follows the setting `lake.time_travel`, and other properties what *follows* says.

    Raises:
        TableError: LAYOUT_UNKNOWN, or SCHEMA_CONFLICT when a column is gone or has another type.
    """
    properties = table.properties(spark)
    there = compare(spark, table, columns)
    follows |= layout.retention(lake.time_travel)
    if any(properties.get(key) != value for key, value in follows.items()):
        alter(spark, table, follows)
    added = [field for field in columns if field.name not in there]
    if added:
        ddl = ", ".join(f"{quoted(field.name)} {field.dataType.simpleString()}" for field in added)
        spark.sql(f"ALTER TABLE delta.{quoted(table.path)} ADD COLUMNS ({ddl})")


def compare(spark: SparkSession, table: Table, columns: StructType) -> list[str]:
    """Return the names of the columns of *table*, proven to be among *columns*, and to fit them.

    Raises:
        TableError: LAYOUT_UNKNOWN, or SCHEMA_CONFLICT when a column is gone or has another type.
    """
    found = table.properties(spark).get(layout.LAYOUT)
    if found != layout.VERSION:
        raise TableError("LAYOUT_UNKNOWN", table=table.name, found=found, expected=layout.VERSION)
    there = {field.name: field.dataType for field in table.read(spark).schema}
    wanted = {field.name: field.dataType for field in columns}
    for name, kind in there.items():
        if name not in wanted:
            difference = f"column '{name}' is in the table and no longer in the entity"
            raise _unfit(table, difference)
        if wanted[name] != kind:
            difference = (
                f"column '{name}' is {kind.simpleString()} in the table and "
                f"{wanted[name].simpleString()} in the entity"
            )
            raise _unfit(table, difference)
    return list(there)


def _unfit(table: Table, difference: str) -> TableError:
    entity = table.name.partition(".")[2]
    return TableError("SCHEMA_CONFLICT", table=table.name, entity=entity, difference=difference)


def alter(spark: SparkSession, table: Table, properties: Mapping[str, str]) -> None:
    """Have *table* say *properties*, in one commit."""
    said = ", ".join(f"{_text(key)} = {_text(value)}" for key, value in properties.items())
    spark.sql(f"ALTER TABLE delta.{quoted(table.path)} SET TBLPROPERTIES ({said})")


def keep_identity(spark: SparkSession, table: Table, entity: Entity) -> None:
    """Prove that *table* was built for the topic, keys, sequence and partitions of *entity*.

    Raises:
        TableError: ENTITY_CONFLICT, naming what changed.
    """
    before = json.loads(table.properties(spark)[layout.IDENTITY])
    now = json.loads(entity.identity)
    for key, value in before.items():
        if value != now[key]:
            raise TableError(
                "ENTITY_CONFLICT", key=key, entity=entity.name, before=value, now=now[key]
            )


def frame(spark: SparkSession, rows: Sequence[Mapping[str, object]], ddl: str) -> DataFrame:
    """Return *rows* as a DataFrame of *ddl*; unlike `createDataFrame`, without Python workers."""
    document = F.from_json(F.lit(json.dumps(rows)), f"array<struct<{ddl}>>")
    return spark.range(1).select(F.inline(document))


def quoted(name: str) -> str:
    """Return *name* as an SQL identifier, whatever characters it holds."""
    return "`" + name.replace("`", "``") + "`"


def _text(value: str) -> str:
    """Return *value* as a literal of Spark's SQL."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def nullable(columns: StructType) -> StructType:
    """Return *columns* without NOT NULL: triage is the judge; a table must never stop a stream."""
    return StructType(
        [StructField(f.name, f.dataType, metadata=f.metadata or None) for f in columns]
    )


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "java_exception", None) or error)
    return text.strip().splitlines()[0]
