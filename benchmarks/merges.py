"""MERGE of 100,000 rows into a large silver table: ours, and the one of the textbook."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from delta import DeltaTable
from pyspark.sql import functions as F

import bronze.table
from benchmarks.outputs import UnequalError
from benchmarks.place import matches
from benchmarks.rounds import Report, interleaved, ratio
from lakehouse import layout
from lakehouse.audit.records import Rows
from lakehouse.tables import Lake, Table, quoted
from silver.counts import Counts
from silver.merge import merge
from silver.newest import newest
from silver.table import columns, prepare

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pyspark.sql import Column, DataFrame, SparkSession

    from benchmarks.workers import Worker

BATCH = 100_000
SMALL = 1_000
KEYS = ("recent", "uniform")


def fill(spark: SparkSession, root: Path, rows: int) -> None:
    """Have a lake under *root* whose silver table holds matches number 0 to *rows*."""
    entity, lake = matches("t"), Lake(str(root), "30 days")
    bronze.table.prepare(spark, entity, lake, "id")  # without bronze there is no silver
    prepare(spark, entity, lake)
    table = lake.table("silver", "matches")
    for start in range(0, rows, 1_000_000):
        numbers = spark.range(start, min(rows, start + 1_000_000), 1, 2)
        _rows(numbers, F.col("id")).write.format("delta").mode("append").save(table.path)


def _rows(numbers: DataFrame, number: Column, age: int = 0) -> DataFrame:
    """Return silver rows of the matches with these numbers, the message newer by *age*."""
    entity = matches("t")
    values: dict[str, Column] = {
        "match_id": F.concat(F.lit("m-"), F.lpad(number.cast("string"), 10, "0")),
        "status": F.element_at(
            F.array(F.lit("finished"), F.lit("live"), F.lit("scheduled")),
            (number % 3 + 1).cast("int"),
        ),
        "ingestion_timestamp": number + age,
        "_topic": F.lit("t"),
        "_partition": F.lit(0),
        "_offset": number + age,
        "_timestamp": F.timestamp_millis(1_769_853_600_000 + number + age),
        "_batch_id": F.lit(age).cast("long"),
    }
    filler = {
        f.name: (F.lit(f.name) if f.dataType.simpleString() == "string" else number % 1000).cast(
            f.dataType
        )
        for f in columns(numbers.sparkSession, entity)
        if f.name not in values
    }
    return numbers.select(*(value.alias(name) for name, value in {**filler, **values}.items()))


def batch(spark: SparkSession, rows: int, keys: str, count: int = BATCH) -> DataFrame:
    """Return a cached batch: one in ten updates a match, one of the newest or any, the rest new."""
    updated = count // 10
    pick = F.rand(7) * (rows if keys == "uniform" else count)
    old = F.floor(pick) if keys == "uniform" else F.lit(rows - 1) - F.floor(pick)
    numbers = spark.range(0, count, 1, 2)
    chosen = numbers.withColumn(
        "n", F.when(F.col("id") < updated, old).otherwise(rows + F.col("id") - updated)
    )
    # Younger than all that is there, those of an earlier batch of the same kind included.
    found = newest(_rows(chosen, F.col("n").cast("long"), age=100 * rows), matches("t"))
    cached = found.persist()
    cached.count()
    return cached


def clone(spark: SparkSession, root: Path, to: Path, *, vectors: bool) -> Table:
    """Return a shallow clone of the silver table of *root*: the same files, a log of its own."""
    source = Lake(str(root), "30 days").table("silver", "matches").path
    spark.sql(
        f"CREATE TABLE delta.{quoted(str(to))} SHALLOW CLONE delta.{quoted(source)} "
        f"TBLPROPERTIES ('{layout.DELETION_VECTORS}' = '{str(vectors).lower()}')"
    )
    return Table("silver.matches", str(to), str(to))


def ours(rows: DataFrame, into: Table) -> None:
    """Merge as the product does."""
    count, *bounds = rows.agg(F.count("*"), F.min("match_id"), F.max("match_id")).collect()[0]
    counts = Counts((), Rows(count, count, 0, {}), bounds={"match_id": tuple(bounds)})
    merge(rows, matches("t"), into=into, counts=counts)


def boundless(rows: DataFrame, into: Table) -> None:
    """Merge as the product does, but look into every file of the table."""
    count = rows.count()
    merge(rows, matches("t"), into=into, counts=Counts((), Rows(count, count, 0, {})))


def textbook(rows: DataFrame, into: Table) -> None:
    """Merge as Delta's documentation does, newer rows only."""
    target = DeltaTable.forPath(rows.sparkSession, into.path).alias("t")
    target.merge(rows.alias("s"), "t.match_id = s.match_id").whenMatchedUpdateAll(
        "s.ingestion_timestamp >= t.ingestion_timestamp"
    ).whenNotMatchedInsertAll().execute()


BOUNDLESS, VECTORS = "ours, without bounds", "ours, with deletion vectors"
CONTESTANTS = {"ours": ours, "textbook": textbook}
MORE = {BOUNDLESS: boundless, VECTORS: ours}
# How each merges small batches, and whether into a table with deletion vectors.
FEW = {
    "ours": (ours, False),
    BOUNDLESS: (boundless, False),
    VECTORS: (ours, True),
    f"{BOUNDLESS}, with deletion vectors": (boundless, True),
}


def one(spark: SparkSession, root: Path, name: str, keys: tuple[str, int], number: int) -> float:
    """Return the seconds that contestant *name* takes to merge a batch into a clone of *root*.

    *keys* are the kind of the batch's keys, and the number of rows that the table has.
    """
    to = root.parent / f"merged.{name}.{keys[0]}.{number}"
    table = clone(spark, root, to, vectors=name == VECTORS)
    cached = batch(spark, keys[1], keys[0])
    began = time.perf_counter()
    {**CONTESTANTS, **MORE}[name](cached, table)
    seconds = time.perf_counter() - began
    cached.unpersist()
    return seconds


def total(spark: SparkSession, root: Path, name: str, keys: str) -> list[object]:
    """Return how many rows a merged clone has, and sums over them that order leaves alone."""
    path = str(root.parent / f"merged.{name}.{keys}.0")
    rows = spark.read.format("delta").load(path)
    hashed = F.xxhash64(*(F.col(quoted(name)) for name in rows.columns))
    return list(rows.agg(F.count("*"), F.bit_xor(hashed)).collect()[0])


def measure(
    root: Path, workers: dict[str, Worker], report: Report, kind: tuple[str, int], *, full: bool
) -> None:
    """Merge into the table that `fill` made under *root*, and report.

    *kind* are the kind of the batch's keys, and the number of rows that the table has. The textbook
    works on stock settings, all others on ours. With *full* also without the bounds of the keys,
    and with deletion vectors.

    Raises:
        UnequalError: the tables differ afterwards.
    """
    keys, rows = kind
    names = [*CONTESTANTS, *(MORE if full else ())]
    contestants = {
        name: partial(workers["stock" if name == "textbook" else "ours"].run, one, root, name, kind)
        for name in names
    }
    found = interleaved(contestants, warm=1, repeats=report.repeats)
    _demand_equal(workers["ours"], root, names, keys)
    report.add(f"MERGE of {BATCH} rows into {rows}, {keys} keys", *found.values())
    seconds = {name: own.figures for name, own in found.items()}
    name = "merge_10m_vs_textbook" if keys == "recent" else f"merge_{keys}_vs_textbook"
    report.ratios[name] = ratio(seconds["textbook"], seconds["ours"])
    for name in MORE if full else ():
        told = name.removeprefix("ours, ").replace(" ", "_")
        report.ratios[f"merge_{keys}_{told}"] = ratio(seconds[name], seconds["ours"])


def _demand_equal(worker: Worker, root: Path, names: Iterable[str], keys: str) -> None:
    sums = {name: worker.run(total, root, name, keys) for name in names}
    if any(one != sums["ours"] for one in sums.values()):
        raise UnequalError(f"merge, {keys}: {sums}")


def few(spark: SparkSession, root: Path, name: str, rows: int, number: int) -> float:
    """Return the seconds that contestant *name* takes to merge its next small batch.

    All rounds are merged into one clone of *root*, which had so many *rows*.
    """
    to, (run, vectors) = root.parent / f"merged.{name}.few-{rows}.0", FEW[name]
    if number == 0:
        clone(spark, root, to, vectors=vectors)
    cached = batch(spark, rows + number * (SMALL - SMALL // 10), "recent", SMALL)
    began = time.perf_counter()
    run(cached, Table("silver.matches", str(to), str(to)))
    seconds = time.perf_counter() - began
    cached.unpersist()
    return seconds


def measure_few(root: Path, worker: Worker, report: Report, rows: int) -> None:
    """Merge batches of a thousand recent keys, with and without their bounds, and report.

    Raises:
        UnequalError: the tables differ afterwards.
    """
    contestants = {name: partial(worker.run, few, root, name, rows) for name in FEW}
    found = interleaved(contestants, warm=3, repeats=max(5, report.repeats))
    _demand_equal(worker, root, FEW, f"few-{rows}")
    report.add(f"MERGE of {SMALL} rows into {rows}, recent keys", *found.values())
    whole, boundless, vectors, neither = (found[name].figures for name in FEW)
    told = f"small_merge_into_{rows // 1_000_000}m_without_bounds"
    report.ratios[told] = ratio(boundless, whole)
    report.ratios[f"{told}_with_deletion_vectors"] = ratio(neither, vectors)
