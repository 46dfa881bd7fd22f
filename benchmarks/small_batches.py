"""What a batch of a thousand rows costs: the product as it ships, and on stock settings."""

from __future__ import annotations

import shutil
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import contestants as c
from benchmarks.rounds import Report, Series, interleaved, ratio
from lakehouse.session import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

    from benchmarks.place import Place
    from benchmarks.workers import Worker

    Pipeline = Callable[[SparkSession, Place], None]

# The first batches of a query make its tables and fill its caches.
BATCHES, SKIPPED = 3, 2


def batch_seconds(root: Path, layer: str, skipped: int = SKIPPED) -> list[float]:
    """Return the seconds between the ends of one batch and of the next, as the checkpoint has them.

    The queries ran without a pause, so this is all that a batch costs.
    """
    commits = root / "_checkpoints" / f"{layer}.matches" / "commits"
    files = sorted((f for f in commits.iterdir() if f.name.isdigit()), key=lambda f: int(f.name))
    times = [file.stat().st_mtime_ns / 1e9 for file in files]
    return [after - before for before, after in pairwise(times)][skipped - 1 :]


def required(spark: SparkSession, place: Place) -> None:
    """Run the pipeline in a stock session, but for what correctness rests on.

    The product refuses to judge messages under ANSI.
    """
    changed = {key: value for key, value in REQUIRED.items() if spark.conf.isModifiable(key)}
    before = {key: spark.conf.get(key) for key in changed}
    try:
        for key, value in changed.items():
            spark.conf.set(key, value)
        c.pipeline(spark, place)
    finally:
        for key, found in before.items():
            spark.conf.set(key, str(found))


def one(
    worker: Worker, place: Place, name: str, number: int, pipeline: Pipeline = c.pipeline
) -> float:
    """Return the seconds of a batch, bronze's and silver's together: the median of some."""
    own = place.at(f"small.{name}.{number}")
    worker.run(pipeline, own)
    found = sum(median(batch_seconds(own.root, layer)) for layer in ("bronze", "silver"))
    shutil.rmtree(own.root)
    return found


def measure(place: Place, workers: dict[str, Worker], report: Report) -> None:
    """Drain a small topic in small batches, on the settings as they ship and on stock ones."""
    contestants = {
        "ours": partial(one, workers["ours"], place, "ours"),
        "stock": partial(one, workers["stock"], place, "stock", pipeline=required),
    }
    # No round to warm up: each skips its first batches, and the drains before have compiled.
    found = interleaved(contestants, warm=0, repeats=report.repeats)
    milliseconds = [
        Series(name, tuple(1000 * s for s in series.figures), "ms a batch")
        for name, series in found.items()
    ]
    report.add(f"small batches of {place.rows} rows, bronze and silver", *milliseconds)
    report.ratios["small_batch_vs_stock"] = ratio(found["stock"].figures, found["ours"].figures)
