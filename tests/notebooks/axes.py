"""What is on the axes of a notebook's pictures, read off them after its last cell."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nbformat

if TYPE_CHECKING:
    from nbformat import NotebookNode


@dataclass(frozen=True)
class Axes:
    """The words on axes, and what is drawn on them.

    Each of `series` has its name in the legend and its points: a line's, of a bar its place and its
    length. Those of an image have the names on its y axis, and a value for each column.
    """

    title: str
    xlabel: str
    ylabel: str
    ticks: list[str]
    series: dict[str, list[Any]]

    def lengths(self, name: str) -> list[float]:
        """Return the second figure of each point of a series."""
        return [point[1] for point in self.series[name]]

    def bars(self, name: str) -> dict[str, float]:
        """Return the lengths of horizontal bars by the names on the y axis."""
        return {self.ticks[round(place)]: length for place, length in self.series[name]}


@dataclass(frozen=True)
class Picture:
    """A figure: its own title, and its axes in the order in which they were made."""

    title: str
    axes: list[Axes]


def drawn(known: dict[str, Any]) -> dict[str, list[Any]]:
    """Return what is on the figures among the values *known*, by their names there."""
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure

    def bar(container: Any, patch: Any) -> list[float]:
        if container.orientation == "vertical":
            return [patch.get_x() + patch.get_width() / 2, patch.get_height()]
        return [patch.get_y() + patch.get_height() / 2, patch.get_width()]

    def series(axes: Any, ticks: list[str]) -> dict[str, list[Any]]:
        found = {
            line.get_label(): [list(map(float, point)) for point in line.get_xydata()]
            for line in axes.get_lines()
        }
        for one in axes.containers:
            if isinstance(one, BarContainer):
                found[one.get_label()] = [list(map(float, bar(one, patch))) for patch in one]
        for image in axes.get_images():
            found |= dict(zip(ticks, image.get_array().tolist(), strict=True))
        return {name: points for name, points in found.items() if not name.startswith("_")}

    def words(axes: Any) -> dict[str, Any]:
        ticks = [one.get_text() for one in axes.get_yticklabels()]
        said = {"title": axes.get_title(loc="left"), "ticks": ticks}
        said |= {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}
        return said | {"series": series(axes, ticks)}

    def pictures(figures: list[Any]) -> list[Any]:
        return [
            {
                "title": one.get_suptitle(),
                "axes": [words(a) for a in one.axes if a.get_label() != "<colorbar>"],
            }
            for one in figures
        ]

    lists = {name: one if isinstance(one, list) else [one] for name, one in known.items()}
    return {
        name: pictures(one)
        for name, one in lists.items()
        if one and not name.startswith("_") and all(isinstance(each, Figure) for each in one)
    }


# Nothing here starts a JVM or imports what takes seconds.
HEAVY = ("pyspark", "great_expectations")


def ask(notebook: NotebookNode) -> None:
    """Give *notebook* a last cell that prints what is on the axes of its figures."""
    lines = [
        "import json, sys",
        inspect.getsource(drawn),
        f"_heavy = [one for one in {HEAVY} if one in sys.modules]",
        "print(json.dumps({'heavy': _heavy, 'drawn': drawn(dict(globals()))}))",
    ]
    cell = nbformat.v4.new_code_cell("\n".join(["from typing import Any", *lines]))  # type: ignore[no-untyped-call]  # nbformat left it untyped
    notebook.cells.append(cell)


def told(notebook: NotebookNode) -> tuple[dict[str, list[Picture]], list[str]]:
    """Take that cell off again; return its pictures by name, and what of HEAVY was imported."""
    (output,) = notebook.cells.pop().outputs
    said = json.loads(output.text)
    found = {
        name: [Picture(one["title"], [Axes(**axes) for axes in one["axes"]]) for one in pictures]
        for name, pictures in said["drawn"].items()
    }
    return found, said["heavy"]
