"""What was decided about refused messages: a table beside quarantine, to which is only added.

A decision is about a refusal: one that is older than the row of quarantine, which a rebuild wrote
anew, no longer stands, unless it discards the message. Of a message without a decision that stands
the status is open. Otherwise it is what the last one says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from deltalake import Field, Schema
from deltalake.schema import PrimitiveType

from lakehouse.reading.positions import COLUMNS, Position
from lakehouse.reading.rows import ask, opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from deltalake import DeltaTable

    from lakehouse.reading.rows import Located

# The one place that says what the table holds. Its JSON is that of Delta's log, which is also that
# of Spark: StructType.fromJson(json.loads(DECISIONS.to_json())).
DECISIONS = Schema(
    [
        Field(name, PrimitiveType(kind), nullable=True)
        for name, kind in (
            ("topic", "string"),
            ("topic_id", "string"),
            ("partition", "integer"),
            ("offset", "long"),
            ("request_id", "string"),
            ("decision", "string"),
            ("by", "string"),
            ("note", "string"),
            ("rules", "string"),
            ("at", "timestamp"),
        )
    ]
)


class Decided(StrEnum):
    """What can be decided; its value is the `decision` in the table."""

    RELEASED = "released"
    REFUSED_AGAIN = "refused again"
    DISCARDED = "discarded"


OPEN = "open"
STATUSES = (OPEN, *Decided)
# Of these there is nothing left to do about a message.
SETTLED = (Decided.RELEASED, Decided.DISCARDED)
# A replay is an attempt, whatever came of it. To discard is none.
ATTEMPTS = (Decided.RELEASED, Decided.REFUSED_AGAIN)


@dataclass(frozen=True)
class Decision:
    """One decision on one message: by whom, why, under which rules and when (UTC)."""

    position: Position
    request_id: str
    decision: str
    by: str | None
    note: str | None
    rules: str | None
    at: datetime

    @property
    def facts(self) -> dict[str, Any]:
        """The decision as JSON has it."""
        return {
            "decision": self.decision,
            "at": self.at.isoformat(),
            "by": self.by,
            "note": self.note,
            "rules": self.rules,
            "request_id": self.request_id,
        }


def beside(lake: Located, entity: str) -> DeltaTable | None:
    """Return the table of decisions on the quarantine of *entity*; None before the first one."""
    return opened(lake, "quarantine", table_of(entity))


def table_of(entity: str) -> str:
    """Return the name, in quarantine, of the table of decisions on *entity*."""
    return f"{entity}_decisions"


def decisions(table: DeltaTable | None, where: str = "TRUE") -> dict[Position, list[Decision]]:
    """Return the decisions in *table* by position, the oldest first, of rows *where* that is so.

    A request decides once about a message: written twice, it is one decision.
    """
    found: dict[Position, dict[str, Decision]] = {}
    for row in ask(f'SELECT * FROM d WHERE {where} ORDER BY "at", request_id', d=table):  # noqa: S608 - numbers
        at = Position.of(row)
        said = {name: value for name, value in row.items() if name not in COLUMNS}
        found.setdefault(at, {}).setdefault(row["request_id"], Decision(at, **said))
    return {at: list(one.values()) for at, one in found.items()}


def standing(said: Sequence[Decision], refused_at: datetime) -> list[Decision]:
    """Return those of the decisions *said* that stand about a message refused at that time."""
    return [one for one in said if one.at >= refused_at or one.decision == Decided.DISCARDED]


def status(said: Sequence[Decision]) -> str:
    """Return the status that standing decisions, the oldest first, give a message."""
    return said[-1].decision if said else OPEN


def attempts(said: Sequence[Decision]) -> int:
    """Return how often a message was replayed."""
    return sum(one.decision in ATTEMPTS for one in said)
