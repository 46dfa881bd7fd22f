"""The messages that silver has read, judged once more, each under the rules of its own batch."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.reading.decisions import Decided
from lakehouse.tables import BRONZE
from quarantine import decisions
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
    """What triage says today of the messages that the same rules judged.

    `entity` is the entity as those rules have it; `rows` are those of `silver.triage`. `released`:
    they are the messages that a replay released under these rules; others had refused them before.
    """

    entity: Entity
    rows: DataFrame
    released: bool = False


def judge(seen: View) -> list[Judged]:
    """Return the messages of *seen* that silver has read, by the rules that stand about them.

    Those of its batch, or of the last rebuild after it; once more those that a replay released.

    Raises:
        TableError: RULES_UNAVAILABLE.
    """
    return [*_under(seen, "_now"), *_released(seen)]


def judge_first(seen: View, judged: list[Judged]) -> list[Judged]:
    """Return the messages of *seen* by the rules of their batches, which their records tell of.

    They are among those *judged* already, unless there was a rebuild.
    """
    if seen.rebuilt is not None:
        return _under(seen, "_under")
    return [one for one in judged if not one.released]


def _under(seen: View, column: str) -> list[Judged]:
    if seen.rebuilt is None:
        used = {c.facts.get("rules") for c in seen.commits["silver"] if c.ranges}
    else:
        used = {row[0] for row in seen.read.select(column).distinct().collect()}
    found = []
    for fingerprint in sorted(str(one) for one in used if one):
        own = seen.read.where(F.col(column) == fingerprint)
        found.append(_judged(seen, own, fingerprint))
    return found


def _released(seen: View) -> list[Judged]:
    """Return the messages that were released, under the rules of that."""
    if seen.decided is None:
        return []
    released = seen.refused.where(F.col("_status") == Decided.RELEASED)
    found = []
    for row in released.select("_judged").distinct().orderBy("_judged").collect():
        own = released.where(F.col("_judged") == row["_judged"]).alias("d")
        messages = seen.read.alias("r").join(own, decisions.same("r", "d"), "left_semi")
        found.append(_judged(seen, messages, row["_judged"], released=True))
    return found


def _judged(seen: View, rows: DataFrame, fingerprint: str, *, released: bool = False) -> Judged:
    under = rules.recall(seen.spark, fingerprint, seen.lake)
    own = rows.select(*BRONZE.fieldNames())
    return Judged(under, triage(parse(own, under), under), released)


@contextmanager
def kept(judged: list[Judged]) -> Iterator[list[Judged]]:
    """Keep the rows of *judged* at hand inside the block, so that each message is parsed once."""
    cached = [replace(one, rows=one.rows.persist()) for one in judged]
    try:
        yield cached
    finally:
        for one in cached:
            one.rows.unpersist()
