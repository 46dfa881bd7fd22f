"""How fast the demo's messages are made, in one process: Kafka must not wait for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.rounds import Series, interleaved
from lakehouse.demo.generator import messages

if TYPE_CHECKING:
    from benchmarks.rounds import Report

MESSAGES = 20_000


def measure(report: Report) -> None:
    """Have *report* hold how many messages a second the generator makes, one in twenty bad."""
    found = interleaved({"generator": _rate}, warm=1, repeats=report.repeats)
    rates = Series("generator", found["generator"].figures, "messages/s")
    report.add("messages made in one process, by its processor time", rates)


def _rate(seed: int) -> float:
    start = time.process_time()
    made = sum(1 for _ in messages(MESSAGES, bad_rate=0.05, seed=seed))
    return made / (time.process_time() - start)
