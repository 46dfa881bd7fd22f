"""Each technique that the product ships, taken away in turn: what does the rest cost then?"""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

import silver.stream
from benchmarks import contestants as c
from benchmarks import small_batches
from benchmarks.rounds import Report, interleaved, ratio
from benchmarks.workers import Jvm
from lakehouse import session

if TYPE_CHECKING:
    from typing import Any

    from pyspark.sql import Column, DataFrame

    from benchmarks.place import Place
    from benchmarks.workers import Worker
    from lakehouse.entities import Entity
    from lakehouse.health import BatchCounts
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
)
JVMS = (WHOLE, *DRAIN, *SMALL)


def drained(worker: Worker, place: Place, name: str, number: int) -> float:
    """Return the seconds in which *worker* brings all of the topic to silver."""
    own = place.at(f"ablation.{name}.{number}")
    seconds = worker.seconds(c.pipeline, own)
    shutil.rmtree(own.root)
    return seconds


def measure(large: Place, few: Place, workers: dict[str, Worker], report: Report) -> None:
    """Drain a topic in one batch, and another in small ones, with and without each technique."""
    for scenario, place, run, jvms in (
        ("drain", large, drained, DRAIN),
        ("small", few, small_batches.one, SMALL),
    ):
        contestants = {
            jvm.name: partial(run, workers[jvm.name], place, jvm.name) for jvm in (WHOLE, *jvms)
        }
        # Twice: what is compiled in the first round is only fast in the third.
        found = interleaved(contestants, warm=2, repeats=report.repeats)
        report.add(f"{scenario}, with one technique less", *found.values())
        whole, *others = found.values()
        for one in others:
            name = f"{scenario}_with_{one.name.replace(' ', '_')}"
            report.ratios[name] = ratio(one.figures, whole.figures)
