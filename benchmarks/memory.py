"""A backlog of a million messages through a driver of 2 GiB: it ends, in how much memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import contestants as c
from benchmarks.outputs import POSITIONS, UnequalError, fingerprint
from benchmarks.rounds import Report, Series
from benchmarks.workers import Jvm

if TYPE_CHECKING:
    from benchmarks.messages import Load
    from benchmarks.place import Place
    from benchmarks.workers import Worker

JVM = Jvm("two gigabytes", memory="2g")


def measure(place: Place, load: Load, worker: Worker, report: Report) -> None:
    """Bring the *load* that the topic holds to silver, in batches as the product has them.

    Raises:
        UnequalError: bronze does not hold each message.
    """
    own = place.at("memory")
    worker.peak_mib()
    seconds = worker.seconds(c.shipped, own)
    landed, _ = fingerprint(own.root / "bronze" / "matches", POSITIONS)
    if landed != load.count:
        raise UnequalError(f"{landed} landed of {load.count}")
    report.add(
        f"{load.count} messages through a driver of 2 GiB",
        Series("bronze and silver", (seconds,)),
        Series("most memory, process and JVM", (worker.peak_mib(),), "MiB"),
    )
