"""Pictures of a report: the ratios beside their aims, and the rounds of each scenario."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.rounds import Series

# Must and moonshot of each ratio; `at most` where less is better.
AIMS = {
    "bronze_vs_k1": (0.45, 0.67),
    "bronze_vs_delta_rs": (1.0, 1.3),
    "pipeline_vs_seed": (1.3, 2.0),
    "same_outputs_vs_textbook": (2.5, 5.0),
    "dq_raw_gx_over_ours": (5.0, 12.0),
    "merge_10m_vs_textbook": (1.5, 3.0),
    "small_batch_vs_stock": (3.0, 6.0),
    "growth_500_over_20": (1.25, 1.1),
    "bronze_bytes_vs_snappy": (0.6, 0.45),
    "start_vs_stock": (1.5, 2.5),
    "latency_p95_s_5k": (3.0, 1.0),
}


def ratios(found: Mapping[str, Mapping[str, float]], file: Path) -> None:
    """Draw each named ratio over what it must be, with its least and most by round, to *file*.

    Right of the line is better, also where less is better: those are drawn upside down. What is
    less than a sixteenth of it is drawn there: where both sides of a ratio are small differences,
    a round can have one below nothing.
    """
    drawn = [name for name in AIMS if name in found]
    figure = Figure(figsize=(8, 0.5 * len(drawn) + 1.2), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(reversed(drawn)):
        one, (must, moonshot) = found[name], AIMS[name]
        turned = -1 if moonshot < must else 1
        value, *ends = (
            turned * math.log2(max(x / must, 1 / 16))
            for x in (one["value"], one["min"], one["max"])
        )
        axes.plot(ends, [row, row], color="tab:blue", linewidth=4, alpha=0.35)
        axes.plot([value], [row], "o", color="tab:blue")
        axes.plot([turned * math.log2(moonshot / must)], [row], "|", color="tab:green", ms=16)
    axes.axvline(0, color="tab:red", linewidth=1)
    axes.set_yticks(range(len(drawn)), reversed(drawn))
    axes.xaxis.set_major_formatter(lambda x, _: f"{2**x:.2g}×")
    axes.set_xlabel("of what must be (red); the aim beyond it in green; further right is better")
    _save(figure, file)


def scenarios(series: Mapping[str, list[Series]], file: Path) -> None:
    """Draw the rounds of every contestant of every scenario to *file*, a panel each."""
    several = {name: found for name, found in series.items() if found}
    heights = [len(found) + 1.5 for found in several.values()]
    figure = Figure(figsize=(8, 0.3 * sum(heights) + 0.5), layout="constrained")
    panels = figure.subplots(len(several), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, found) in zip(panels, several.items(), strict=True):
        _draw(axes, name, found)
    _save(figure, file)


def _draw(axes: Axes, name: str, found: list[Series]) -> None:
    for row, one in enumerate(reversed(found)):
        axes.barh(row, one.median, color="tab:blue", alpha=0.5)
        axes.plot(one.figures, [row] * len(one.figures), "|", color="black")
    axes.set_yticks(range(len(found)), [one.name for one in reversed(found)])
    axes.set_title(name, fontsize="medium", loc="left")
    axes.set_xlabel(", ".join(sorted({one.unit for one in found})))
    axes.set_xlim(left=0)


def _save(figure: Figure, file: Path) -> None:
    # The same report gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "lakehouse", "svg.fonttype": "none"}):
        figure.savefig(file, metadata={"Date": None})
