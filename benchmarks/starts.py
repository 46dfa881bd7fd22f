"""From the command to the first committed batch."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.place import ROOT
from benchmarks.rounds import Report, interleaved, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.place import Place

PATIENCE = 120
COMMAND = "from lakehouse.cli import main; main()"
# What a start is without one technique each: what is given another value first, as Python.
WITHOUT = {
    "classes not archived": ("lakehouse.jars.archive", "lambda folder: folder / 'none'"),
    "fetches that wait as Kafka has it": (
        "lakehouse.kafka.DEFAULTS",
        "{k: v for k, v in lakehouse.kafka.DEFAULTS.items() if k != 'fetch.max.wait.ms'}",
    ),
    "state not computed ahead": ("bronze.stream.compute_ahead", "lambda *_: None"),
}


def until_first_commit(command: list[str], table: Path, environment: dict[str, str]) -> float:
    """Return the seconds from the start of *command* until *table* has a commit with rows.

    Raises:
        RuntimeError: it ended, or two minutes went by, without one.
    """
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while not _has_rows(table):
            if process.poll() not in (None, 0) or time.perf_counter() - began > PATIENCE:
                process.kill()
                raise RuntimeError(f"no commit in {table} from {' '.join(command)}")
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        process.wait(PATIENCE)
    return seconds


def _has_rows(table: Path) -> bool:
    log = table / "_delta_log"
    return any('"add":' in file.read_text() for file in log.glob("*.json"))


def ours(place: Place, without: str = "") -> float:
    """Start bronze by its command, on a topic of a few messages, perhaps *without* a technique."""
    before = ""
    if without:
        name, value = WITHOUT[without]
        before = f"import {name.rpartition('.')[0]}\n{name} = {value}"
    own = {
        "LAKEHOUSE__LAKE__ROOT": str(place.root),
        "LAKEHOUSE__KAFKA__BOOTSTRAP": place.bootstrap,
    }
    command = [sys.executable, "-c", f"{before}\n{COMMAND}", "start", "bronze", "--once"]
    command += ["--entity", "matches"]
    return until_first_commit(command, place.root / "bronze" / "matches", own)


def stock(place: Place) -> float:
    """Start a script with a stock session that lands the same topic."""
    command = [sys.executable, "-m", "benchmarks.script", place.bootstrap, place.topic]
    return until_first_commit([*command, str(place.root)], place.root / "bronze", {})


def measure(place: Place, report: Report) -> None:
    """Start both in turn, and report; `lakehouse jars archive` has run before.

    No round to warm up: each start is a JVM of its own, and the broker and its clients have read
    the JDK and the jars already.
    """
    found = interleaved(
        {
            "ours": lambda n: ours(place.at(f"start.ours.{n}")),
            "stock": lambda n: stock(place.at(f"start.stock.{n}")),
        },
        warm=0,
        repeats=report.repeats,
    )
    report.add("from the command to the first commit of bronze", *found.values())
    report.ratios["start_vs_stock"] = ratio(found["stock"].figures, found["ours"].figures)
