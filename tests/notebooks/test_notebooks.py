"""Notebooks, and the README's Python, run against a lake of the demo and draw what the API says."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib.dates as mdates
import matplotlib.image
import nbformat
import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from nbclient import NotebookClient

from lakehouse.lake import Lake
from tests.conftest import CONF, ROOT, settings_for
from tests.notebooks import axes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nbformat import NotebookNode

    from tests.conftest import Demo
    from tests.notebooks.axes import Picture

FOLDER = ROOT / "notebooks"
ENTITIES = ("matches", "players")
SHIPPED = ("tour", "quality", "time_travel", "quarantine", "performance", "spark")


def known() -> list[Path]:
    """Return the notebooks that git holds, or those in the folder where git holds none."""
    listed = subprocess.run(
        ["git", "ls-files", "notebooks/*.ipynb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return [ROOT / name for name in listed.stdout.split()] or sorted(FOLDER.glob("*.ipynb"))


NOTEBOOKS = [pytest.param(path, id=path.name) for path in known()]


@dataclass(frozen=True)
class Run:
    """A notebook that was run, what is on its pictures, and what it imported that takes seconds."""

    notebook: NotebookNode
    pictures: dict[str, list[Picture]]
    heavy: list[str]

    @property
    def outputs(self) -> list[NotebookNode]:
        cells = [cell for cell in self.notebook.cells if cell.cell_type == "code"]
        return [one for cell in cells for one in cell.outputs]


# What the owner of a stream would have found of versions 1 and 2: the demo is over before.
FOUND = [
    {"version": version, "rule": rule, "severity": severity, "success": success}
    for version, rule, severity, success in (
        (1, "enough_rows", "critical", False),
        (2, "enough_rows", "critical", True),
        (2, "fresh", "warning", None),
    )
]


@pytest.fixture(scope="module")
def root(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's lake, with validations of one of its tables."""
    copied = tmp_path_factory.mktemp("notebooks") / "lake"
    shutil.copytree(demo.root, copied)
    times = pa.array([datetime(2026, 1, 31, 10, n, tzinfo=UTC) for n in range(len(FOUND))])
    rows = pa.Table.from_pylist(FOUND).append_column("at", times)
    write_deltalake(copied / "audit" / "silver.matches.validations", rows)
    return copied


@pytest.fixture(scope="module")
def lake(root: Path) -> Lake:
    return Lake(settings_for(root))


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Run a notebook to its end, once; a cell that raises fails the test with its trace."""
    home = str(tmp_path_factory.mktemp("home"))

    @cache
    def once(name: str) -> Run:
        notebook = read(FOLDER / name)
        axes.ask(notebook)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LAKEHOUSE_DEMO", str(root))
            # What a kernel keeps of itself stays out of the home of whoever runs the tests.
            for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
                patch.setenv(variable, home)
            # In its own folder, as Jupyter does.
            where = {"metadata": {"path": str(FOLDER)}}
            NotebookClient(notebook, timeout=120, kernel_name="python3", resources=where).execute()
        pictures, heavy = axes.told(notebook)
        return Run(notebook, pictures, heavy)

    return once


@pytest.fixture(scope="module", params=NOTEBOOKS)
def executed(request: pytest.FixtureRequest, run: Callable[[str], Run]) -> Run:
    return run(request.param.name)


def read(path: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat left it untyped
    return notebook


def records(lake: Lake, entity: str) -> list[dict[str, Any]]:
    """Return the commits of silver's batches, the oldest first, with what each record says."""
    rows = lake.silver(entity).history(None).arrow().to_pylist()
    return [
        {**one, "said": json.loads(one["record"])} for one in rows[::-1] if one["read"] is not None
    ]


def day(time: datetime) -> float:
    """Return where *time* lies on an axis."""
    return float(mdates.date2num(time))  # type: ignore[no-untyped-call]  # matplotlib left it so


def close(figures: Any) -> Any:
    return pytest.approx(figures, rel=1e-6, abs=1e-6)


def test_no_cell_warns(executed: Run) -> None:
    warned = [one.text for one in executed.outputs if one.get("name") == "stderr"]
    assert warned == []


def test_no_spark_and_no_suite_is_loaded(executed: Run) -> None:
    own = ["pyspark"] if "lake.spark()" in str(executed.notebook.cells) else []
    assert executed.heavy == own


def test_its_plots_are_images_with_something_on_them(executed: Run) -> None:
    found = [
        one.data["image/png"] for one in executed.outputs if "image/png" in one.get("data", {})
    ]
    assert len(found) == sum(map(len, executed.pictures.values()))
    for encoded in found:
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(encoded)), format="png")
        strongest, weakest = pixels[..., :3].max(axis=2), pixels[..., :3].min(axis=2)
        # Paper, axes and text are black, white and grey: only data has colours.
        assert (strongest - weakest > 0.3).mean() > 0.001


def test_each_picture_has_data_and_says_what_it_is(executed: Run) -> None:
    pictures = [one for several in executed.pictures.values() for one in several]
    assert pictures
    for one in pictures:
        assert one.title or one.axes[0].title
        assert one.axes[-1].xlabel
        for each in one.axes:
            assert each.ylabel or each.title
            assert any(each.series.values())


def test_the_numbers_of_the_tour_are_those_of_the_demo(
    run: Callable[[str], Run], demo: Demo
) -> None:
    tour = run("tour.ipynb")
    (printed,) = [one.text for one in tour.outputs if one.get("name") == "stdout"]
    said = {
        name: {
            "bronze": facts["bronze"],
            "current": facts["current"],
            "superseded": facts["superseded"],
            "quarantined": facts["quarantined"],
            "twice": facts["several"],
            "reasons": {one["reason"]: one["rows"] for one in facts["reasons"]},
            "version": facts["versions"][0]["version"],
        }
        for name, facts in demo.facts.items()
    }
    assert json.loads(printed) == said


def test_the_tour_draws_the_fates_of_the_demo(run: Callable[[str], Run], demo: Demo) -> None:
    (fates,), (refused,) = (run("tour.ipynb").pictures[name] for name in ("fates", "refused"))
    for fate in ("current", "superseded", "quarantined"):
        said = {name: facts[fate] for name, facts in demo.facts.items()}
        assert fates.axes[0].bars(fate) == said
    for one in refused.axes:
        reasons = demo.facts[one.title]["reasons"]
        assert one.bars("refused") == {each["reason"]: each["rows"] for each in reasons}


def test_quality_draws_the_shares_that_the_records_say(
    run: Callable[[str], Run], lake: Lake
) -> None:
    pictures = run("quality.ipynb").pictures["refused"]
    for entity, picture in zip(ENTITIES, pictures, strict=True):
        rows = [(one["read"], one["quarantined"], one["said"]) for one in records(lake, entity)]
        assert rows
        above, below = picture.axes
        shares = [100 * refused / max(n, 1) for n, refused, _ in rows]
        assert above.lengths("refused") == close(shares)
        reasons = [said["rows"]["reasons"] for _, _, said in rows]
        assert below.series == {
            name: close(
                [
                    100 * one.get(name, 0) / max(n, 1)
                    for one, (n, *_) in zip(reasons, rows, strict=True)
                ]
            )
            for name in set().union(*reasons)
        }


def test_quality_draws_the_verdicts_of_the_records(run: Callable[[str], Run], lake: Lake) -> None:
    pictures = run("quality.ipynb").pictures["expectations"]
    for entity, picture in zip(ENTITIES, pictures, strict=True):
        suites = [one["said"]["expectations"]["rules"] for one in records(lake, entity)]
        above, below = picture.axes
        for severity in ("critical", "warning", "info"):
            assert above.lengths(severity) == [
                sum(one["severity"] == severity and not one["success"] for one in rules.values())
                for rules in suites
            ]
        shares = {
            f"{name} ({one['severity']})": [
                100 * rules[name]["unexpected"] / max(rules[name]["judged"], 1) for rules in suites
            ]
            for name, one in suites[0].items()
        }
        unmet = {name: close(each) for name, each in shares.items() if any(each)}
        assert unmet
        assert below.series == unmet


def test_quality_draws_the_validations_that_there_are(run: Callable[[str], Run]) -> None:
    (picture,) = run("quality.ipynb").pictures["validations"]
    (drawn,) = picture.axes
    labels = {True: "holds", False: "does not hold", None: "not evaluated"}
    for success, label in labels.items():
        points = {(x, drawn.ticks[round(y)]) for x, y in drawn.series[label]}
        assert points == {
            (one["version"], f"{one['rule']} ({one['severity']})")
            for one in FOUND
            if one["success"] is success
        }


def test_time_travel_draws_the_rows_of_each_version(run: Callable[[str], Run], lake: Lake) -> None:
    pictures = run("time_travel.ipynb").pictures["versions"]
    for entity, picture in zip(ENTITIES, pictures, strict=True):
        silver = lake.silver(entity)
        above, below = picture.axes
        assert above.series["rows"] == [
            [version, len(silver.at(version=version).arrow())]
            for version in range(silver.version + 1)
        ]
        found = [silver.diff(v, v + 1).found for v in range(silver.version)]
        for kind in ("added", "changed", "touched", "removed"):
            assert below.lengths(kind) == [getattr(one, kind) for one in found]


def test_time_travel_draws_the_columns_that_differ(run: Callable[[str], Run], lake: Lake) -> None:
    (picture,) = run("time_travel.ipynb").pictures["columns"]
    (drawn,) = picture.axes
    entity, first, last = re.findall(r"silver\.(\w+): .* version (\d+) to (\d+)", drawn.title)[0]
    content = [one for one in lake.silver(entity).schema().columns if not one.name.startswith("_")]
    (key,) = (one.name for one in content if one.key)
    old, new = (
        {row[key]: row for row in lake.silver(entity).at(version=int(one)).arrow().to_pylist()}
        for one in (first, last)
    )
    differing = Counter(
        one.name
        for one in content
        for k in old.keys() & new
        if old[k][one.name] != new[k][one.name]
    )
    assert differing
    assert drawn.bars("rows") == {one.name: differing[one.name] for one in content if not one.key}


def test_time_travel_draws_the_life_of_a_key(run: Callable[[str], Run], lake: Lake) -> None:
    (picture,) = run("time_travel.ipynb").pictures["life"]
    entity, key = re.findall(r"(\w+) (\S+): its row", picture.title)[0]
    silver = lake.silver(entity)
    (name,) = (one.name for one in silver.schema().columns if one.key)
    rows = {
        version: row
        for version in range(1, silver.version + 1)
        for row in silver.at(version=version).arrow().to_pylist()
        if row[name] == key
    }
    *values, messages = picture.axes
    assert values
    for one in values:
        points = [close([version, row[one.title]]) for version, row in rows.items()]
        assert one.series[one.title] == points
    story = silver.trace(key, limit=10_000)
    assert len(story.told) == story.messages
    fates = Counter(
        (each.trace.taken.version, each.trace.fate) for each in story.told if each.trace.taken
    )
    drawn = {(x, fate): n for fate, points in messages.series.items() for x, n in points if n}
    assert drawn == fates


def test_quarantine_draws_what_the_desk_counts(run: Callable[[str], Run], lake: Lake) -> None:
    (picture,) = run("quarantine.ipynb").pictures["refused"]
    assert [one.title for one in picture.axes] == list(ENTITIES)
    for one in picture.axes:
        said = lake.quarantine(one.title).by_reason().arrow().to_pylist()
        assert one.bars("unsettled") == {each["reason"]: each["unsettled"] for each in said}
        assert one.bars("settled") == {
            each["reason"]: each["messages"] - each["unsettled"] for each in said
        }


def test_quarantine_draws_the_causes_and_whether_they_are_alone(
    run: Callable[[str], Run], lake: Lake
) -> None:
    for entity, picture in zip(ENTITIES, run("quarantine.ipynb").pictures["mend"], strict=True):
        alone: Counter[str] = Counter()
        beside: Counter[str] = Counter()
        for row in lake.quarantine(entity).arrow("reasons").to_pylist():
            for one in row["reasons"]:
                what = one["rule"] or one["column"]
                cause = f"{one['code']}: {what}" if what else one["code"]
                (alone if len(row["reasons"]) == 1 else beside)[cause] += 1
        (drawn,) = picture.axes
        shown = drawn.bars("no other cause")
        assert len(shown) == min(20, len(alone | beside))
        assert shown == {cause: alone[cause] for cause in shown}
        assert drawn.bars("others as well") == {cause: beside[cause] for cause in shown}
        left = [alone[cause] for cause in alone | beside if cause not in shown]
        assert min(shown.values()) >= max(left, default=0)


def test_quarantine_draws_each_refused_message_once_over_time(
    run: Callable[[str], Run], lake: Lake
) -> None:
    for entity, picture in zip(ENTITIES, run("quarantine.ipynb").pictures["times"], strict=True):
        rows = lake.quarantine(entity).arrow("reasons", "timestamp").to_pylist()
        (drawn,) = picture.axes
        number, unit = re.findall(r"every (\d+) (s|min)", drawn.title)[0]
        step = int(number) * (60 if unit == "min" else 1)
        counts: Counter[tuple[str, int]] = Counter()
        for row in rows:
            code = row["reasons"][0]["code"]
            name = code if code in drawn.series else "others"
            counts[name, int(row["timestamp"].timestamp() // step)] += 1
        # A bar is nine tenths of its interval, from the beginning on.
        assert {
            (name, round(x * 86_400 / step - 0.45)): n
            for name, points in drawn.series.items()
            for x, n in points
            if n
        } == counts
        assert sum(counts.values()) == len(rows)


def test_quarantine_draws_what_was_decided(run: Callable[[str], Run], lake: Lake) -> None:
    (drawn,) = run("quarantine.ipynb").pictures["statuses"][0].axes
    for entity in ENTITIES:
        said = lake.quarantine(entity).by_status().arrow().to_pylist()
        statuses = {one["status"]: one["messages"] for one in said}
        assert {s: drawn.bars(s)[entity] for s in drawn.series if drawn.bars(s)[entity]} == statuses


def test_spark_draws_the_rows_that_delta_rs_reads_of_each_version(
    run: Callable[[str], Run], lake: Lake
) -> None:
    (drawn,) = run("spark.ipynb").pictures["rows"][0].axes
    silver = lake.silver("matches")
    history = silver.history(None).arrow().to_pylist()
    versions = sorted(one["version"] for one in history if one["readable"])
    rows = [len(silver.at(version=one).arrow("_offset")) for one in versions]
    assert [round(place) for place, _ in drawn.series["rows"]] == versions
    assert drawn.lengths("rows") == rows
    assert max(rows) > 0


def taken(lake: Lake, entity: str) -> list[tuple[datetime, datetime, datetime]]:
    """Return when each message was sent, has landed and was taken, by the records' offsets."""
    at = {
        (one["partition"], offset): commit["at"]
        for commit in records(lake, entity)
        for one in commit["said"]["source"]["ranges"]
        for offset in range(one["min"], one["max"] + 1)
    }
    rows = lake.bronze(entity).arrow("timestamp", "_landed_at", "partition", "offset").to_pylist()
    return [
        (row["timestamp"], row["_landed_at"], at[row["partition"], row["offset"]]) for row in rows
    ]


def test_performance_draws_the_commits(run: Callable[[str], Run], lake: Lake) -> None:
    pictures = run("performance.ipynb").pictures["commits"]
    for entity, picture in zip(ENTITIES, pictures, strict=True):
        bronze = lake.bronze(entity).history(None).arrow().to_pylist()[::-1]
        silver = records(lake, entity)
        above, below = picture.axes
        assert above.lengths("bronze") == [
            one["rows_added"] for one in bronze if one["batch_id"] is not None
        ]
        assert above.lengths("silver") == [one["read"] for one in silver]
        seconds = [
            (one["at"] - datetime.fromisoformat(one["said"]["at"])).total_seconds()
            for one in silver
        ]
        assert min(seconds) > 0
        assert below.series["silver"] == [
            close([day(one["at"]), each]) for one, each in zip(silver, seconds, strict=True)
        ]


def test_performance_draws_the_lag(run: Callable[[str], Run], lake: Lake) -> None:
    pictures = run("performance.ipynb").pictures["backlog"]
    for entity, picture in zip(ENTITIES, pictures, strict=True):
        messages = taken(lake, entity)
        times = sorted({time for _, landed, took in messages for time in (landed, took)})
        landed = [sum(one <= time for _, one, _ in messages) for time in times]
        took = [sum(one <= time for *_, one in messages) for time in times]
        above, below = picture.axes
        assert above.lengths("landed") == landed
        assert above.lengths("taken") == took
        assert below.lengths("lag") == [a - b for a, b in zip(landed, took, strict=True)]
        assert [x for x, _ in below.series["lag"]] == close([day(one) for one in times])


def test_performance_draws_the_age_of_messages(run: Callable[[str], Run], lake: Lake) -> None:
    for entity, picture in zip(ENTITIES, run("performance.ipynb").pictures["ages"], strict=True):
        messages = taken(lake, entity)
        (drawn,) = picture.axes
        for name, share in (("half", 50), ("19 of 20", 95)):
            for layer, place in (("bronze", 1), ("silver", 2)):
                by_batch: dict[datetime, list[float]] = {}
                for one in messages:
                    by_batch.setdefault(one[2], []).append((one[place] - one[0]).total_seconds())
                expected = [np.percentile(by_batch[at], share) for at in sorted(by_batch)]
                assert drawn.lengths(f"{layer}, {name}") == close(expected)


def test_the_python_of_the_readme_runs(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "lake").symlink_to(demo.root)
    (tmp_path / "conf").symlink_to(CONF)
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, bool(done.stdout)) == (0, True), block + done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_a_notebook_in_git_holds_no_outputs(path: Path) -> None:
    notebook = read(path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[] for _ in cells]
    assert [cell.execution_count for cell in cells] == [None for _ in cells]


def test_there_are_notebooks() -> None:
    names = {one.id for one in NOTEBOOKS}
    assert names >= {f"{name}.ipynb" for name in SHIPPED}
