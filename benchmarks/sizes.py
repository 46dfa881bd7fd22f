"""Messages of other sizes than the usual, from Kafka to silver."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks import contestants as c
from benchmarks.messages import Load, produce
from benchmarks.rounds import Report, Series, interleaved

if TYPE_CHECKING:
    from benchmarks.place import Place
    from benchmarks.workers import Worker

# Bytes a message, and so many of them that each topic takes some seconds.
LOADS = (Load(500_000, 200), Load(80_000, 4_000), Load(5_000, 64_000))


def measure(place: Place, worker: Worker, report: Report) -> None:
    """Drain a topic of each size to nowhere, to bronze and to silver, and report rows a second."""
    for load in LOADS:
        own = place.on(f"size-{load.size}").at(f"size.{load.size}")
        produce(own.bootstrap, own.topic, load)
        _drain(own, load, worker, report)


def _drain(place: Place, load: Load, worker: Worker, report: Report) -> None:
    def silver(number: int) -> float:
        own = place.at(f"ours.{number}")
        seconds = worker.seconds(c.silver_stream, own)
        shutil.rmtree(own.root)
        return seconds

    found = interleaved(
        {
            "K1 Kafka to noop": lambda n: worker.seconds(c.kafka_to_noop, place.at(f"k1.{n}")),
            "bronze": lambda n: worker.seconds(c.bronze_stream, place.at(f"ours.{n}")),
            "silver": silver,
        },
        warm=1,
        repeats=report.repeats,
    )
    report.add(
        f"{load.count} messages of {load.size} bytes",
        *(
            Series(s.name, tuple(load.count / seconds for seconds in s.figures), "rows/s")
            for s in found.values()
        ),
    )
