"""A lake whose tables have had many commits, compaction and checkpoints included.

Hundreds of real batches would take half an hour. So a lake gets all the rows that they would have
brought in a few larger ones, and then commits are planted in the log of each table. In bronze and
quarantine each adds one more small file, a hard link to one that is there, without new data for a
stream; in silver none, since the MERGE of a batch replaces about as many files as it adds, and a
key has one row. The product's own compaction runs and Delta writes a checkpoint where the last one
of many would have: each compaction takes the file of the one before it into its own.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.messages import Load, produce
from benchmarks.place import config
from lakehouse import compaction
from lakehouse.run import Run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from benchmarks.place import Place
    from benchmarks.small_batches import Pipeline
    from benchmarks.workers import Worker
    from lakehouse.tables import Table

# In so many batches the rows of a lake's former batches come, and then one of the usual size.
LANDED = 2
LAYERS = ("bronze", "silver", "quarantine")


def grow(spark: SparkSession, root: Path, commits: int) -> None:
    """Have each table of the lake at *root* have had so many *commits*."""
    lake = Run(config(root)).lake
    for layer in LAYERS:
        table = lake.table(layer, "matches")
        small = None if layer == "silver" else _small(Path(table.path) / "_delta_log")
        for version in range(table.version(spark) + 1, commits):
            due = version == (commits - 1) // compaction.COMPACT_AFTER * compaction.COMPACT_AFTER
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


def have_grown(worker: Worker, place: Place, commits: int, pipeline: Pipeline) -> int:
    """Have the lake of *place* be one of so many *commits*, and return how many messages it holds.

    *worker* lands them by *pipeline*.
    """
    before = (commits - 1) * place.rows
    produce(place.bootstrap, place.topic, Load(before))
    worker.run(pipeline, replace(place, rows=before // LANDED))
    produce(place.bootstrap, place.topic, Load(place.rows, start=before))
    worker.run(pipeline, place)
    worker.run(grow, place.root, commits)
    return before + place.rows
