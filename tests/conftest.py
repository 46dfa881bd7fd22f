"""What every test may ask for. No test sees the caller's settings; one session serves all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from lakehouse import config as settings
from lakehouse import entities
from lakehouse.audit import suites

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config

ROOT = Path(__file__).parent.parent
CONF = ROOT / "conf"
CORPORA = ROOT.parent / "shared" / "corpora"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LAKEHOUSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The shipped settings, with a lake of the test's own."""
    return settings_for(tmp_path / "lake")


@pytest.fixture
def matches(request: pytest.FixtureRequest) -> Entity:
    """The shipped entity; without its suite where the module is marked so."""
    if request.node.get_closest_marker("unruled"):
        return unruled("matches")
    return entities.load(CONF / "entities" / "matches")


def unruled(name: str) -> Entity:
    """Return a shipped entity without its suite, which costs each batch and each proof seconds."""
    shipped = entities.load(CONF / "entities" / name)
    contents = {file: text for file, text in shipped.contents.items() if file != suites.FILE}
    return entities.from_contents(name, contents, shipped.source)


@pytest.fixture
def players() -> Entity:
    return entities.load(CONF / "entities" / "players")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one session of the run, made as the product makes it."""
    from lakehouse import session

    own = settings_for(tmp_path_factory.mktemp("spark") / "lake")
    started = session.start(own, log=tmp_path_factory.getbasetemp() / "spark.log")
    yield started
    session.stop(started)


# For a process that lives for seconds the JVM's second compiler only costs.
SHORT_LIVED = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1"}


@dataclass(frozen=True)
class Demo:
    """What a run of the demo left and said."""

    root: Path
    facts: dict[str, Any]
    leftovers: list[str]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, run once as its users run it, with a lake that they named."""
    home = tmp_path_factory.mktemp("demo")
    (scratch := home / "scratch").mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAKEHOUSE_")}
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse", "demo", "--messages", "2000", "--json"],
        cwd=ROOT,
        env={
            **clean,
            **SHORT_LIVED,
            "LAKEHOUSE__LAKE__ROOT": str(home / "lake"),
            "TMPDIR": str(scratch),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left = [path.name for path in scratch.iterdir() if "lakehouse" in path.name]
    left += [
        " ".join(one.info["cmdline"])
        for one in psutil.process_iter(["cmdline", "environ"])
        if str(scratch) in str(one.info["environ"])
    ]
    return Demo(home / "lake", json.loads(done.stdout)["entities"], left)


def settings_for(root: Path) -> Config:
    """Return the shipped settings with a lake at *root* and two shuffle partitions."""
    loaded = settings.load(CONF)
    lake = loaded.lake.model_copy(update={"root": str(root)})
    spark = loaded.spark.model_copy(update={"master": "local[2]", "shuffle_partitions": 2})
    return loaded.model_copy(update={"lake": lake, "spark": spark})


def corpus(name: str) -> Path:
    """Return the file *name* of the corpora of bad input, or skip where they are not at hand."""
    path = CORPORA / name
    if not path.exists():
        pytest.skip(f"the corpus {name} is not beside this checkout (../shared/corpora)")
    return path
