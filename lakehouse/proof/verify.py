"""What the tables hold against what their commits say, to the row.

The tables are the truth. Everything that a commit says can be counted again from the rows that it
speaks of, and a difference names the version and both figures.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.proof import decided, landed, refined
from lakehouse.proof.fates import FAULTS, proof
from lakehouse.proof.judged import judge, judge_first, kept
from lakehouse.proof.logs import compare
from lakehouse.proof.view import view

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.audit.commits import Commit
    from lakehouse.entities import Entity
    from lakehouse.proof.fates import Proof
    from lakehouse.tables import Lake


@dataclass(frozen=True)
class Verification:
    """What was verified of an entity.

    `differences` are faults, each a sentence. `counted_twice` are figures of Spark's own that are
    too high where the trail has kept them as they were: a retried stage counts again, and no row is
    wrong. `seconds` is what verifying took, `streamed` what bronze and silver took for all batches
    whose beginning is known.
    """

    proof: Proof
    differences: tuple[str, ...]
    counted_twice: tuple[str, ...]
    seconds: float
    streamed: float

    @property
    def holds(self) -> bool:
        """Whether every message has exactly one fate, and every commit says what is so."""
        return self.proof.holds and not self.differences


def verify(spark: SparkSession, entity: Entity, lake: Lake) -> Verification:
    """Return what is found when the tables of *entity* are counted again, from bronze up.

    Each message that silver has read is judged again under the rules of its batch. Then positions
    are joined: every bronze row has one fate; every row of silver and quarantine is what its
    message makes, in each column; every commit's counts, ranges and expectations are those of its
    rows; batches follow each other without a gap; and the trail says what the log says.

    Safe beside running streams: versions are fixed first, silver's before the others.

    Raises:
        TableError: RULES_UNAVAILABLE, where rules that a batch was judged by are gone.
    """
    began = time.monotonic()
    seen = view(spark, entity.name, lake)
    with kept(judge(seen)) as judged, kept(judge_first(seen, judged)) as first:
        found = proof(seen, judged)
        notes = compare(seen)
        differences = [
            *notes.differences,
            *landed.differences(seen),
            *refined.record_differences(seen, first),
            *refined.row_differences(seen, judged),
            *decided.differences(seen),
        ]
    faults = [*found.faults] if any(found.counts[fate] for fate in FAULTS) else []
    took = time.monotonic() - began
    # Quarantine's commits lie within silver's batches.
    batches = [*seen.commits["bronze"], *seen.commits["silver"]]
    streamed = sum(map(_seconds, batches))
    return Verification(found, (*faults, *differences), tuple(notes.counted_twice), took, streamed)


def _seconds(commit: Commit) -> float:
    began = commit.started_at
    return max(0.0, (commit.committed_at - began).total_seconds()) if began else 0.0
