"""What an entity's DDL and derived columns mean to Spark: sound, or refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from lakehouse.errors import ConfigError, first_line

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.entities import Entity

ATOMIC = (
    StringType, BooleanType, ByteType, ShortType, IntegerType, LongType, FloatType, DoubleType,
    DecimalType, DateType, TimestampType, TimestampNTZType,
)  # fmt: skip
# A key must compare exactly, so no floating point; an order needs one as well.
KEY = (StringType, ByteType, ShortType, IntegerType, LongType, DecimalType, DateType, TimestampType)


def schema(entity: Entity) -> StructType:
    """Return the columns of *entity*'s messages, as its DDL names them.

    Needs a running session. `nullable=False` is a rule of ours: a message without that field is
    quarantined.

    Raises:
        ConfigError: BAD_SCHEMA or RESERVED_COLUMN, naming the file.
    """
    file = f"{entity.source}/schema.ddl"
    try:
        parsed = cast("StructType", StructType.fromDDL(entity.ddl))
    except PySparkException as error:
        raise ConfigError("BAD_SCHEMA", file=file, reason=first_line(error)) from error
    names = [field.name for field in parsed]
    for name in (*names, *entity.derived):
        if name.startswith("_"):
            raise ConfigError("RESERVED_COLUMN", file=file, column=name)
    lowered = [name.lower() for name in (*names, *entity.derived)]
    reason = next((f"'{name}' is there twice" for name in lowered if lowered.count(name) > 1), None)
    reason = reason or next((said for field in parsed if (said := _unusable(field))), None)
    reason = reason or _unusable_roles(entity, parsed)
    if reason:
        raise ConfigError("BAD_SCHEMA", file=file, reason=reason)
    return parsed


def derive(rows: DataFrame, entity: Entity) -> DataFrame:
    """Return *rows*, which hold the schema's columns, with the entity's derived columns added."""
    if not entity.derived:
        return rows
    return rows.select("*", *(F.expr(sql).alias(name) for name, sql in entity.derived.items()))


def columns(spark: SparkSession, entity: Entity) -> StructType:
    """Return the schema's columns and then the derived ones, each derived one proven usable.

    Raises:
        ConfigError: as `schema`, and BAD_EXPRESSION for an expression that names an unknown column,
            or is an aggregate, a window, a subquery, a generator or not deterministic: the same
            message must give the same row whenever it is read.
    """
    found = schema(entity)
    empty = spark.createDataFrame([], found)
    for name, sql in entity.derived.items():
        reason = unusable(spark, empty, sql)
        if reason:
            file = f"{entity.source}/entity.toml"
            raise ConfigError("BAD_EXPRESSION", file=file, column=name, reason=reason)
    named = derive(empty, entity).schema
    reason = next((said for field in named if (said := _unusable(field))), None)
    if reason:
        raise ConfigError("BAD_SCHEMA", file=f"{entity.source}/entity.toml", reason=reason)
    atomic = [field.name for field in named if isinstance(field.dataType, ATOMIC)]
    partitions = sorted(set(entity.partition_by) - set(atomic))
    if partitions or len(set(entity.partition_by)) < len(entity.partition_by):
        raise ConfigError(
            "BAD_VALUE",
            file=f"{entity.source}/entity.toml",
            key="partition_by",
            value=repr(partitions or list(entity.partition_by)),
            reason=f"it can name, once each: {', '.join(atomic)}",
        )
    return named


def _unusable(field: StructField) -> str | None:
    return _unusable_name(field.name) or _unusable_type(field.dataType, field.name)


def _unusable_name(name: str) -> str | None:
    # Delta holds them only with column mapping, which other readers lack.
    held = sorted(set(name) & set(" ,;{}()\n\t="))
    return f"'{name}' holds {held[0]!r}, which a table's columns cannot" if held else None


def _unusable_type(kind: DataType, path: str) -> str | None:
    if isinstance(kind, StructType):
        hard = next((f.name for f in kind if not f.nullable), None)
        if hard:
            return f"'{path}.{hard}' is NOT NULL; only a column of the root can be"
        inner = (_unusable(StructField(f"{path}.{f.name}", f.dataType)) for f in kind)
        return next((said for said in inner if said), None)
    if isinstance(kind, ArrayType):
        return _unusable_type(kind.elementType, f"{path}[]")
    if isinstance(kind, MapType):
        if not isinstance(kind.keyType, StringType):
            return f"'{path}' is a map whose keys are not strings, which JSON cannot hold"
        return _unusable_type(kind.valueType, f"{path}[]")
    if isinstance(kind, ATOMIC):
        return None
    return f"'{path}' is a {kind.simpleString().upper()}, which JSON cannot hold"


def _unusable_roles(entity: Entity, parsed: StructType) -> str | None:
    fields = {field.name: field for field in parsed}
    for key in entity.keys:
        if key not in fields:
            return f"key '{key}' of entity.toml is not one of its columns"
        if fields[key].nullable:
            return (
                f"key '{key}' must be NOT NULL: a NULL matches no row, so it would insert for ever"
            )
        if not isinstance(fields[key].dataType, KEY):
            return f"key '{key}' cannot be a {fields[key].dataType.simpleString().upper()}"
    sequence = entity.sequence_by
    if sequence is not None:
        if sequence not in fields:
            return f"sequence_by '{sequence}' of entity.toml is not one of its columns"
        if not isinstance(fields[sequence].dataType, ATOMIC):
            return f"sequence_by '{sequence}' cannot be ordered"
    return None


def unusable(spark: SparkSession, empty: DataFrame, expression: str | Column) -> str | None:
    """Return why *expression* over *empty* does not say the same of a row whenever it is read."""
    try:
        column = F.expr(expression) if isinstance(expression, str) else expression
        plan: Any = empty.select(column)._jdf.queryExecution().analyzed()  # noqa: SLF001 - only the analysed plan tells
    except PySparkException as error:
        return first_line(error)
    patterns = spark._jvm.org.apache.spark.sql.catalyst.trees.TreePattern  # type: ignore[union-attr]  # noqa: SLF001
    if plan.nodeName() != "Project" or plan.children().size() != 1:
        return "it is not computed from one row alone"
    if plan.child().nodeName() not in {"LocalRelation", "LogicalRDD"}:
        return "it is not computed from one row alone"
    if plan.containsPattern(patterns.CURRENT_LIKE()):
        return "it depends on when or where it runs"
    if plan.containsPattern(patterns.PLAN_EXPRESSION()):
        return "it holds a subquery"
    if not plan.deterministic():
        return "it is not deterministic"
    return None


def references(selected: DataFrame) -> tuple[str, ...]:
    """Return the names of the columns that a projection looks at, in alphabetical order."""
    found: Any = selected._jdf.queryExecution().analyzed().references().toSeq()  # noqa: SLF001 - as above
    return tuple(sorted({str(found.apply(i).name()) for i in range(found.size())}))


def comparable(name: str, kind: DataType) -> Column:
    """Return the column in a form that Spark can compare: it compares no maps."""
    return F.to_json(name) if _has_map(kind) else F.col(name)


def _has_map(kind: DataType) -> bool:
    if isinstance(kind, ArrayType):
        return _has_map(kind.elementType)
    if isinstance(kind, StructType):
        return any(_has_map(field.dataType) for field in kind)
    return isinstance(kind, MapType)
