"""The messages that silver has read, judged once more, each under the rules of its own batch."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.tables import BRONZE
from silver import rules
from silver.parse import parse
from silver.triage import triage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

    from lakehouse.entities import Entity
    from lakehouse.proof.view import View


@dataclass(frozen=True)
class Judged:
    """What triage says today of the messages of all batches that had the same rules.

    `entity` is the entity as those rules have it; `rows` are those of `silver.triage`.
    """

    entity: Entity
    rows: DataFrame


def judge(seen: View) -> list[Judged]:
    """Return the messages of *seen* that silver has read, by the rules of their batches.

    Raises:
        TableError: RULES_UNAVAILABLE.
    """
    used = {commit.facts.get("rules") for commit in seen.commits["silver"] if commit.ranges}
    found = []
    for fingerprint in sorted(str(one) for one in used if one):
        under = rules.recall(seen.spark, fingerprint, seen.lake)
        own = seen.read.where(F.col("_under") == fingerprint).select(*BRONZE.fieldNames())
        found.append(Judged(under, triage(parse(own, under), under)))
    return found


@contextmanager
def kept(judged: list[Judged]) -> Iterator[list[Judged]]:
    """Keep the rows of *judged* at hand inside the block, so that each message is parsed once."""
    cached = [Judged(one.entity, one.rows.persist()) for one in judged]
    try:
        yield cached
    finally:
        for one in cached:
            one.rows.unpersist()
