"""From a full topic to bronze: the product beside Kafka's consumer, plain Spark and delta-rs.

The topic is larger than that of `benchmarks.drains`: bronze takes so little for a message that what
a query costs once would decide.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks import contestants as c
from benchmarks.outputs import MESSAGES, UnequalError, demand_equal, fingerprint, size
from benchmarks.rounds import Report, interleaved, ratio

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.messages import Load
    from benchmarks.place import Place
    from benchmarks.workers import Worker

# Rounds that do not count. The outputs of the round after them are compared.
WARM = 1


def measure(
    place: Place, load: Load, workers: dict[str, Worker], report: Report, *, full: bool
) -> None:
    """Land the topic with each contestant in turn, prove their outputs equal, and report.

    With *full* also delta-rs in commits of 1,000.
    """
    ours, snappy, plain = (workers[name] for name in ("ours", "snappy", "plain"))

    def kept(name: str) -> Place:
        return place.at(f"{name}.{WARM}")

    def landing(name: str, run: Callable[[Place], float]) -> Callable[[int], float]:
        def one(number: int) -> float:
            own = place.at(f"{name}.{number}")
            seconds = run(own)
            if number != WARM:
                shutil.rmtree(own.root, ignore_errors=True)
            return seconds

        return one

    def delta_rs(commit: int) -> Callable[[Place], float]:
        return lambda own: plain.seconds(c.delta_rs, own, load.count, commit)

    more = {"R1 delta-rs, commits of 1,000": landing("delta_rs_small", delta_rs(1_000))}
    found = interleaved(
        {
            "K0 consumer": landing(
                "k0", lambda own: plain.seconds(c.kafka_consumer, own, load.count)
            ),
            "K1 Kafka to noop": landing("k1", lambda own: ours.seconds(c.kafka_to_noop, own)),
            "R1 delta-rs": landing("delta_rs", delta_rs(100_000)),
            "bronze, snappy": landing("snappy", lambda own: snappy.seconds(c.bronze_stream, own)),
            "bronze": landing("ours", lambda own: ours.seconds(c.bronze_stream, own)),
            **(more if full else {}),
        },
        warm=WARM,
        repeats=report.repeats,
    )
    tables = {name: kept(name).root / "bronze" / "matches" for name in ("ours", "snappy")}
    _demand_all(load, *tables.values(), kept("delta_rs").root / "bronze")
    report.add(f"bronze of {load.count} messages", *found.values())
    seconds = {name: own.figures for name, own in found.items()}
    bytes_ = {name: [size(table)] for name, table in tables.items()}
    report.ratios |= {
        "bronze_vs_k1": ratio(seconds["K1 Kafka to noop"], seconds["bronze"]),
        "bronze_vs_delta_rs": ratio(seconds["R1 delta-rs"], seconds["bronze"]),
        "bronze_speed_vs_snappy": ratio(seconds["bronze, snappy"], seconds["bronze"]),
        "bronze_bytes_vs_snappy": ratio(bytes_["ours"], bytes_["snappy"]),
    }
    for name in ("ours", "snappy", "delta_rs"):
        shutil.rmtree(kept(name).root)


def _demand_all(load: Load, *tables: Path) -> None:
    """Raise unless each table holds the same messages, and all of them."""
    demand_equal("bronze", *((table, MESSAGES) for table in tables))
    landed, _ = fingerprint(tables[0], MESSAGES)
    if landed != load.count:
        raise UnequalError(f"{landed} landed of {load}")
