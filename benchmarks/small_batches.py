"""What a batch of a thousand rows costs: the product as it ships, and on stock settings."""

from __future__ import annotations

import shutil
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
SKIPPED = 3


def batch_seconds(root: Path, layer: str, skipped: int = SKIPPED) -> list[float]:
    """Return the seconds between the ends of one batch and of the next, as the checkpoint has them.

    The queries ran without a pause, so this is all that a batch costs.
    """
    commits = root / "_checkpoints" / f"{layer}.matches" / "commits"
    files = sorted((f for f in commits.iterdir() if f.name.isdigit()), key=lambda f: int(f.name))
    times = [file.stat().st_mtime_ns / 1e9 for file in files]
    return [after - before for before, after in pairwise(times)][skipped - 1 :]


def one(worker: Worker, place: Place) -> float:
    """Return the seconds of a batch, bronze's and silver's together: the median of some."""
    worker.run(c.pipeline, place)
    found = sum(median(batch_seconds(place.root, layer)) for layer in ("bronze", "silver"))
    shutil.rmtree(place.root)
    return found


def measure(place: Place, workers: dict[str, Worker], report: Report, *, repeats: int) -> None:
    """Drain a small topic in small batches, on the settings as they ship and on stock ones."""
    found = interleaved(
        {
            name: lambda n, name=name: one(workers[name], place.at(f"small.{name}.{n}"))  # type: ignore[misc]
            for name in ("ours", "stock")
        },
        warm=1,
        repeats=repeats,
    )
    milliseconds = [
        Series(name, tuple(1000 * s for s in one.figures), "ms a batch")
        for name, one in found.items()
    ]
    report.add(f"small batches of {place.rows} rows, bronze and silver", *milliseconds)
    report.ratios["small_batch_vs_stock"] = ratio(found["stock"].figures, found["ours"].figures)
