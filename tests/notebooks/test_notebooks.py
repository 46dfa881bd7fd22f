"""Notebooks, and the README's Python, run against a lake of the demo and say what the demo said."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import matplotlib.image
import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import CONF, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from nbformat import NotebookNode

    from tests.conftest import Demo

FOLDER = ROOT / "notebooks"


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


@pytest.fixture(scope="module", params=NOTEBOOKS)
def executed(
    request: pytest.FixtureRequest,
    demo: Demo,
    tmp_path_factory: pytest.TempPathFactory,
) -> NotebookNode:
    """The notebook, run to its end; a cell that raises fails the test with its trace."""
    home = str(tmp_path_factory.mktemp("home"))
    notebook = read(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEHOUSE_DEMO", str(demo.root))
        # What a kernel keeps of itself stays out of the home of whoever runs the tests.
        for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(variable, home)
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook


def read(path: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat left it untyped
    return notebook


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]


def test_no_cell_warns(executed: NotebookNode) -> None:
    warned = [one.text for one in outputs(executed) if one.get("name") == "stderr"]
    assert warned == []


def test_its_plots_are_images_with_something_on_them(executed: NotebookNode) -> None:
    found = [
        one.data["image/png"] for one in outputs(executed) if "image/png" in one.get("data", {})
    ]
    assert found
    for encoded in found:
        pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(encoded)), format="png")
        strongest, weakest = pixels[..., :3].max(axis=2), pixels[..., :3].min(axis=2)
        # Paper, axes and text are black, white and grey: only data has colours.
        assert (strongest - weakest > 0.3).mean() > 0.001


def test_its_numbers_are_those_of_the_demo(executed: NotebookNode, demo: Demo) -> None:
    (printed,) = [one.text for one in outputs(executed) if one.get("name") == "stdout"]
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


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS
