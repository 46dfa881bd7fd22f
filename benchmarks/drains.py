"""From a full topic to silver: the product beside what a user would write instead with Spark."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from benchmarks import contestants as c
from benchmarks.messages import Load, produce
from benchmarks.outputs import MESSAGES, POSITIONS, UnequalError, demand_equal, fingerprint
from benchmarks.rounds import Report, Series, interleaved, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.place import Place
    from benchmarks.workers import Worker

# Rounds that do not count, and what they drain.
WARM = 1
WARM_TOPIC = "warm"
WARM_LOAD = Load(40_000)


def measure(
    place: Place, load: Load, workers: dict[str, Worker], report: Report, *, full: bool
) -> None:
    """Drain the topic with each contestant in turn, prove their outputs equal, and report.

    Bronze and silver are one contestant after the other on the same tables, and their sum is the
    pipeline. The first round drains a smaller topic, so that the JVMs have compiled; the outputs of
    the round after it are compared. With *full* also bronze and silver at once, and the seed as it
    shipped.
    """
    ours, stock = workers["ours"], workers["stock"]
    produce(place.bootstrap, WARM_TOPIC, WARM_LOAD)

    def fresh(name: str, number: int) -> Place:
        own = place if number >= WARM else place.on(WARM_TOPIC)
        return own.at(f"{name}.{number}")

    def drained(name: str, seconds: Callable[[Place], float]) -> Callable[[int], float]:
        def one(number: int) -> float:
            found = seconds(fresh(name, number))
            if number != WARM:
                shutil.rmtree(fresh(name, number).root, ignore_errors=True)
            return found

        return one

    def silver(own: Place) -> float:
        seconds = ours.seconds(c.silver_stream, own)
        if own == fresh("ours", WARM):
            _demand_equal_outputs(own, fresh("textbook", WARM), load)
        return seconds

    found = interleaved(
        {
            "S1 seed": drained("seed", lambda own: stock.seconds(c.seed, own)),
            "S2 textbook": drained("textbook", lambda own: stock.seconds(c.textbook, own)),
            "bronze": lambda n: ours.seconds(c.bronze_stream, fresh("ours", n)),
            "silver": drained("ours", silver),
            **(
                {"both at once": drained("both", lambda own: ours.seconds(c.both, own))}
                if full
                else {}
            ),
        },
        warm=WARM,
        repeats=report.repeats,
    )
    report.add(f"drain of {load.count} messages", *found.values())
    if full:
        rate = stock.run(c.seed_as_shipped, fresh("S0", WARM))
        report.add("S0, the seed as it shipped", Series("S0 seed", (rate,), "rows/s"))
    seconds = {name: own.figures for name, own in found.items()}
    whole = [b + s for b, s in zip(seconds["bronze"], seconds["silver"], strict=True)]
    report.ratios |= {
        "pipeline_vs_seed": ratio(seconds["S1 seed"], whole),
        "same_outputs_vs_textbook": ratio(seconds["S2 textbook"], whole),
    }


def _demand_equal_outputs(ours: Place, textbook: Place, load: Load) -> None:
    """Raise unless both have written what the load says, in all three layers."""
    bronze, quarantine, silver = (
        ours.root / layer / "matches" for layer in ("bronze", "quarantine", "silver")
    )
    demand_equal("bronze", (bronze, MESSAGES), (textbook.root / "bronze", MESSAGES))
    demand_equal("quarantine", (quarantine, POSITIONS), (textbook.root / "quarantine", POSITIONS))
    theirs = DeltaTable(str(textbook.root / "silver")).schema().fields
    columns = tuple(field.name for field in theirs if field.name != "offset")
    demand_equal(
        "silver",
        (silver, (*columns, "_offset")),
        (textbook.root / "silver", (*columns, '"offset"')),
    )
    landed, refused = fingerprint(bronze, POSITIONS)[0], fingerprint(quarantine, POSITIONS)[0]
    if (landed, refused) != (load.count, load.bad):
        raise UnequalError(f"{landed} landed and {refused} refused of {load}")
