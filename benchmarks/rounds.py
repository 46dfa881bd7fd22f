"""Contestants in turn, round after round, and the ratios of their medians."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Ratio:
    """A figure of the benchmark: a ratio of medians, and its least and most by round."""

    value: float
    min: float
    max: float
    repeats: int


@dataclass(frozen=True)
class Series:
    """What one contestant took in each round that counts, in seconds or whatever `unit` says."""

    name: str
    figures: tuple[float, ...]
    unit: str = "s"

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.figures)


@dataclass
class Report:
    """All that a run has found: series under the heading of their scenario, and named ratios.

    `repeats` is how many rounds of each scenario count.
    """

    repeats: int = 3
    series: dict[str, list[Series]] = field(default_factory=dict)
    ratios: dict[str, Ratio] = field(default_factory=dict)

    def add(self, scenario: str, *found: Series) -> None:
        """Keep what a scenario measured."""
        self.series.setdefault(scenario, []).extend(found)


def interleaved(
    contestants: Mapping[str, Callable[[int], float]], *, warm: int, repeats: int
) -> dict[str, Series]:
    """Return the figures of each contestant over *repeats* rounds, after *warm* that do not count.

    Each is given the number of the round, for a folder of its own. Each figure is told as it comes.
    """
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(warm + repeats):
        for name, run in contestants.items():
            found = run(number)
            click.echo(f"  round {number}, {name}: {found:.2f}", err=True)
            if number >= warm:
                figures[name].append(found)
    return {name: Series(name, tuple(own)) for name, own in figures.items()}


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """Return the ratio of the medians, and the least and most that rounds give one by one."""
    each = [a / b for a, b in zip(over, under, strict=True)]
    value = statistics.median(over) / statistics.median(under)
    return Ratio(round(value, 3), round(min(each), 3), round(max(each), 3), len(each))
