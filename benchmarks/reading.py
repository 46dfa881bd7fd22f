"""How long the commands take that read without Spark, on a lake of a million messages."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.place import ROOT
from benchmarks.rounds import Report, interleaved
from tests import large

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = {
    "status": ("status",),
    "history": ("history", "silver.matches"),
    "query": ("query", "SELECT status, count(*) FROM silver.matches GROUP BY ALL"),
    "trace by position": ("trace", large.position(500_012)),
    "trace by key": ("trace", "matches", "m12"),
    "quarantine ls": ("quarantine", "ls"),
}


def answered(lake: Path, arguments: tuple[str, ...]) -> float:
    """Return the seconds in which the command answers, the start of Python included."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "lakehouse", *arguments],
        cwd=ROOT,
        env={**os.environ, "LAKEHOUSE__LAKE__ROOT": str(lake)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def measure(root: Path, report: Report) -> None:
    """Ask each command in turn, and report."""
    large.plant(root)
    contestants = {name: lambda _, own=own: answered(root, own) for name, own in COMMANDS.items()}
    found = interleaved(contestants, warm=1, repeats=report.repeats)
    report.add(f"answers about {large.MESSAGES} messages in {large.HEAD} versions", *found.values())
