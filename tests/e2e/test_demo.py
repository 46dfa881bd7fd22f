"""The demo, as `make demo` runs it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.harness import Lakehouse, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Demo


def test_every_message_of_the_demo_has_one_fate(demo: Demo) -> None:
    assert sum(one["produced"] for one in demo.facts.values()) == 2000
    for one in demo.facts.values():
        assert one["balances"] is True
        assert one["produced"] == one["bronze"]
        assert one["bronze"] == one["current"] + one["superseded"] + one["quarantined"]
        assert min(one["current"], one["superseded"], one["quarantined"]) > 0
        counts = [reason["rows"] for reason in one["reasons"]]
        assert counts == sorted(counts, reverse=True)
        assert sum(counts) >= one["quarantined"]
        assert one["versions"][0]["operation"] == "MERGE"


def test_the_demo_leaves_no_process_and_no_folder_and_keeps_the_lake_it_was_given(
    demo: Demo,
) -> None:
    assert demo.leftovers == []
    assert (demo.root / "silver" / "matches" / "_delta_log").is_dir()


def test_the_demo_refuses_a_lake_that_is_not_empty(demo: Demo) -> None:
    again = Lakehouse(demo.root, "127.0.0.1:1").call("demo", "--messages", "10")
    assert (again.returncode, "[LAKE_NOT_EMPTY]" in again.stderr) == (2, True)


def test_a_demo_that_is_interrupted_ends_cleanly_and_blames_nothing(tmp_path: Path) -> None:
    product = Lakehouse(tmp_path / "lake", "127.0.0.1:1")
    job = product.begin("demo", "--messages", "2000")
    job.until(" s: produced ")
    assert job.stop(signal.SIGINT) == 0
    assert job.said("stopped before the end")
    eventually(lambda: not job.members(), "nothing is left running", 20)


@pytest.mark.parametrize(("option", "value"), [("--bad-rate", "2"), ("--messages", "0")])
def test_the_demo_refuses_dials_beyond_their_range(demo: Demo, option: str, value: str) -> None:
    assert Lakehouse(demo.root, "127.0.0.1:1").call("demo", option, value).returncode == 2
