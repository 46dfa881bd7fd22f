"""The audit trail outlives the log of the table that it tells of."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lakehouse.audit import commits, trail
from lakehouse.reading import trail as reading
from lakehouse.run import Run
from tests.messages import outlived, plant, proven, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config

pytestmark = pytest.mark.unruled
LAYERS = ("bronze", "silver", "quarantine")


def test_a_commit_is_told_after_deltas_cleanup_has_removed_it(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    lake = Run(config).lake
    for number in range(3):
        plant(spark, lake, matches, [{"match_id": str(number)}, "junk"], 2 * number)
        run_once(spark, config, [matches], "silver")
    for layer in LAYERS:
        trail.fold(spark, lake.table(layer, "matches"), lake)
    whole = {layer: trail.trail(spark, lake.table(layer, "matches"), lake) for layer in LAYERS}

    for layer in LAYERS:
        table = lake.table(layer, "matches")
        outlived(spark, table.path)
        assert not Path(table.path, "_delta_log", f"{0:020d}.json").exists(), layer
        assert trail.trail(spark, table, lake) == whole[layer]
        assert reading.trail(config.lake, table.name) == whole[layer]

    proof = proven(spark, matches, lake)
    assert (proof.holds, proof.bronze) == (True, 6)
    plant(spark, lake, matches, [{"match_id": "later"}], 6)
    run_once(spark, config, [matches], "silver")
    assert proven(spark, matches, lake).bronze == 7


def test_folding_again_adds_nothing_and_only_new_commits_are_folded(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    lake = Run(config).lake
    table = lake.table("bronze", "matches")
    plant(spark, lake, matches, [{"match_id": "a"}])
    assert trail.fold(spark, table, lake) == 2
    assert trail.fold(spark, table, lake) == 0
    plant(spark, lake, matches, [{"match_id": "b"}], 1)
    assert trail.fold(spark, table, lake) == 1
    assert [one.version for one in trail.folded(spark, table, lake)] == [0, 1, 2]


def test_a_start_folds_what_is_much_or_old(
    spark: SparkSession, config: Config, matches: Entity, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Run(config).lake
    table = lake.table("bronze", "matches")
    for offset in range(2):
        plant(spark, lake, matches, [{"match_id": "a"}], offset)
    assert trail.catch_up(spark, table, lake) == 0
    with monkeypatch.context() as much:
        much.setattr(trail, "FOLD_AFTER", 3)
        assert trail.catch_up(spark, table, lake) == 3
    plant(spark, lake, matches, [{"match_id": "a"}], 2)
    assert trail.catch_up(spark, table, lake) == 0
    monkeypatch.setattr(trail, "FOLD_EVERY", timedelta(0))
    assert trail.catch_up(spark, table, lake) == 1


def test_a_commit_is_read_whatever_ends_of_line_its_texts_hold() -> None:
    info = {"commitInfo": {"timestamp": 1, "operation": "WRITE", "operationMetrics": {}}}
    add = {
        "add": {"dataChange": True, "stats": json.dumps({"numRecords": 2}), "path": "a\u2028b\x85"}
    }
    text = "\n".join(json.dumps(one, ensure_ascii=False) for one in (info, add)) + "\n"
    assert commits.read(text, 7).rows_added == 2
