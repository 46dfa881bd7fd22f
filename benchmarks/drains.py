"""From a full topic to tables: the product beside all that a user would write instead."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from deltalake import DeltaTable

from benchmarks import contestants as c
from benchmarks.messages import Load, produce
from benchmarks.outputs import MESSAGES, POSITIONS, demand_equal, fingerprint, size
from benchmarks.rounds import Report, Series, interleaved, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.place import Place
    from benchmarks.workers import Worker

SCENARIO = "drain"
# Rounds that do not count, and what they drain.
WARM = 2
WARM_TOPIC = "warm"
WARM_LOAD = Load(40_000)


def measure(
    place: Place, load: Load, workers: dict[str, Worker], report: Report, *, full: bool
) -> None:
    """Drain the topic with each contestant in turn, prove their outputs equal, and report.

    Bronze and silver are one contestant after the other on the same tables, and their sum is the
    pipeline. The first rounds drain a smaller topic, so that the JVMs have compiled; the outputs of
    the round after them are compared. With *full* also bronze and silver at once, delta-rs in small
    commits, and the seed as it shipped.
    """
    ours, snappy, stock, plain = (workers[name] for name in ("ours", "snappy", "stock", "plain"))
    produce(place.bootstrap, WARM_TOPIC, WARM_LOAD)

    def fresh(name: str, number: int) -> Place:
        own = place if number >= WARM else place.on(WARM_TOPIC)
        return own.at(f"{name}.{number}")

    def drop_after(seconds: Callable[[Place], float], name: str) -> Callable[[int], float]:
        def run(number: int) -> float:
            found = seconds(fresh(name, number))
            if number != WARM:
                shutil.rmtree(fresh(name, number).root, ignore_errors=True)
            return found

        return run

    def silver(number: int) -> float:
        seconds = ours.seconds(c.silver_stream, fresh("ours", number))
        if number == WARM:
            _demand_equal_outputs(place, load)
        else:
            shutil.rmtree(fresh("ours", number).root)
        return seconds

    def many(own: Place) -> int:
        return WARM_LOAD.count if own.topic == WARM_TOPIC else load.count

    more = {
        "both at once": drop_after(lambda p: ours.seconds(c.both, p), "both"),
        "R1 delta-rs, commits of 1,000": drop_after(
            lambda p: plain.seconds(c.delta_rs, p, many(p), 1_000), "delta_rs_small"
        ),
    }
    found = interleaved(
        {
            "K0 consumer": drop_after(lambda p: plain.seconds(c.kafka_consumer, p, many(p)), "k0"),
            "K1 Kafka to noop": drop_after(lambda p: ours.seconds(c.kafka_to_noop, p), "k1"),
            "R1 delta-rs": drop_after(
                lambda p: plain.seconds(c.delta_rs, p, many(p), 100_000), "delta_rs"
            ),
            "S1 seed": drop_after(lambda p: stock.seconds(c.seed, p), "seed"),
            "S2 textbook": drop_after(lambda p: stock.seconds(c.textbook, p), "textbook"),
            "bronze, snappy": drop_after(lambda p: snappy.seconds(c.bronze_stream, p), "snappy"),
            "bronze": lambda n: ours.seconds(c.bronze_stream, fresh("ours", n)),
            "silver": silver,
            **(more if full else {}),
        },
        warm=WARM,
        repeats=report.repeats,
    )
    report.add(f"{SCENARIO} of {load.count} messages", *found.values())
    if full:
        rate = stock.run(c.seed_as_shipped, fresh("S0", WARM))
        report.add("S0, the seed as it shipped", Series("S0 seed", (rate,), "rows/s"))
    seconds = {name: own.figures for name, own in found.items()}
    whole = [b + s for b, s in zip(seconds["bronze"], seconds["silver"], strict=True)]
    report.ratios |= {
        "bronze_vs_k1": ratio(seconds["K1 Kafka to noop"], seconds["bronze"]),
        "bronze_vs_delta_rs": ratio(seconds["R1 delta-rs"], seconds["bronze"]),
        "pipeline_vs_seed": ratio(seconds["S1 seed"], whole),
        "same_outputs_vs_textbook": ratio(seconds["S2 textbook"], whole),
        "bronze_speed_vs_snappy": ratio(seconds["bronze, snappy"], seconds["bronze"]),
    }
    bytes_ = [size(fresh(name, WARM).root / "bronze" / "matches") for name in ("ours", "snappy")]
    report.ratios["bronze_bytes_vs_snappy"] = ratio(bytes_[:1], bytes_[1:])


def _demand_equal_outputs(place: Place, load: Load) -> None:
    """Raise unless all contestants have written what the load says, in the round that is kept."""
    roots = {
        name: place.at(f"{name}.{WARM}").root for name in ("ours", "snappy", "delta_rs", "textbook")
    }
    bronze = [roots[name] / "bronze" / "matches" for name in ("ours", "snappy")]
    others = [roots[name] / "bronze" for name in ("delta_rs", "textbook")]
    demand_equal("bronze", *((table, MESSAGES) for table in [*bronze, *others]))
    quarantine = roots["ours"] / "quarantine" / "matches"
    demand_equal(
        "quarantine", (quarantine, POSITIONS), (roots["textbook"] / "quarantine", POSITIONS)
    )
    theirs = DeltaTable(str(roots["textbook"] / "silver")).schema().fields
    columns = tuple(field.name for field in theirs if field.name != "offset")
    silver = roots["ours"] / "silver" / "matches"
    demand_equal(
        "silver",
        (silver, (*columns, "_offset")),
        (roots["textbook"] / "silver", (*columns, '"offset"')),
    )
    landed, refused = fingerprint(bronze[0], POSITIONS)[0], fingerprint(quarantine, POSITIONS)[0]
    if (landed, refused) != (load.count, load.bad):
        raise ValueError(f"{landed} landed and {refused} refused of {load}")
