"""Small files are put together, and nothing else about a table changes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from lakehouse import compaction
from lakehouse.audit.records import USER_METADATA, records
from lakehouse.run import Run
from lakehouse.turns import Turn
from lakehouse.upkeep import Upkeep
from tests.messages import plant, proven, rows, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from lakehouse.tables import Lake
    from tests.messages import Value

pytestmark = pytest.mark.unruled
LAYERS = ("bronze", "silver", "quarantine")


def files(spark: SparkSession, lake: Lake, layer: str) -> int:
    return len(lake.table(layer, "matches").read(spark).inputFiles())


@pytest.fixture
def lake(spark: SparkSession, config: Config, matches: Entity) -> Lake:
    """A lake of two batches, each with two valid rows of new keys and a corrupt one."""
    lake = Run(config).lake
    for number in range(2):
        values: list[Value] = [{"match_id": str(number)}, {"match_id": f"m{number}"}, "junk"]
        plant(spark, lake, matches, values, 3 * number)
        run_once(spark, config, [matches], "silver")
    return lake


def test_fewer_files_hold_the_same_rows_and_the_proof_still_holds(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    for layer in LAYERS:
        table = lake.table(layer, "matches")
        before, many = rows(spark, lake, layer, "matches"), files(spark, lake, layer)
        assert many > 1
        assert compaction.compact(spark, table, "run") == many
        assert files(spark, lake, layer) == 1
        assert sorted(map(str, rows(spark, lake, layer, "matches"))) == sorted(map(str, before))
        version, record = records(spark, table)[-1]
        assert (version, record["verb"], record["run_id"]) == (
            table.version(spark),
            "optimize",
            "run",
        )
        assert compaction.compact(spark, table, "run") == 0
        assert table.version(spark) == version
    assert spark.conf.get(USER_METADATA, None) is None
    assert proven(spark, matches, lake).bronze == 6
    plant(spark, lake, matches, [{"match_id": "later"}], 6)
    run_once(spark, config, [matches], "silver")
    assert proven(spark, matches, lake).bronze == 7


def test_a_file_that_has_grown_is_not_written_again(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = lake.table("silver", "matches")
    monkeypatch.setattr(compaction, "SMALL", 1)
    assert compaction.compact(spark, table, "run") == 0


def test_the_owner_compacts_after_so_many_batches_and_in_its_turn_only(
    spark: SparkSession,
    config: Config,
    matches: Entity,
    lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compaction, "COMPACT_AFTER", 2)
    written = [lake.table(layer, "matches") for layer in ("silver", "quarantine")]
    upkeep, turn = Upkeep(spark, Run(config), matches, written), Turn()
    upkeep.after(1, turn)
    assert files(spark, lake, "silver") > 1
    with turn.lock:  # a batch is at work
        waiting = threading.Thread(target=upkeep.after, args=(2, turn))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert files(spark, lake, "silver") > 1
    waiting.join(60)
    upkeep.close()
    assert [files(spark, lake, layer) for layer in ("silver", "quarantine")] == [1, 1]


def test_runs_of_few_batches_compact_once_there_are_many_small_files(
    spark: SparkSession,
    config: Config,
    matches: Entity,
    lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(spark, lake, matches, [{"match_id": "new"}], 6)
    many = files(spark, lake, "silver")
    monkeypatch.setattr(compaction, "COMPACT_AFTER", many + 2)
    run_once(spark, config, [matches], "silver")
    assert files(spark, lake, "silver") == many + 1  # as many batches, fewer files
    plant(spark, lake, matches, [{"match_id": "newer"}], 7)
    run_once(spark, config, [matches], "silver")
    assert files(spark, lake, "silver") == 1
    assert proven(spark, matches, lake).bronze == 8


def test_a_compaction_that_fails_is_told_and_ends_no_stream(
    spark: SparkSession,
    config: Config,
    matches: Entity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(compaction, "compact", fail)
    run = Run(config)
    upkeep = Upkeep(spark, run, matches, [run.lake.table("quarantine", "matches")])
    with capture_logs() as said:
        upkeep.after(compaction.COMPACT_AFTER, Turn())
    assert [line["event"] for line in said] == ["Small files could not be put together"]
