"""What a batch costs once its tables have had many commits, compaction and checkpoints included.

Hundreds of real batches would take half an hour. So a lake gets all the rows that they would have
brought in a few larger ones, and then commits are planted in the log of each table. In bronze and
quarantine each adds one more small file, a hard link to one that is there, without new data for a
stream; in silver none, since the MERGE of a batch replaces about as many files as it adds, and a
key has one row. After every fifty the product's own compaction runs, and Delta writes a checkpoint,
as both would have. What is measured are real batches on top of that.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import contestants as c
from benchmarks.messages import Load, produce
from benchmarks.place import config
from benchmarks.rounds import Report, Series, interleaved, ratio
from benchmarks.small_batches import batch_seconds
from lakehouse import compaction
from lakehouse.run import Run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from benchmarks.place import Place
    from benchmarks.workers import Worker
    from lakehouse.tables import Table

# So many batches a round; the first pays for the start of its query.
BATCHES = 2
# In so many batches the rows of a lake's former batches come.
LANDED = 5
LAYERS = ("bronze", "silver", "quarantine")


def grow(spark: SparkSession, root: Path, commits: int) -> None:
    """Have each table of the lake at *root* have had so many *commits*."""
    lake = Run(config(root)).lake
    for layer in LAYERS:
        table = lake.table(layer, "matches")
        small = None if layer == "silver" else _small(Path(table.path) / "_delta_log")
        for version in range(table.version(spark) + 1, commits):
            due = version % compaction.COMPACT_AFTER == 0
            if not (due and compaction.compact(spark, table, "growth")):
                _plant(Path(table.path), version, small)
            if due:
                _checkpoint(spark, table)


def _small(log: Path) -> dict[str, Any]:
    """Return the smallest file that any commit added, as its log has it."""
    lines = (line for commit in log.glob("*.json") for line in commit.read_text().split("\n")[:-1])
    added = [action["add"] for action in map(json.loads, lines) if "add" in action]
    found: dict[str, Any] = min(added, key=lambda file: file["size"])
    return found


def _plant(table: Path, version: int, small: dict[str, Any] | None) -> None:
    """Add version *version* to the log of *table*: one more file like *small*, and no new data."""
    log = table / "_delta_log"
    before = (log / f"{version - 1:020d}.json").read_text().split("\n")[:-1]
    told = next(one["commitInfo"] for one in map(json.loads, before) if "commitInfo" in one)
    info = {
        "inCommitTimestamp": told["inCommitTimestamp"] + 1,
        "timestamp": told["timestamp"] + 1,
        "operation": "WRITE",
        "operationParameters": {"mode": "Append"},
        "isBlindAppend": True,
    }
    actions: list[dict[str, Any]] = [{"commitInfo": info}]
    if small:
        copied = Path(small["path"]).with_name(f"{version:08d}-{Path(small['path']).name}")
        os.link(table / small["path"], table / copied)
        actions.append({"add": {**small, "path": str(copied), "dataChange": False}})
    lines = map(json.dumps, actions)
    (log / f"{version:020d}.json").write_text("\n".join(lines) + "\n")


def _checkpoint(spark: SparkSession, table: Table) -> None:
    jvm: Any = spark._jvm  # noqa: SLF001 - Delta's Python API does not show checkpoints
    none = jvm.scala.Option.empty()
    log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, table.path)  # noqa: SLF001
    log.checkpoint(log.update(False, none, none), none)


def one(worker: Worker, place: Place, sent: int, number: int) -> float:
    """Return the seconds of a batch on the lake of *place*, bronze's and silver's together.

    Its topic had so many messages *sent* before the first round, and has more of them in each.
    """
    new = BATCHES * place.rows
    produce(place.bootstrap, place.topic, Load(new, start=sent + number * new))
    worker.run(c.pipeline, place)
    found = [batch_seconds(place.root, layer)[1 - BATCHES :] for layer in ("bronze", "silver")]
    return sum(map(median, found))


def measure(place: Place, worker: Worker, report: Report, sizes: tuple[int, ...]) -> None:
    """Measure a batch on lakes of so many commits each, and report each size over the first."""
    contestants = {}
    for commits in sizes:
        own = place.at(f"growth.{commits}").on(f"growth-{commits}")
        rows = commits * own.rows
        produce(own.bootstrap, own.topic, Load(rows))
        worker.run(c.pipeline, replace(own, rows=rows // LANDED))
        worker.run(grow, own.root, commits)
        contestants[f"after {commits} commits"] = partial(one, worker, own, rows)
    found = interleaved(contestants, warm=1, repeats=report.repeats)
    report.add(
        f"batches of {place.rows} rows on a lake that has grown, bronze and silver",
        *(Series(s.name, tuple(1000 * x for x in s.figures), "ms a batch") for s in found.values()),
    )
    first, *others = found.values()
    for commits, later in zip(sizes[1:], others, strict=True):
        report.ratios[f"growth_{commits}_over_{sizes[0]}"] = ratio(later.figures, first.figures)
