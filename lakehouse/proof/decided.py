"""Decisions against their commits: each made just those that it says, of messages that landed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from lakehouse.audit.trail import logged
from lakehouse.layout import DESK
from lakehouse.proof.view import REBUILD
from lakehouse.reading.decisions import Decided
from lakehouse.reading.positions import COLUMNS
from quarantine import decisions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.audit.commits import Commit
    from lakehouse.proof.view import View

EXAMPLES = 5
# What a deed counts, and the decisions that it is.
COUNTED = {
    "released": Decided.RELEASED,
    "refused_again": Decided.REFUSED_AGAIN,
    "discarded": Decided.DISCARDED,
}


def differences(seen: View) -> Iterator[str]:
    """Say how decisions and rebuilds differ from what the commits say that made them."""
    for layer in ("silver", "quarantine"):
        for one in seen.commits[layer]:
            if one.facts.get("verb") == REBUILD and one.checkpoint == DESK:
                said = one.facts["done"].get(layer)
                if said != one.rows_added:
                    where = _of(layer, seen, one)
                    yield f"{where}: it says {said} rows, and wrote {one.rows_added}"
    if seen.decided is None:
        return
    made = Counter(
        {
            (row["request_id"], row["decision"]): row["count"]
            for row in seen.decided.groupBy("request_id", "decision").count().collect()
        }
    )
    known = {request for request, _ in made}
    log = logged(seen.spark, decisions.table(seen.lake, seen.entity))
    for layer, commits in (("quarantine", log), ("silver", seen.commits["silver"])):
        for one in commits:
            facts = one.facts
            if one.checkpoint == DESK and facts.get("request") in known:
                yield from _counts(_of(layer, seen, one), facts, made)
    landed = seen.bronze.alias("b")
    astray = seen.decided.alias("d").join(landed, decisions.same("d", "b"), "left_anti")
    for row in astray.select(*COLUMNS).distinct().orderBy(*COLUMNS).limit(EXAMPLES).collect():
        place = f"{row['topic']}:{row['partition']}:{row['offset']}"
        yield f"quarantine.{seen.entity}: a decision on {place}, which is not in bronze"


def _counts(where: str, facts: dict[str, Any], made: Counter[tuple[str, str]]) -> Iterator[str]:
    for name, decision in COUNTED.items():
        said, found = facts["done"].get(name, 0), made[facts["request"], decision]
        if said != found:
            yield f"{where}: it says {said} {decision}, and there are {found} decisions"


def _of(layer: str, seen: View, commit: Commit) -> str:
    return f"{layer}.{seen.entity}, {commit.facts['verb']} {commit.facts['request']}"
