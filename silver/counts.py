"""What a batch holds, counted once: the figures of its record, its log line and its alarms."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ByteType, IntegerType, LongType, ShortType, StringType

from lakehouse.audit.conditions import conditions
from lakehouse.audit.expectations import Tally
from lakehouse.audit.records import Range, Rows
from lakehouse.schemas import schema
from lakehouse.tables import quoted
from quarantine.reasons import Reason
from silver.expectations import is_unmet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame, Row

    from lakehouse.audit.conditions import Condition
    from lakehouse.entities import Entity


# Types whose values Python, Spark and Delta's statistics order alike.
BOUNDED = (StringType, ByteType, ShortType, IntegerType, LongType)
PARTITION = ("_topic", "_topic_id", "_partition")


@dataclass(frozen=True)
class Counts:
    """The positions of a batch, its rows by outcome, and a tally for each expectation.

    `bare` are the valid rows without a sequence, of an entity that has one; `bounds` the least and
    the greatest value that the valid rows have in each key of BOUNDED types.
    """

    ranges: tuple[Range, ...]
    rows: Rows
    tallies: tuple[Tally, ...] = ()
    bare: int = 0
    bounds: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


def count(triaged: DataFrame, entity: Entity) -> Counts:
    """Return the counts of *triaged*, by one collected aggregate over (topic, partition).

    Its tallies are of the rows that are a JSON object. Not by `observe` and not
    by SQL metrics: both count again when a stage is retried.
    """
    spark = triaged.sparkSession
    asked = _asked(entity, spark.sparkContext.applicationId)
    found = triaged.groupBy(*PARTITION).agg(*asked).collect()
    return summed(found, len(conditions(spark, entity)), bounded(entity))


@lru_cache(maxsize=32)
def _asked(entity: Entity, application: str) -> tuple[Column, ...]:  # noqa: ARG001 - part of the key
    """Return what `count` asks for. Kept, as `silver.verdicts` are: it is many calls to the JVM."""
    rules = conditions(SparkSession.active(), entity)
    return (*figures(entity, rules), *_bounds(bounded(entity)))


def bounded(entity: Entity) -> list[str]:
    """Return the keys whose bounds are told: those whose order is the same for Python and Delta."""
    kinds = {field.name: field.dataType for field in schema(entity)}
    return [key for key in entity.keys if isinstance(kinds[key], BOUNDED)]


def figures(entity: Entity, rules: Sequence[Condition]) -> list[Column]:
    """Return what is counted of the rows of one Kafka partition."""
    codes, valid = F.col("_reasons")["code"], F.size("_reasons") == 0
    sequence = entity.sequence_by
    bare = valid & F.col(quoted(sequence)).isNull() if sequence else F.lit(False)
    return [
        F.count("*").alias("rows"),
        F.min("_offset").alias("min"),
        F.max("_offset").alias("max"),
        F.count_if(~valid).alias("corrupt"),
        F.count_if(bare).alias("bare"),
        *(F.count_if(F.array_contains(codes, code)).alias(code) for code in Reason),
        *_tallied(rules),
    ]


def summed(found: Sequence[Row], rules: int, keys: Sequence[str] = ()) -> Counts:
    """Return the counts that the `figures` of each partition add up to, with a tally for each rule.

    *keys* are those whose bounds were asked for beside the figures.

    Partitions come in the order of their names.
    """
    found = sorted(found, key=lambda r: (r["_topic"], r["_topic_id"] or "", r["_partition"]))
    ranges = tuple(
        Range(r["_topic"], r["_topic_id"], r["_partition"], r["min"], r["max"], r["rows"])
        for r in found
    )
    read, corrupt = sum(r["rows"] for r in found), sum(r["corrupt"] for r in found)
    reasons = {str(code): n for code in Reason if (n := sum(r[code] for r in found))}
    tallies = tuple(
        Tally(*(sum(r[f"{what}{number}"] for r in found) for what in ("among", "judged", "unmet")))
        for number in range(rules)
    )
    rows = Rows(read, read - corrupt, corrupt, reasons)
    some = [r for r in found if r["rows"] > r["corrupt"]]
    bounds = {
        key: (min(r[f"least{n}"] for r in some), max(r[f"most{n}"] for r in some))
        for n, key in enumerate(keys)
        if some
    }
    return Counts(ranges, rows, tallies, sum(r["bare"] for r in found), bounds)


def _bounds(keys: Sequence[str]) -> Iterator[Column]:
    valid = F.size("_reasons") == 0
    for number, key in enumerate(keys):
        of = F.when(valid, F.col(quoted(key)))
        yield F.min(of).alias(f"least{number}")
        yield F.max(of).alias(f"most{number}")


def _tallied(rules: Sequence[Condition]) -> Iterator[Column]:
    judged = F.col("_unmet").isNotNull()
    for number, one in enumerate(rules):
        yield F.count_if(judged & one.among).alias(f"among{number}")
        yield F.count_if(judged & one.judged).alias(f"judged{number}")
        yield F.count_if(is_unmet(number)).alias(f"unmet{number}")
