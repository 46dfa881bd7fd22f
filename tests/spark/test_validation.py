"""Expectations of a whole table, run by Great Expectations on one version of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from lakehouse.audit import validation
from lakehouse.cli import lakehouse
from lakehouse.entities import from_contents
from lakehouse.errors import ExpectationError, TableError
from lakehouse.run import Run
from lakehouse.turns import Turn
from lakehouse.upkeep import Upkeep
from tests.conftest import CONF
from tests.messages import plant, run_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config

DURATIONS = [{"match_id": str(i), "match_duration": 1800 + i} for i in range(4)]


def with_rules(entity: Entity, *rules: dict[str, Any]) -> Entity:
    suite = json.dumps({"name": "own", "expectations": list(rules)})
    return from_contents(
        entity.name, {**entity.contents, "expectations.json": suite}, entity.source
    )


def rule(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "severity": severity, "kwargs": kwargs, "meta": {"name": kind}}


def held(spark: SparkSession) -> int:
    """Return how many frames are cached, beside what Delta keeps of the versions it has read."""
    cached = spark.sparkContext._jsc.getPersistentRDDs().values()
    return sum("Delta Table State" not in str(one.name()) for one in cached)


def test_each_version_is_judged_by_itself_and_nothing_is_left_behind(
    spark: SparkSession, config: Config, matches: Entity, tmp_path: Path
) -> None:
    lake = Run(config).lake
    silver = lake.table("silver", "matches")
    for number in range(2):
        plant(spark, lake, matches, DURATIONS[2 * number : 2 * number + 2], 2 * number)
        run_once(spark, config, [matches], "silver")
    sql = "SELECT count(*) AS n FROM {batch} HAVING count(*) > 3"
    of = with_rules(
        matches,
        rule("expect_table_row_count_to_equal", value=2),
        rule(
            "expect_column_mean_to_be_between", "warning", column="match_duration", max_value=1801
        ),
        rule("unexpected_rows_expectation", "info", unexpected_rows_query=sql),
        rule("expect_column_values_to_be_unique", column="match_id"),
    )
    views, cached = spark.catalog.listTables(), held(spark)
    first = validation.validate(spark, of, silver, 1)
    second = validation.validate(spark, of, silver, 2, tmp_path / "docs")
    assert (first.table, first.version, first.suite) == ("silver.matches", 1, of.suite)
    assert [f.success for f in first.findings] == [True, True, True, True]
    failed = [f.rule for f in second.failed("critical", "warning", "info")]
    assert failed == [
        "expect_table_row_count_to_equal",
        "expect_column_mean_to_be_between",
        "unexpected_rows_expectation",
    ]
    assert [f.observed for f in second.findings][:2] == ["4", "1801.5"]
    assert (tmp_path / "docs" / "index.html").exists()
    assert spark.catalog.listTables() == views
    assert held(spark) == cached


def test_what_gx_cannot_evaluate_is_an_error_and_no_failure(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    lake = Run(config).lake
    plant(spark, lake, matches, DURATIONS)
    run_once(spark, config, [matches], "silver")
    of = with_rules(
        matches,
        rule("unexpected_rows_expectation", unexpected_rows_query="SELECT nothing FROM {batch}"),
    )
    found = validation.validate(spark, of, lake.table("silver", "matches"), 1)
    assert found.failed("critical") == []
    (errored,) = found.errors
    assert "nothing" in str(errored.error)


def test_a_version_that_is_gone_names_those_that_can_be_read(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    lake = Run(config).lake
    plant(spark, lake, matches, DURATIONS)
    silver = lake.table("bronze", "matches")
    with pytest.raises(TableError) as found:
        silver.readable(spark, 7)
    assert found.value.code == "VERSION_GONE"
    assert (found.value.params["oldest"], found.value.params["newest"]) == ("0", 1)


@pytest.fixture
def command(
    spark: SparkSession, config: Config, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run a command in this process, on the session of the tests and the test's own lake."""
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", config.lake.root)
    monkeypatch.setattr("lakehouse.session.start", lambda _: spark)
    monkeypatch.setattr("lakehouse.session.stop", lambda _: None)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(lakehouse, ["--conf", str(CONF), *arguments])

    return run


def test_the_command_shows_both_kinds_of_results_and_its_code_goes_by_severity(
    spark: SparkSession,
    config: Config,
    matches: Entity,
    command: Callable[..., Result],
    tmp_path: Path,
) -> None:
    lake = Run(config).lake
    values: list[Any] = [
        {"match_id": "a", "match_duration": 10, "status": "odd"},
        {"match_id": "b"},
    ]
    plant(spark, lake, matches, values)
    run_once(spark, config, [matches], "silver")
    shown = command("validate", "silver.matches", "--version", "1", "--json")
    assert shown.exit_code == 0, shown.output
    facts = json.loads(shown.stdout)["silver.matches"]
    assert facts["suite"] == matches.suite
    told = {one["rule"]: one["success"] for one in facts["table_expectations"]}
    assert told == {
        "match_id_unique": True,
        "not_empty": True,
        "mean_duration": False,
        "fresh": True,
    }
    assert facts["row_expectations"]["status_is_known"]["unexpected"] == 1

    # Of all that there is: players have not begun.
    strict = command("validate", "--fail-on", "info", "--docs", str(tmp_path))
    assert isinstance(strict.exception, ExpectationError)
    assert strict.exception.code == "EXPECTATIONS_FAILED"
    assert "mean_duration (info)" in strict.exception.message.why
    assert "info     FAILED mean_duration: 10.0" in strict.output
    assert (tmp_path / "silver.matches" / "index.html").exists()
    gone = command("validate", "silver.matches", "--version", "9")
    assert isinstance(gone.exception, TableError)


def test_the_owner_checks_after_its_batches_keeps_what_was_found_and_raises_an_alarm(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    every = config.validation.model_copy(update={"every_batches": 2})
    run = Run(config.model_copy(update={"validation": every}))
    silver = run.lake.table("silver", "matches")
    plant(spark, run.lake, matches, DURATIONS)
    run_once(spark, config, [matches], "silver")
    of = with_rules(matches, rule("expect_table_row_count_to_equal", value=5))
    upkeep = Upkeep(spark, run, of, [silver])
    alarms = config.state_dir / "silver.matches" / "alarms.json"
    upkeep.after(1, Turn())
    assert upkeep.running is None
    upkeep.after(2, Turn())
    assert upkeep.running is not None
    upkeep.running.result(60)
    assert "EXPECTATION_FAILED: expect_table_row_count_to_equal" in json.loads(alarms.read_text())

    plant(spark, run.lake, matches, [{"match_id": "fifth"}], 4)
    run_once(spark, config, [matches], "silver")
    upkeep.after(4, Turn())
    upkeep.running.result(60)
    assert json.loads(alarms.read_text()) == {}
    kept = validation.validations(run.lake, silver.name).read(spark).orderBy("version").collect()
    assert [(row["version"], row["success"], row["observed"]) for row in kept] == [
        (1, False, "4"),
        (2, True, "5"),
    ]
