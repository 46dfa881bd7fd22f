"""The account of what was produced: each message looked for by its position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse import tables
from lakehouse.errors import ExpectationError
from lakehouse.proof.fates import Fate, Proof, prove

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.tables import Lake


# What becomes of a message that silver has read.
READ = (Fate.CURRENT, Fate.SUPERSEDED, Fate.QUARANTINED, Fate.DISCARDED)


@dataclass(frozen=True)
class Account:
    """What was produced for an entity, and what was found of it.

    `missing`: positions produced and not in bronze; `unknown`: positions in bronze that nobody
    produced. Both are found by joining positions, and so is every fate.
    """

    entity: str
    produced: int
    missing: int
    unknown: int
    proof: Proof

    @property
    def balances(self) -> bool:
        """Whether each that was produced is in bronze and has been read, without a fault."""
        counts = self.proof.counts
        fates = sum(counts[fate] for fate in READ)
        found = self.produced == self.proof.bronze == fates
        return found and self.proof.holds and not self.missing and not self.unknown


def account(
    spark: SparkSession, entity: Entity, lake: Lake, produced: Sequence[tuple[int, int]]
) -> Account:
    """Return the account of *produced*, the (partition, offset) of each confirmed message."""
    rows = [{"partition": partition, "offset": offset} for partition, offset in produced]
    sent = tables.frame(spark, rows, "partition INT, offset LONG")
    bronze = lake.table("bronze", entity.name).read(spark).select("partition", "offset")
    on = ["partition", "offset"]
    both = sent.withColumn("sent", F.lit(1)).join(bronze.withColumn("landed", F.lit(1)), on, "full")
    found = both.agg(
        F.count_if(F.col("landed").isNull()).alias("missing"),
        F.count_if(F.col("sent").isNull()).alias("unknown"),
    ).collect()[0]
    proof = prove(spark, entity, lake)
    return Account(entity.name, len(produced), found["missing"], found["unknown"], proof)


def demand(accounts: Sequence[Account]) -> None:
    """Return if every account balances.

    Raises:
        ExpectationError: NOT_PROVEN for the first that does not, with its differences.
    """
    for one in accounts:
        if not one.balances:
            said = [*one.proof.faults]
            said += [f"{one.missing} are not in bronze"] if one.missing else []
            said += [f"{one.unknown} in bronze were never produced"] if one.unknown else []
            unread = one.proof.counts[Fate.UNREAD]
            said += [f"{unread} were not read by silver"] if unread else []
            wrong = one.missing + one.unknown + unread + len(one.proof.faults)
            differences = "; ".join(said) or "the sums differ"
            raise ExpectationError(
                "NOT_PROVEN", count=wrong, entity=one.entity, differences=differences
            )
