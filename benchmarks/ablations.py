"""Each technique that the product ships, taken away in turn: what does the rest cost then?"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

import silver.stream
from benchmarks import contestants as c
from benchmarks import small_batches, starts
from benchmarks.growth import have_grown
from benchmarks.rounds import Report, Series, interleaved, ratio
from benchmarks.workers import Jvm
from lakehouse import session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from pyspark.sql import Column, DataFrame, SparkSession

    from benchmarks.place import Place
    from benchmarks.workers import Worker
    from lakehouse.entities import Entity
    from lakehouse.health import BatchCounts
    from lakehouse.tables import Table
    from silver.batch import Batch

MEMORY = "1500m"
JUDGE, REFINE = silver.stream.judge, silver.stream.refine


def unjudged(messages: DataFrame, _: Entity) -> DataFrame:
    """Stand for `silver.stream.judge` in the stream's plan, where nothing is to be judged."""
    return messages


def judged_and_refined(messages: DataFrame, batch: Batch) -> BatchCounts:
    """Refine a batch that is judged for itself, outside of the stream's plan."""
    return REFINE(JUDGE(messages, batch.entity), batch)


def in_code(value: Any, _: Column) -> Column:
    """Return a constant that stands in the generated code."""
    return F.lit(value)


def in_the_commit(_: SparkSession, *__: Table) -> AbstractContextManager[None]:
    """Stand for `silver.stream.computing`, and leave the state of a snapshot to the commit."""
    return nullcontext()


def held(spark: SparkSession) -> float:
    """Return the MiB of the JVM's heap that are in use once it was collected."""
    jvm: Any = spark._jvm  # noqa: SLF001 - pyspark does not show the JVM's memory
    jvm.System.gc()
    memory = jvm.java.lang.Runtime.getRuntime()
    return float(memory.totalMemory() - memory.freeMemory()) / 2**20


def _without(flag: str) -> dict[str, str]:
    if flag not in session.JAVA_OPTIONS:
        raise ValueError(f"{flag} is none of the product's")
    return {"lakehouse.session.JAVA_OPTIONS": session.JAVA_OPTIONS.replace(flag, "")}


WHOLE = Jvm("all", memory=MEMORY)
# What each JVM lacks: where many rows are read and written, and where batches are small.
DRAIN = (
    Jvm(
        "snappy instead of zstd",
        memory=MEMORY,
        options={"spark.sql.parquet.compression.codec": "snappy"},
    ),
    Jvm(
        "zstd of Parquet's own level",
        memory=MEMORY,
        options={"spark.hadoop.parquet.compression.codec.zstd.level": "3"},
    ),
    Jvm("huge methods interpreted", memory=MEMORY, patched=_without("-XX:-DontCompileHugeMethods")),
    Jvm(
        "a shuffle before MERGE writes",
        memory=MEMORY,
        options={"spark.databricks.delta.merge.repartitionBeforeWrite.enabled": "true"},
    ),
    Jvm("G1 instead of ParallelGC", memory=MEMORY, patched=_without("-XX:+UseParallelGC")),
)
SMALL = (
    Jvm(
        "fifty partitions of a snapshot",
        memory=MEMORY,
        options={"spark.databricks.delta.snapshotPartitions": "50"},
    ),
    Jvm(
        "a small cache of code",
        memory=MEMORY,
        options={"spark.sql.codegen.cache.maxEntries": "100"},
    ),
    Jvm(
        "each batch judged for itself",
        memory=MEMORY,
        patched={
            "silver.stream.judge": unjudged,
            "silver.stream.refine": judged_and_refined,
        },
    ),
    Jvm("constants in the code", memory=MEMORY, patched={"silver.batch._constant": in_code}),
    Jvm(
        "states computed in the commit",
        memory=MEMORY,
        patched={"silver.stream.computing": in_the_commit},
    ),
    Jvm(
        "queries remembered and served",
        memory=MEMORY,
        options={
            "spark.ui.enabled": "true",
            "spark.sql.ui.retainedExecutions": "1000",
            "spark.ui.retainedJobs": "1000",
            "spark.ui.retainedStages": "1000",
        },
    ),
)
COMMITS = 20
JVMS = (WHOLE, *DRAIN, *SMALL)


def drained(worker: Worker, place: Place, name: str, number: int) -> float:
    """Return the seconds in which *worker* brings all of the topic to silver."""
    own = place.at(f"ablation.{name}.{number}")
    seconds = worker.seconds(c.pipeline, own)
    shutil.rmtree(own.root)
    return seconds


def measure(large: Place, few: Place, workers: dict[str, Worker], report: Report) -> None:
    """Drain a topic in large batches, another in small ones, with and without each technique."""
    many = {
        jvm.name: partial(drained, workers[jvm.name], large, jvm.name) for jvm in (WHOLE, *DRAIN)
    }
    _compare("drain", many, report, warm=1)
    small: dict[str, Callable[[int], float]] = {}
    for jvm in (WHOLE, *SMALL):
        own = few.at(f"few.{jvm.name}").on(f"few-{len(small)}")
        sent = have_grown(workers[jvm.name], own, COMMITS, c.pipeline)
        small[jvm.name] = partial(small_batches.one, workers[jvm.name], own, sent)
    _compare("small", small, report, warm=3)
    topic = few.on("esports-matches")
    started = {
        name or "all": partial(_started, topic.at(f"start.{number}"), name)
        for number, name in enumerate(["", *starts.WITHOUT])
    }
    _compare("start", started, report, warm=1)
    heaps = (Series(name, (workers[name].run(held),), "MiB") for name in small)
    report.add("heap in use after the same batches", *heaps)


def _started(place: Place, without: str, number: int) -> float:
    return starts.ours(place.at(str(number)), without)


def _compare(
    scenario: str, runs: Mapping[str, Callable[[int], float]], report: Report, *, warm: int
) -> None:
    found = interleaved(runs, warm=warm, repeats=report.repeats)
    report.add(f"{scenario}, with one technique less", *found.values())
    whole, *others = found.values()
    for one in others:
        name = f"{scenario}_with_{one.name.replace(' ', '_')}"
        report.ratios[name] = ratio(one.figures, whole.figures)
