"""The silver table and its quarantine: made, and proven to fit the entity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql.types import StructType

from lakehouse import checkpoints, layout, schemas, tables
from lakehouse.audit import conditions
from lakehouse.errors import TableError
from quarantine import table as quarantine

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.checkpoints import Checkpoint
    from lakehouse.entities import Entity
    from lakehouse.tables import Lake, Table


def prepare(spark: SparkSession, entity: Entity, lake: Lake) -> Checkpoint | None:
    """Have the tables of *entity*'s silver stream exist and fit, and return its checkpoint.

    New columns of the entity are added. Bronze is never created here.

    Raises:
        ConfigError: the entity's schema, a derived column or an expectation is not usable.
        TableError: TABLE_MISSING (retryable) without bronze, SCHEMA_CONFLICT, ENTITY_CONFLICT,
            CHECKPOINT_MISMATCH or ROOT_UNWRITABLE.
    """
    conditions.check(spark, entity)
    made = columns(spark, entity)
    bronze, silver = lake.table("bronze", entity.name), lake.table("silver", entity.name)
    if not bronze.exists(spark):
        raise TableError(
            "TABLE_MISSING",
            retryable=True,
            table=bronze.name,
            path=bronze.path,
            reason="silver reads bronze and never creates it",
            cure=f"run `lakehouse start bronze --entity {entity.name}` first",
        )
    checkpoint = checkpoints.compare(spark, silver)
    _compare_quarantine(spark, lake.table("quarantine", entity.name), checkpoint)
    properties = {
        layout.IDENTITY: entity.identity,
        # A partition's value is a producer's text: as a folder's name it could be too long.
        "delta.randomizeFilePrefixes": "true",
    }
    follows = {layout.DELETION_VECTORS: str(entity.deletion_vectors).lower()}
    parts = entity.partition_by
    tables.create(spark, silver, made, lake, partition_by=parts, **properties, **follows)
    tables.fit(spark, silver, made, lake, **follows)
    tables.keep_identity(spark, silver, entity)
    quarantine.prepare(spark, lake.table("quarantine", entity.name), lake)
    return checkpoint


def columns(spark: SparkSession, entity: Entity) -> StructType:
    """Return the columns of *entity*'s silver table; none is NOT NULL, since triage is the judge.

    Raises:
        ConfigError: the entity's schema or a derived column is not usable.
    """
    return tables.nullable(StructType([*schemas.columns(spark, entity), *tables.SILVER_MARKS]))


def _compare_quarantine(spark: SparkSession, table: Table, checkpoint: Checkpoint | None) -> None:
    """Refuse a quarantine that another checkpoint filled, or that vanished under this one.

    Its messages would be there twice, or nowhere, and nobody would be told.
    """
    begun = checkpoint is not None and checkpoint.committed is not None
    if not table.exists(spark):
        difference = "silver has batches, and there is no quarantine table" if begun else None
    else:
        written = checkpoints.batches(table.transactions(spark))
        own = checkpoint is not None and checkpoint.id in written
        difference = None if own or not written else "it was filled under another checkpoint"
    if difference:
        raise TableError(
            "CHECKPOINT_MISMATCH", stream=table.name, path=table.path, difference=difference
        )
