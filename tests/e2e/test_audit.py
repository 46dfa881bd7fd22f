"""The audit trail from the command line, over what real streams left."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

from click.testing import CliRunner

from lakehouse import entities
from lakehouse.cli import lakehouse as commands
from lakehouse.run import Run
from tests.conftest import CONF, settings_for
from tests.e2e.harness import Lakehouse
from tests.messages import proven

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from pyspark.sql import SparkSession

    from tests.conftest import Demo


def test_what_the_demo_leaves_is_verified(demo: Demo, spark: SparkSession) -> None:
    matches = entities.load(CONF / "entities" / "matches")  # players: in the next test but one
    found = proven(spark, matches, Run(settings_for(demo.root)).lake)
    assert found.bronze == demo.facts["matches"]["produced"]


def test_each_commit_is_a_line_and_a_version_tells_all_without_spark(demo: Demo) -> None:
    product = Lakehouse(demo.root, "127.0.0.1:1")
    lines = product.call("audit", "log", "silver.matches").stdout.splitlines()
    assert lines[0] == "silver.matches"
    assert all("MERGE" in line and " met " in line for line in lines[1:-1])
    assert "CREATE TABLE" in lines[-1]
    shown = product.call("audit", "log", "silver.matches", "--version", "1", "--json")
    facts = json.loads(shown.stdout)
    rules = facts["record"]["expectations"]["rules"]
    assert facts["record"]["rows"]["read"] == sum(one["count"] for one in facts["positions"])
    assert {one["severity"] for one in rules.values()} == {"critical", "warning", "info"}
    plain = product.call("audit", "log", "silver.matches", "--version", "1").stdout
    for code, rows in facts["record"]["rows"]["reasons"].items():
        assert f"  {rows} refused as {code}\n" in plain
    every = json.loads(product.call("audit", "log", "--json").stdout)
    assert set(every) == {
        f"{layer}.{name}"
        for layer in ("bronze", "silver", "quarantine")
        for name in ("matches", "players")
    }


def test_verify_ends_with_0_where_all_holds_and_with_1_and_the_differences_where_not(
    demo: Demo, tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(demo.root, tmp_path / "lake")
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path / "lake"))
    monkeypatch.setattr("lakehouse.session.start", lambda _: spark)
    monkeypatch.setattr("lakehouse.session.stop", lambda _: None)
    shutil.rmtree(tmp_path / "lake" / "bronze" / "matches")  # a sample that never ran
    verify = ["--conf", str(CONF), "audit", "verify"]
    good = CliRunner().invoke(commands, verify)
    assert good.exit_code == 0, good.output
    assert f"{demo.facts['players']['produced']} in bronze = 60 current + " in good.stdout
    assert "matches: nothing has landed yet" in good.stdout
    assert re.search(r"verified in [\d.]+ s; the streams took [\d.]+ s, [\d.]+ of it", good.stdout)

    path = tmp_path / "lake" / "silver" / "players"
    changed = f"UPDATE delta.`{path}` SET total_wins = 100000 WHERE player_id = 'player-0001'"
    spark.sql(changed)
    bad = CliRunner().invoke(commands, [*verify, "--json"])
    assert bad.exit_code == 1
    (found,) = json.loads(bad.stdout)["entities"].values()
    assert any(
        one.startswith("silver.players: the row of esports-players:")
        and one.endswith("is not its message's in total_wins")
        for one in found["differences"]
    )


def test_verify_without_tables_says_so(tmp_path: Path) -> None:
    done = Lakehouse(tmp_path / "lake", "127.0.0.1:1").call("audit", "verify")
    assert (done.returncode, "[TABLE_MISSING]" in done.stderr) == (4, True)
    done = Lakehouse(tmp_path / "lake", "127.0.0.1:1").call("audit", "log", "silver.matches")
    assert (done.returncode, "[TABLE_MISSING]" in done.stderr) == (4, True)
    done = Lakehouse(tmp_path / "lake", "127.0.0.1:1").call("audit", "log", "silver.match")
    assert (done.returncode, "there are bronze.matches" in done.stderr) == (2, True)
