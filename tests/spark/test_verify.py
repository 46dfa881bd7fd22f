"""Whatever is changed behind the product's back, `audit verify` finds it and says what it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import entities
from lakehouse.audit import trail
from lakehouse.entities import from_contents
from lakehouse.proof.fates import Fate
from lakehouse.proof.verify import Verification, verify
from lakehouse.run import Run
from tests.conftest import CONF, settings_for
from tests.messages import behind_its_back, plant, run_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from lakehouse.tables import Lake

# Each is a batch: offsets 0 to 5, 6 to 9, 10 to 11, 12 to 13.
BATCHES: list[list[Any]] = [
    [
        {"match_id": "a", "ingestion_timestamp": 1, "team_1_kills": 3},
        {"match_id": "a", "ingestion_timestamp": 2, "team_1_kills": 4},
        "junk",
        {"match_id": "b"},
        {"match_id": "b", "ingestion_timestamp": 1, "team_1_towers": 11},
        {"status": "live"},
    ],
    [
        {"match_id": "c", "team_1_towers": 12},
        {"match_id": "a", "ingestion_timestamp": 3},
        {"match_id": "d", "status": "nowhere"},
        {"match_id": "e", "started_at": "2026-01-31T11:00", "finished_at": "2026-01-31T10:00"},
    ],
    [{"match_id": "f"}, {"match_id": "g"}],
    [{"match_id": "h"}, {"match_id": "i"}],
]


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("verify") / "lake"
    matches = entities.load(CONF / "entities" / "matches")
    lake = Run(settings_for(root)).lake
    first = 0
    for values in BATCHES:
        plant(spark, lake, matches, values, first)
        first += len(values)
        run_once(spark, settings_for(root), [matches], "silver")
    for layer in ("bronze", "silver", "quarantine"):
        trail.fold(spark, lake.table(layer, "matches"), lake)
    return root


def test_what_the_streams_left_is_verified(
    spark: SparkSession, matches: Entity, lake: Lake
) -> None:
    found = verify(spark, matches, lake)
    assert found.differences == ()
    assert found.holds
    counts = {fate: n for fate, n in found.proof.counts.items() if n}
    assert counts == {Fate.CURRENT: 7, Fate.SUPERSEDED: 3, Fate.QUARANTINED: 4}
    assert found.streamed > 0


OLDER = "SELECT * FROM {table} VERSION AS OF 1 WHERE match_id = 'a'"
# Each touches a position of its own, so that all can be planted in one lake.
FAULTS: dict[str, tuple[str, str, str]] = {
    "a bronze row removed": (
        "bronze",
        "DELETE FROM {table} WHERE offset = 3",
        "bronze.matches version 1: it landed 6 rows of esports-matches:0:0-5, and there are "
        "5 of 0-5; not there: 3",
    ),
    "an offset gap": (
        "bronze",
        "DELETE FROM {table} WHERE offset IN (10, 11)",
        "bronze.matches version 3: it landed 2 rows of esports-matches:0:10-11, and there are "
        "none; not there: 10, 11",
    ),
    "a batch doubled": (
        "bronze",
        "INSERT INTO {table} SELECT * FROM {table} WHERE offset >= 12",
        "bronze.matches version 4: it landed 2 rows of esports-matches:0:12-13, and there are "
        "4 of 12-13",
    ),
    "a quarantine row dropped": (
        "quarantine",
        "DELETE FROM {table} WHERE offset = 2",
        "esports-matches:0:2 has no fate",
    ),
    "a quarantine row altered": (
        "quarantine",
        "UPDATE {table} SET value = 'nothing' WHERE offset = 9",
        "quarantine.matches: the row of esports-matches:0:9 is not its message's in value",
    ),
    "a reason altered": (
        "quarantine",
        "UPDATE {table} SET reasons = slice(reasons, 1, 0) WHERE offset = 6",
        "quarantine.matches: the row of esports-matches:0:6 is not its message's in reasons",
    ),
    "a silver value changed": (
        "silver",
        "UPDATE {table} SET team_1_towers = 5 WHERE match_id = 'b'",
        "silver.matches: the row of esports-matches:0:4 is not its message's in team_1_towers",
    ),
    "a silver row removed": (
        "silver",
        "DELETE FROM {table} WHERE match_id = 'd'",
        "esports-matches:0:8 has no fate",
    ),
    "an older silver row put back": (
        "silver",
        "INSERT INTO {table} REPLACE WHERE match_id = 'a' " + OLDER,
        "esports-matches:0:7 has no fate",
    ),
    "a batch mark changed": (
        "silver",
        "UPDATE {table} SET _batch_id = 7 WHERE match_id = 'i'",
        "silver.matches: 1 rows say batch 7 under rules {rules}, which no commit of silver does",
    ),
    "a change that is no batch's": (
        "silver",
        "SELECT 1",
        "silver.matches version 8: DELETE changed rows outside its stream",
    ),
}


@pytest.fixture(scope="module")
def faulty(spark: SparkSession, made: Path) -> Verification:
    """The verification of a lake in which everything was changed that can be."""
    root = made.with_name("faulty")
    shutil.copytree(made, root)
    lake = Run(settings_for(root)).lake
    for layer, sql, _ in FAULTS.values():
        behind_its_back(spark, lake, layer, sql)
    return verify(spark, entities.load(CONF / "entities" / "matches"), lake)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_of_rows_is_found(faulty: Verification, matches: Entity, fault: str) -> None:
    said = FAULTS[fault][2].format(rules=matches.fingerprint)
    assert said in faulty.differences, "\n".join(faulty.differences)
    assert not faulty.holds


def altered(lake: Lake, layer: str, version: int, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the actions of a commit in the log of a table, as an editor would."""
    log = Path(lake.table(layer, "matches").path, "_delta_log")
    file = log / f"{version:020d}.json"
    actions = [json.loads(line) for line in file.read_text().splitlines()]
    for action in actions:
        change(action)
    file.write_text("\n".join(map(json.dumps, actions)) + "\n")
    (log / f".{file.name}.crc").unlink(missing_ok=True)
    (log / f"{version:020d}.crc").unlink(missing_ok=True)


def in_record(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    """Return what sets the value at *path* of a commit's record."""

    def change(action: dict[str, Any]) -> None:
        if "commitInfo" not in action:
            return
        record = json.loads(action["commitInfo"]["userMetadata"])
        inner = record
        for step in path[:-1]:
            inner = inner[step]
        assert inner[path[-1]] != to
        inner[path[-1]] = to
        action["commitInfo"]["userMetadata"] = json.dumps(record)

    return change


def in_stats(name: str, to: int) -> Callable[[dict[str, Any]], None]:
    def change(action: dict[str, Any]) -> None:
        if "add" in action:
            stats = json.loads(action["add"]["stats"])
            inner = stats if name == "numRecords" else stats[name]
            inner["numRecords" if name == "numRecords" else "offset"] = to
            action["add"]["stats"] = json.dumps(stats)

    return change


def in_metrics(name: str, to: int) -> Callable[[dict[str, Any]], None]:
    def change(action: dict[str, Any]) -> None:
        if "commitInfo" in action:
            action["commitInfo"]["operationMetrics"][name] = str(to)

    return change


RULE = "team_1_towers_in_range"
SILVER, QUARANTINE, BRONZE = (
    f"{layer}.matches version" for layer in ("silver", "quarantine", "bronze")
)
SAID = "is said to be"
# Each alters a figure of its own, so that all can be altered in one lake.
RECORDS: list[tuple[str, int, Callable[[dict[str, Any]], None], str]] = [
    ("silver", 2, in_record("rows", "read", to=5), f"{SILVER} 2: rows.read {SAID} 5, and is 4"),
    ("silver", 2, in_record("rows", "valid", to=1), f"{SILVER} 2: rows.valid {SAID} 1, and is 2"),
    (
        "silver", 2, in_record("rows", "quarantined", to=1),
        f"{SILVER} 2: rows.quarantined {SAID} 1, and is 2",
    ),
    (
        "silver", 1, in_record("rows", "reasons", "not_json", to=2),
        f"{SILVER} 1: rows.reasons.not_json {SAID} 2, and is 1",
    ),
    (
        "silver", 3, in_record("source", "ranges", 0, "count", to=3),
        f"{SILVER} 3: ranges[0].count {SAID} 3, and is 2",
    ),
    (
        "silver", 4, in_record("source", "ranges", 0, "max", to=14),
        f"{SILVER} 4: ranges[0].max {SAID} 14, and is 13",
    ),
    (
        "silver", 1, in_record("source", "ranges", 0, "min", to=-1),
        f"{SILVER} 1: ranges[0].min {SAID} -1, and is 0",
    ),
    (
        "silver", 2, in_record("source", "from", "index", to=9),
        f"{SILVER} 2: it does not begin where version 1 ended",
    ),
    (
        "silver", 3, in_record("batch_id", to=5),
        f"{SILVER} 3: the record says batch 5, the transaction 2",
    ),
    (
        "silver", 2, in_record("expectations", "rules", RULE, "unexpected", to=0),
        f"{SILVER} 2: expectations.rules.{RULE}.unexpected {SAID} 0, and is 1",
    ),
    (
        "silver", 2, in_record("expectations", "rules", RULE, "judged", to=9),
        f"{SILVER} 2: expectations.rules.{RULE}.judged {SAID} 9, and is 1",
    ),
    (
        "silver", 3, in_record("expectations", "suite", to="x"),
        f"{SILVER} 3: the suite of its rules is {{suite}}",
    ),
    (
        "quarantine", 1, in_record("rows", "quarantined", to=1),
        f"quarantine.matches batch 0: rows.quarantined {SAID} 1, and is 2",
    ),
    (
        "quarantine", 1, in_record("source", "ranges", 0, "max", to=4),
        f"quarantine.matches batch 0: ranges[0].max {SAID} 4, and is 5",
    ),
    ("bronze", 2, in_stats("numRecords", 5), f"{BRONZE} 2: it landed 5 rows of"),
    ("bronze", 1, in_stats("minValues", -1), f"{BRONZE} 1: it landed 6 rows of"),
    ("bronze", 3, in_stats("maxValues", 12), f"{BRONZE} 3: it landed 2 rows of"),
    ("bronze", 4, in_metrics("numOutputRows", 5), f"{BRONZE} 4: numOutputRows is 5, its files"),
]  # fmt: skip


@pytest.fixture(scope="module")
def rewritten(spark: SparkSession, made: Path) -> tuple[Verification, Verification]:
    """A lake whose records were all altered, after its trail was folded, and before."""
    root = made.with_name("rewritten")
    shutil.copytree(made, root)
    lake = Run(settings_for(root)).lake
    matches = entities.load(CONF / "entities" / "matches")
    for layer, version, change, _ in RECORDS:
        altered(lake, layer, version, change)
    after = verify(spark, matches, lake)
    for layer in ("bronze", "silver", "quarantine"):
        shutil.rmtree(lake.trail(f"{layer}.matches").path)
    return after, verify(spark, matches, lake)


@pytest.mark.parametrize(
    ("layer", "version", "said"), [(r[0], r[1], r[3]) for r in RECORDS], ids=[r[3] for r in RECORDS]
)
def test_an_altered_record_is_found_before_and_after_it_was_folded(
    rewritten: tuple[Verification, Verification],
    matches: Entity,
    layer: str,
    version: int,
    said: str,
) -> None:
    after, before = rewritten
    assert f"{layer}.matches version {version}: the log is not what it was" in after.differences
    expected = said.format(suite=matches.suite)
    assert any(one.startswith(expected) for one in before.differences), before.differences


def test_after_a_change_of_rules_each_batch_is_judged_under_its_own(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    suite = json.loads(matches.contents["expectations.json"])
    suite["expectations"] = suite["expectations"][:1]
    contents = {**matches.contents, "expectations.json": json.dumps(suite)}
    lenient = from_contents("matches", contents, matches.source)
    plant(spark, lake, matches, [{"match_id": "j", "team_1_towers": 12}], 14)
    run_once(spark, config, [lenient], "silver")
    found = verify(spark, lenient, lake)
    assert (found.differences, found.holds) == ((), True)
    assert found.proof.counts[Fate.CURRENT] == 8


def test_a_figure_that_spark_counted_twice_is_told_apart_once_the_trail_has_kept_it(
    spark: SparkSession, matches: Entity, lake: Lake
) -> None:
    altered(lake, "bronze", 2, in_metrics("numOutputRows", 8))
    shutil.rmtree(lake.trail("bronze.matches").path)
    trail.fold(spark, lake.table("bronze", "matches"), lake)
    found: Verification = verify(spark, matches, lake)
    assert found.holds
    assert found.counted_twice == (
        "bronze.matches version 2: numOutputRows is 8, its files hold 4",
    )
