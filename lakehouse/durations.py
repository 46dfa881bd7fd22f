"""How long the batches of a stream took, and which of their parts took it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Seconds: from an empty batch on a laptop to twice the longest wait for a stop.
BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass
class Durations:
    """Batches by how long they took: up to each of BOUNDS, then longer. And seconds by part."""

    batches: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    seconds: float = 0.0
    part_seconds: dict[str, float] = field(default_factory=dict)

    def add(self, milliseconds: int, parts: Mapping[str, int]) -> None:
        """Add one batch, with the milliseconds that Spark gives for each of its parts."""
        self.batches[bisect_left(BOUNDS, milliseconds / 1000)] += 1
        self.seconds += milliseconds / 1000
        for part, taken in parts.items():
            self.part_seconds[part] = self.part_seconds.get(part, 0.0) + taken / 1000
