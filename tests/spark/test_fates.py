"""The proof finds what is wrong: each fault is planted behind its back, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import entities
from lakehouse.errors import ExpectationError
from lakehouse.proof.account import account, demand
from lakehouse.proof.fates import Fate, fates, prove
from lakehouse.proof.judged import judge
from lakehouse.proof.view import view
from lakehouse.run import Run
from tests.conftest import CONF, settings_for
from tests.messages import behind_its_back, plant, rows, run_once

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from lakehouse.tables import Lake

# Offsets 0 to 5; their fates are in the first test.
MESSAGES: list[Any] = [
    {"match_id": "a", "ingestion_timestamp": 1},
    {"match_id": "a", "ingestion_timestamp": 2},
    "junk",
    {"match_id": "b"},
    {"match_id": "b", "ingestion_timestamp": 1},
    {"status": "live"},
]


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fates") / "lake"
    matches = entities.load(CONF / "entities" / "matches")
    plant(spark, Run(settings_for(root)).lake, matches, MESSAGES)
    run_once(spark, settings_for(root), [matches], "silver")
    return root


def test_each_message_has_its_fate(spark: SparkSession, matches: Entity, lake: Lake) -> None:
    seen = view(spark, matches.name, lake)
    found = {row["offset"]: row["fate"] for row in fates(seen, judge(seen)).collect()}
    expected = ["superseded", "current", "quarantined", "superseded", "current", "quarantined"]
    assert [found[offset] for offset in range(6)] == expected
    proof = prove(spark, matches, lake)
    assert (proof.holds, proof.bronze, proof.without_sequence) == (True, 6, 1)


def test_rows_that_silver_has_yet_to_read_are_unread_and_no_fault(
    spark: SparkSession, matches: Entity, lake: Lake
) -> None:
    plant(spark, lake, matches, [{"match_id": "c"}], first=6)
    proof = prove(spark, matches, lake)
    assert (proof.counts[Fate.UNREAD], proof.holds) == (1, True)


AGAIN = "INSERT INTO {table} SELECT * FROM {table} WHERE offset = "
FAULTS = [
    ("silver", "DELETE FROM {table} WHERE match_id = 'a'", "1 has no fate"),
    ("bronze", "DELETE FROM {table} WHERE offset = 2", "2 is not in bronze"),
    ("bronze", AGAIN + "0", "0 has several fates"),
    ("quarantine", AGAIN + "2", "2 has several fates"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("layer", "sql", "fault"), FAULTS, ids=[f"{a} {b[:6]}" for a, b, _ in FAULTS]
)
def test_a_planted_fault_is_found_and_named(
    spark: SparkSession, matches: Entity, lake: Lake, layer: str, sql: str, fault: str
) -> None:
    behind_its_back(spark, lake, layer, sql)
    proof = prove(spark, matches, lake)
    assert not proof.holds
    assert f"{matches.topic}:0:{fault}" in proof.faults


def test_the_account_of_the_demo_fails_when_a_row_is_removed_behind_its_back(
    spark: SparkSession, matches: Entity, lake: Lake
) -> None:
    produced = [(0, offset) for offset in range(6)]
    demand([account(spark, matches, lake, produced)])
    behind_its_back(spark, lake, "silver", "DELETE FROM {table} WHERE match_id = 'b'")
    with pytest.raises(ExpectationError) as found:
        demand([account(spark, matches, lake, produced)])
    assert found.value.code == "NOT_PROVEN"
    assert f"{matches.topic}:0:4 has no fate" in str(found.value.params["differences"])


@pytest.mark.parametrize(
    ("produced", "missing", "unknown"), [(range(5), 0, 1), ([*range(5), 9], 1, 1)]
)
def test_the_account_joins_what_was_produced_by_position(
    spark: SparkSession, matches: Entity, lake: Lake, produced: Any, missing: int, unknown: int
) -> None:
    found = account(spark, matches, lake, [(0, offset) for offset in produced])
    assert (found.missing, found.unknown, found.balances) == (missing, unknown, False)


def test_batches_are_judged_by_the_rules_they_were_judged_by(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    stricter = matches.model_copy(
        update={
            "contents": {**matches.contents, "entity.toml": TIGHT + matches.contents["entity.toml"]}
        }
    )
    assert stricter.fingerprint != matches.fingerprint
    plant(spark, lake, matches, [{"match_id": "a", "ingestion_timestamp": 0}], first=6)
    run_once(spark, config, [stricter], "silver")
    assert {row["_rules"] for row in rows(spark, lake, "silver", "matches")} == {
        matches.fingerprint
    }
    assert prove(spark, stricter, lake).holds


TIGHT = "# a comment is content too\n"
