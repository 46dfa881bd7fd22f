"""What a batch of a thousand rows costs: the product as it ships, and on stock settings."""

from __future__ import annotations

import shutil
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import contestants as c
from benchmarks.rounds import Report, Series, interleaved, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.place import Place
    from benchmarks.workers import Worker

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


def one(worker: Worker, place: Place, name: str, number: int) -> float:
    """Return the seconds of a batch, bronze's and silver's together: the median of some."""
    own = place.at(f"small.{name}.{number}")
    worker.run(c.pipeline, own)
    found = sum(median(batch_seconds(own.root, layer)) for layer in ("bronze", "silver"))
    shutil.rmtree(own.root)
    return found


def measure(place: Place, workers: dict[str, Worker], report: Report) -> None:
    """Drain a small topic in small batches, on the settings as they ship and on stock ones.

    Stock but for those that correctness rests on.
    """
    jvms = {"ours": workers["ours"], "stock": workers["required"]}
    contestants = {name: partial(one, worker, place, name) for name, worker in jvms.items()}
    found = interleaved(contestants, warm=1, repeats=report.repeats)
    milliseconds = [
        Series(name, tuple(1000 * s for s in series.figures), "ms a batch")
        for name, series in found.items()
    ]
    report.add(f"small batches of {place.rows} rows, bronze and silver", *milliseconds)
    report.ratios["small_batch_vs_stock"] = ratio(found["stock"].figures, found["ours"].figures)
