"""A message's position: where it lies in Kafka. It names the message in every table."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COLUMNS = ("topic", "topic_id", "partition", "offset")
# What Kafka allows: offsets are signed 64-bit, partitions 32-bit.
WRITTEN = re.compile(r"([a-zA-Z0-9._-]{1,249}):(\d{1,10}):(\d{1,19})")


@dataclass(frozen=True)
class Position:
    """A position; `topic_id` is Kafka's own, because offsets repeat in a topic created again."""

    topic: str
    partition: int
    offset: int
    topic_id: str | None = None

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    @property
    def facts(self) -> dict[str, Any]:
        """The position as JSON has it."""
        return {name: getattr(self, name) for name in COLUMNS}

    def follows(self, other: Position) -> bool:
        """Whether it comes after *other* in the same partition."""
        same = replace(self, offset=0) == replace(other, offset=0)
        return same and self.offset > other.offset

    @classmethod
    def of(cls, row: Mapping[str, Any], prefix: str = "") -> Self:
        """Return the position of a table's *row*; silver's columns have a *prefix*."""
        return cls(**{name: row[f"{prefix}{name}"] for name in COLUMNS})


def parse(text: str) -> Position:
    """Return the position written as TOPIC:PARTITION:OFFSET.

    Raises:
        ConfigError: BAD_POSITION.
    """
    found = WRITTEN.fullmatch(text)
    if not found or int(found[2]) >= 2**31 or int(found[3]) >= 2**63:
        raise ConfigError("BAD_POSITION", text=text)
    return Position(found[1], int(found[2]), int(found[3]))


def among(positions: Iterable[Position], prefix: str = "") -> str:
    """Return the SQL condition of rows at one of *positions*, whatever the topic's id.

    By partition and offset, of which files keep statistics: a table holds few topics.
    """
    offsets: dict[int, set[int]] = {}
    for one in positions:
        offsets.setdefault(one.partition, set()).add(one.offset)
    parts = [
        f'("{prefix}partition" = {partition} AND "{prefix}offset" IN '
        f"({', '.join(map(str, sorted(some)))}))"
        for partition, some in sorted(offsets.items())
    ]
    return f"({' OR '.join(parts)})" if parts else "FALSE"
