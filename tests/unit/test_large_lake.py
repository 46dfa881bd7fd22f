"""A million messages and ten thousand versions: answers are right, and start no Java.

How long they take is measured by `make bench`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests import large
from tests.conftest import CONF, ROOT
from tests.large import BATCH, KEYS, MESSAGES, position, taken_in

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("large")
    large.plant(root)
    return root


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A Java that leaves a mark when it is started."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    java.chmod(0o755)
    return tmp_path


def answered(lake: Path, trap: Path, *arguments: str) -> dict[str, Any]:
    """Return what a command says, which it does without Java."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAKEHOUSE_")}
    own = {
        "LAKEHOUSE__LAKE__ROOT": str(lake),
        "JAVA_HOME": str(trap),
        "PATH": f"{trap / 'bin'}:{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "lakehouse", "--conf", str(CONF), *arguments, "--json"]
    done = subprocess.run(
        command, cwd=ROOT, env={**clean, **own}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (trap / "started").exists()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_trap_would_tell(trap: Path) -> None:
    subprocess.run([trap / "bin" / "java"], check=True)
    assert (trap / "started").exists()


def test_the_lake_is_as_large_as_it_says(lake: Path, trap: Path) -> None:
    assert MESSAGES > 1_000_000
    assert large.HEAD > 10_000
    newest = answered(lake, trap, "trace", position(MESSAGES - 1))["traces"][0]
    assert newest["silver"]["version"] == newest["bronze"]["version"] == large.HEAD


# A first message of all, one in the middle, and one whose commit is only in the log.
@pytest.mark.parametrize("number", [5, 500_012, MESSAGES - 3])
def test_a_position_is_traced(lake: Path, trap: Path, number: int) -> None:
    (one,) = answered(lake, trap, "trace", position(number))["traces"]

    last = max(n for n in range(number, MESSAGES, KEYS) if n % BATCH not in large.REFUSED)
    assert one["fate"] == ("current" if number == last else "superseded")
    assert one["key"] == {"match_id": f"m{number % KEYS}"}
    assert one["bronze"]["version"] == one["silver"]["version"] == taken_in(number)
    assert one["row"]["position"]["offset"] == last // large.PARTITIONS
    assert one["row"]["batch"]["version"] == taken_in(last)


def test_a_refused_position_is_traced(lake: Path, trap: Path) -> None:
    (one,) = answered(lake, trap, "trace", position(600 * BATCH + 7))["traces"]

    assert (one["fate"], one["silver"]["version"]) == ("quarantined", taken_in(600 * BATCH))


def test_a_position_that_is_not_there_is_answered(lake: Path, trap: Path) -> None:
    (one,) = answered(lake, trap, "trace", position(MESSAGES))["absent"]

    assert (one["why"], one["newest"]) == ("after", MESSAGES // large.PARTITIONS - 1)


def test_a_key_is_traced(lake: Path, trap: Path) -> None:
    found = answered(lake, trap, "trace", "matches", "m12")

    numbers = list(range(12, MESSAGES, KEYS))
    assert found["messages"] == len(numbers)
    traced = {one["position"]["offset"]: one["silver"]["version"] for one in found["traces"]}
    assert traced == {n // large.PARTITIONS: taken_in(n) for n in numbers}


@pytest.mark.parametrize(
    "filters",
    [[], ["--reason", "wrong_type", "--status", "open", "--page", "3"]],
    ids=["all", "some"],
)
def test_refused_messages_are_listed(lake: Path, trap: Path, filters: list[str]) -> None:
    found = answered(lake, trap, "quarantine", "ls", *filters)

    assert found["total"] == MESSAGES // BATCH * len(large.REFUSED)
    assert len(found["messages"]) == 20
