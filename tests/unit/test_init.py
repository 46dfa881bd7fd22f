"""A new project is whole, sound, and never at the cost of what was there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from hatchling.builders.wheel import WheelBuilder

from lakehouse import config, entities, project
from lakehouse.cli import lakehouse
from lakehouse.errors import ConfigError
from tests.conftest import CONF, ROOT

if TYPE_CHECKING:
    from pathlib import Path

NOTEBOOKS = ("quality", "time_travel", "quarantine", "performance")
# As a disk that is full after so many bytes: what comes beyond is refused with an OSError.
FULL_AFTER = """
import resource, sys
from pathlib import Path
from lakehouse import project
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
project.make(Path(sys.argv[1]))
"""
# As a kill at the moment when so many files are there.
KILLED_AFTER = """
import os, sys
from pathlib import Path
from lakehouse import project
create, left = project._create, list(range(int(sys.argv[2])))
def killed(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    return create(path, content) if left and left.pop() >= 0 else os._exit(9)
project._create = killed
project.make(Path(sys.argv[1]))
"""


def init(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(lakehouse, ["init", str(folder), *options])


def content(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below *folder*, by its name there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def shipped() -> dict[str, bytes]:
    """Return what the checkout has for a project, by name: what git knows of the two folders."""
    named = subprocess.run(
        ["git", "ls-files", "conf", "notebooks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return {name: (ROOT / name).read_bytes() for name in named}


def test_a_new_project_holds_all_that_is_shipped(tmp_path: Path) -> None:
    result = init(tmp_path / "new")

    assert result.exit_code == 0
    made = content(tmp_path / "new")
    assert made.pop(".gitignore").startswith(b"/lake/\n")
    assert made == shipped()
    assert {"conf/lakehouse.toml", "conf/env/prod.toml", "notebooks/tour.ipynb"} < set(made)
    assert {f"notebooks/{name}.ipynb" for name in NOTEBOOKS} < set(made)


def test_a_new_project_is_configured_soundly_in_each_environment(tmp_path: Path) -> None:
    init(tmp_path)

    for env in (None, "local", "prod"):
        assert config.load(tmp_path / "conf", env).lake.root == "lake"
    made = {one.name: one.fingerprint for one in entities.load_all(tmp_path / "conf")}
    assert made == {one.name: one.fingerprint for one in entities.load_all(CONF)}


def test_what_is_there_is_left_alone_and_named(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "lakehouse.toml").write_text("mine")
    (tmp_path / ".gitignore").symlink_to(tmp_path / "elsewhere")

    result = init(tmp_path)

    assert result.exit_code == 0
    assert (tmp_path / "conf" / "lakehouse.toml").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "conf" / "env" / "prod.toml").exists()
    named = [line.split()[-1] for line in result.stdout.splitlines() if "as it was  " in line]
    assert named == [".gitignore", "conf/lakehouse.toml"]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    init(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    result = init(tmp_path, "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["written"] == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_no_sample_joins_entities_that_are_there(tmp_path: Path) -> None:
    own = tmp_path / "conf" / "entities" / "matches"
    own.mkdir(parents=True)
    (own / "entity.toml").write_text("mine")

    facts = json.loads(init(tmp_path, "--json").stdout)

    assert content(tmp_path / "conf" / "entities") == {"matches/entity.toml": b"mine"}
    assert "conf/entities" in facts["left_alone"]
    assert facts["folder"] == str(tmp_path)


def test_a_folder_that_cannot_be_one_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    result = init(tmp_path / "file")

    assert isinstance(result.exception, ConfigError)
    assert (result.exception.code, result.exception.exit_code) == ("FOLDER_UNWRITABLE", 2)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("limit", [200, 5000])
def test_a_full_disk_leaves_no_file_by_half(tmp_path: Path, limit: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_AFTER, str(tmp_path), str(limit)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "FOLDER_UNWRITABLE" in done.stderr
    whole = shipped() | {".gitignore": project.IGNORED.encode()}
    made = content(tmp_path)
    assert made
    assert made.items() < whole.items()


@pytest.mark.parametrize("files", [0, 3, 8, 10, 12, 14])
def test_a_project_that_was_begun_and_killed_is_made_whole(tmp_path: Path, files: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER, str(tmp_path), str(files)], cwd=ROOT, check=False
    )
    assert done.returncode == 9

    project.make(tmp_path)

    made = {name: text for name, text in content(tmp_path).items() if "/.entities-" not in name}
    assert made == shipped() | {".gitignore": project.IGNORED.encode()}


def test_a_folder_without_a_file_is_no_entity(tmp_path: Path) -> None:
    (tmp_path / "conf" / "entities" / "matches").mkdir(parents=True)

    facts = json.loads(init(tmp_path, "--json").stdout)

    assert facts["left_alone"] == []
    assert content(tmp_path).keys() == {*shipped(), ".gitignore"}


def test_an_installed_wheel_makes_the_same_project(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    subprocess.run(
        [sys.executable, "-m", "lakehouse", "init", "new"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        check=True,
    )

    project.make(tmp_path / "from-checkout")
    assert content(tmp_path / "new") == content(tmp_path / "from-checkout")
    assert not (tmp_path / "site" / "conf").exists()
    assert (tmp_path / "site" / "lakehouse" / "plots.mplstyle").exists()  # what they draw with
