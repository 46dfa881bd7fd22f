"""Which message becomes the row of its key: the newest, however and whenever it comes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder

from lakehouse.entities import from_contents
from lakehouse.lake import Lake
from lakehouse.proof.fates import Fate, prove
from lakehouse.run import Run
from silver import merge
from silver.counts import count
from silver.parse import parse
from silver.triage import triage
from tests.messages import BEGAN, Sent, entity, landed, plant, proven, rows, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config


def match(key: str, sequence: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "match_id": key,
        **({} if sequence is None else {"ingestion_timestamp": sequence}),
        **more,
    }


def silver(
    spark: SparkSession, config: Config, entity: Entity, *batches: list[Any]
) -> dict[str, Any]:
    """Run silver once after each of *batches* and return its rows by key."""
    first = 0
    for batch in batches:
        plant(spark, Run(config).lake, entity, batch, first)
        first += len(batch)
        run_once(spark, config, [entity], "silver")
    found = rows(spark, Run(config).lake, "silver", entity.name)
    assert len({row[entity.keys[0]] for row in found}) == len(found)
    return {row[entity.keys[0]]: row for row in found}


def test_deletion_vectors_replace_rows_that_we_read_all_the_same_until_they_are_turned_off(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    lake = Run(config).lake
    for first, value in ((0, True), (9, True), (12, False)):
        toml = f"deletion_vectors = {str(value).lower()}\n" + matches.contents["entity.toml"]
        own = from_contents("matches", {**matches.contents, "entity.toml": toml}, "conf")
        batch = [match(str(n), first, status="live") for n in range(8 if first == 0 else 2)]
        plant(spark, lake, own, [*batch, "junk"], first)
        run_once(spark, config, [own], "silver")
        if first == 9:
            vectors = (
                lake.table("silver", "matches").files(spark).where("deletionVector IS NOT NULL")
            )
            assert vectors.count() == 1
    assert proven(spark, matches, lake).counts[Fate.CURRENT] == 8
    expected = {(str(n), 12 if n < 2 else 0) for n in range(8)}
    found = QueryBuilder().register("t", DeltaTable(lake.table("silver", "matches").path))
    sql = "SELECT match_id, ingestion_timestamp FROM {}"
    by_delta_rs = pa.table(found.execute(sql.format("t"))).to_pylist()
    assert {tuple(row.values()) for row in by_delta_rs} == expected
    by_query = Lake(config).query(sql.format("silver.matches")).arrow().to_pylist()
    assert {tuple(row.values()) for row in by_query} == expected
    between = Lake(config).silver("matches").diff(1, 2).arrow().to_pylist()
    assert {row["match_id"] for row in between} == {"0", "1"}
    properties = lake.table("silver", "matches").properties(spark)
    assert properties["delta.enableDeletionVectors"] == "false"


def test_the_highest_sequence_wins_within_a_batch_and_across_batches(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    found = silver(
        spark,
        config,
        matches,
        [match("a", 2, patch="new"), match("a", 1, patch="old"), match("b", 5, patch="newer")],
        [match("a", 1, patch="late"), match("b", 4, patch="late"), match("c", patch="bare")],
        [match("c", 0, patch="with"), match("a", patch="bare"), match("b", 6, patch="newest")],
    )
    assert {key: row["patch"] for key, row in found.items()} == {
        "a": "new",
        "b": "newest",
        "c": "with",
    }


def test_equal_sequences_fall_back_on_time_partition_and_offset(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    later = BEGAN + timedelta(seconds=1)
    same = [
        Sent(match("t", 1, patch="by time"), at=later, offset=0),
        Sent(match("t", 1, patch="earlier"), at=BEGAN, offset=1),
        Sent(match("p", 1, patch="lower"), at=BEGAN, offset=9, partition=0),
        Sent(match("p", 1, patch="by partition"), at=BEGAN, offset=2, partition=1),
        Sent(match("o", 1, patch="lower"), at=BEGAN, offset=3),
        Sent(match("o", 1, patch="by offset"), at=BEGAN, offset=4),
    ]
    found = silver(spark, config, matches, same)
    assert {row["patch"] for row in found.values()} == {"by time", "by partition", "by offset"}


def test_a_status_that_changes_through_null_stays_one_row(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    statuses = ["scheduled", "live", None, "finished"]
    batches = [[match("m", i, status=status)] for i, status in enumerate(statuses)]
    found = silver(spark, config, matches, *batches)
    assert [(row["status"], row["is_completed"]) for row in found.values()] == [("finished", True)]


def test_a_hundred_thousand_updates_of_one_key_in_one_batch(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    updates: list[Any] = [match("hot", i * 7919 % 100_000, game_number=i) for i in range(100_000)]
    found = silver(spark, config, matches, updates)
    assert found["hot"]["ingestion_timestamp"] == 99_999
    proof = prove(spark, matches, Run(config).lake)
    assert (proof.counts[Fate.CURRENT], proof.counts[Fate.SUPERSEDED]) == (1, 99_999)
    assert proof.holds


@pytest.mark.parametrize(
    ("batch", "outcome"),
    [(["junk", None, "", "[]"], (0, 4)), ([], (0, 0))],
    ids=["bad rows only", "no rows"],
)
def test_a_batch_without_valid_rows_makes_one_silver_commit(
    spark: SparkSession, config: Config, matches: Entity, batch: list[Any], outcome: tuple[int, int]
) -> None:
    lake = Run(config).lake
    silver(spark, config, matches, [match("a", 1)], batch)
    batches = [r["_batch_id"] for r in rows(spark, lake, "quarantine", "matches")]
    assert (batches.count(0), len(batches)) == outcome
    transactions = lake.table("silver", "matches").transactions(spark)
    versions = lake.table("silver", "matches").version(spark)
    assert list(transactions.values()) == [versions - 1]


def test_every_commit_carries_its_record(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    from lakehouse.audit.records import records

    run_of = Run(config).lake
    silver(spark, config, matches, [match("a", 1), "junk", "{}"])
    ((_, of_silver),) = records(spark, run_of.table("silver", "matches"))
    ((_, of_quarantine),) = records(spark, run_of.table("quarantine", "matches"))
    assert of_silver == of_quarantine
    assert of_silver["rows"] == {
        "read": 3,
        "valid": 1,
        "quarantined": 2,
        "reasons": {"not_json": 1, "key_missing": 1},
    }
    (positions,) = of_silver["source"]["ranges"]
    assert (positions["min"], positions["max"], positions["count"]) == (0, 2, 3)
    assert (of_silver["batch_id"], of_silver["rules"]) == (0, matches.fingerprint)


def test_the_settings_of_a_commit_never_outlive_it(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    from lakehouse.audit import records

    names = (records.TRANSACTION, records.TRANSACTION_VERSION, records.USER_METADATA)
    silver(spark, config, matches, [match("a", 1)])
    assert [spark.conf.get(name, None) for name in names] == [None] * 3
    made_up = records.Record(
        "s", "r", "c", 1, None, "{}", (), records.Rows(0, 0, 0), matches.fingerprint, "now"
    )
    with pytest.raises(ZeroDivisionError), records.recorded(spark, made_up):
        raise ZeroDivisionError
    assert [spark.conf.get(name, None) for name in names] == [None] * 3


# Delta's statistics keep the beginning of a text; Java orders texts by halves of characters.
TRICKY = [
    "",
    " ",
    "Z",
    "a",
    "aa",
    "é",
    "\uffff",
    "\U0001f600",
    *(f"{'x' * 40}{n}" for n in range(3)),
]


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("STRING", TRICKY),
        ("BIGINT", [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1]),
        ("DATE", ["1969-12-31", "2026-01-31"]),
    ],
)
def test_a_key_meets_its_row_wherever_it_lies_in_the_order_of_keys(
    spark: SparkSession, config: Config, kind: str, keys: list[Any]
) -> None:
    """The bounds of a batch's keys leave out files of the table: none that holds one of them."""
    things = entity(f"id {kind} NOT NULL, n INT", 'keys = ["id"]')
    lake = Run(config).lake
    for number, key in enumerate(keys):  # a file for each
        plant(spark, lake, things, [{"id": key, "n": 0}], number)
        if number in {0, len(keys) - 1}:
            run_once(spark, config, [things], "silver")
    plant(spark, lake, things, [{"id": key, "n": 1} for key in keys], len(keys))
    run_once(spark, config, [things], "silver")
    found = rows(spark, lake, "silver", "things")
    assert {(str(row["id"]), row["n"]) for row in found} == {(str(key), 1) for key in keys}
    assert len(found) == len(keys)
    triaged = triage(parse(landed(spark, [{"id": key} for key in keys]), things), things)
    bounds = count(triaged, things).bounds
    assert bounds == ({} if kind == "DATE" else {"id": (min(keys), max(keys))})


def test_where_each_batch_updates_the_one_before_it_a_batch_costs_no_more_and_more(
    spark: SparkSession, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else new rows join those around an updated one, and a file that all batches copy grows."""
    things = entity("id INT NOT NULL, n INT", 'keys = ["id"]')
    lake = Run(config).lake
    monkeypatch.setattr(merge, "FILE_ROWS", 4)
    for number in range(8):
        batch = [{"id": 2 * number + n, "n": number} for n in (-1, 0, 1)]
        plant(spark, lake, things, batch, 3 * number)
        run_once(spark, config, [things], "silver")
    table = lake.table("silver", "things")
    history = table.delta(spark).history(1).select("operationMetrics").collect()
    assert int(history[0][0]["numTargetRowsCopied"]) <= 8
    found = rows(spark, lake, "silver", "things")
    assert {row["id"]: row["n"] for row in found} == {n: (n + 1) // 2 for n in range(-1, 15)} | {
        15: 7
    }
    assert spark.conf.get(merge.MOST_ROWS) == "0"
