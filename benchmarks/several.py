"""Short runs of batches of a thousand rows, of several entities in one process."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import contestants as c
from benchmarks.messages import Load, produce
from benchmarks.rounds import Report, Series, interleaved, ratio

if TYPE_CHECKING:
    from benchmarks.place import Place
    from benchmarks.workers import Worker

ENTITIES = (1, 2, 4)
BATCHES = 5


def measure(place: Place, worker: Worker, report: Report) -> None:
    """Bring a topic each of so many entities to silver, all at once, and report by batch.

    The starts of their queries are a part of it.
    """
    topics = [f"several-{number}" for number in range(max(ENTITIES))]
    for topic in topics:
        produce(place.bootstrap, topic, Load(BATCHES * place.rows))

    def seconds(count: int, number: int) -> float:
        own = place.at(f"several.{count}.{number}")
        found = worker.seconds(c.several, own, topics[:count])
        shutil.rmtree(own.root)
        return found / (count * BATCHES)

    contestants = {f"entities: {count}": partial(seconds, count) for count in ENTITIES}
    found = interleaved(contestants, warm=1, repeats=report.repeats)
    report.add(
        f"batches of {place.rows} rows in short runs of several entities, bronze and silver",
        *(Series(s.name, tuple(1000 * x for x in s.figures), "ms a batch") for s in found.values()),
    )
    alone, *_, together = (series.figures for series in found.values())
    report.ratios[f"a_batch_of_{ENTITIES[-1]}_entities_over_one"] = ratio(together, alone)
