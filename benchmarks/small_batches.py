"""What a batch of a thousand rows costs: as it ships, on stock settings, and after many commits."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import contestants as c
from benchmarks.growth import have_grown
from benchmarks.messages import Load, produce
from benchmarks.rounds import Report, Series, interleaved, ratio
from lakehouse.session import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

    from benchmarks.place import Place
    from benchmarks.workers import Worker

    Pipeline = Callable[[SparkSession, Place], None]

# So many batches a round; the first pays for the start of its query, and does not count.
BATCHES = 2


def batch_seconds(root: Path, layer: str) -> list[float]:
    """Return the seconds between the ends of one batch and of the next, as the checkpoint has them.

    Within one run of a query there is no pause, so this is all that a batch costs.
    """
    commits = root / "_checkpoints" / f"{layer}.matches" / "commits"
    files = sorted((f for f in commits.iterdir() if f.name.isdigit()), key=lambda f: int(f.name))
    times = [file.stat().st_mtime_ns / 1e9 for file in files]
    return [after - before for before, after in pairwise(times)]


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
    worker: Worker, place: Place, sent: int, number: int, *, pipeline: Pipeline = c.pipeline
) -> float:
    """Return the seconds of a batch on the lake of *place*, bronze's and silver's together.

    Its topic had so many messages *sent* before the first round, and has more of them in each.
    """
    new = BATCHES * place.rows
    produce(place.bootstrap, place.topic, Load(new, start=sent + number * new))
    worker.run(pipeline, place)
    layers = (batch_seconds(place.root, layer)[1 - BATCHES :] for layer in ("bronze", "silver"))
    return sum(map(median, layers))


def measure(
    place: Place, workers: dict[str, Worker], report: Report, sizes: tuple[int, ...]
) -> None:
    """Measure a batch on lakes of so many commits each, and on stock settings on the first size."""
    ours, stock = workers["ours"], workers["stock"]
    lakes: dict[str, tuple[Worker, int, Pipeline]] = {
        **{f"after {commits} commits": (ours, commits, c.pipeline) for commits in sizes},
        "stock": (stock, sizes[0], required),
    }
    contestants: dict[str, Callable[[int], float]] = {}
    for name, (worker, commits, pipeline) in lakes.items():
        own = place.at(name.replace(" ", "_")).on(f"small-{len(contestants)}")
        sent = have_grown(worker, own, commits, pipeline)
        contestants[name] = partial(one, worker, own, sent, pipeline=pipeline)
    found = interleaved(contestants, warm=1, repeats=report.repeats)
    report.add(
        f"batches of {place.rows} rows, bronze and silver",
        *(Series(s.name, tuple(1000 * x for x in s.figures), "ms a batch") for s in found.values()),
    )
    first, *others = (found[f"after {commits} commits"].figures for commits in sizes)
    for commits, later in zip(sizes[1:], others, strict=True):
        report.ratios[f"growth_{commits}_over_{sizes[0]}"] = ratio(later, first)
    report.ratios["small_batch_vs_stock"] = ratio(found["stock"].figures, first)
