"""A third entity is a folder: no Python, and everything a schema can hold."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.harness import Kafka, Lakehouse

TOML = """
topic = "{topic}"
keys = ["tournament_id", "season"]

[derived]
mean = "prize / size(teams)"
"""
DDL = """
-- A composite key, no sequence, no partitions; and a column with the name of one of bronze's.
tournament_id STRING NOT NULL,
season INT NOT NULL COMMENT 'part of the key',
value STRING,
prize DECIMAL(20, 4),
venue STRUCT<city: STRING, opened: TIMESTAMP, seats: INT>,
teams ARRAY<STRUCT<name: STRING, seed: INT>>,
notes MAP<STRING, STRING>
"""
MESSAGES = [
    """{"tournament_id": "wc", "season": 1, "value": "v1", "prize": 1234567890123456.7891,
        "venue": {"city": "서울", "opened": "2020-01-01T00:00:00Z", "seats": 9},
        "teams": [{"name": "a", "seed": 1}, {"name": "b"}], "notes": {"k": "n"}}""",
    '{"tournament_id": "wc", "season": 2, "teams": []}',
    '{"tournament_id": "wc", "season": 1, "value": "v2", "prize": 10, "teams": [{"seed": 2}]}',
    '{"tournament_id": "wc", "season": "1"}',
    '{"tournament_id": "wc"}',
    '{"tournament_id": "wc", "season": 3, "venue": {"seats": "many"}}',
]


def test_a_folder_of_two_files_flows_to_silver(kafka: Kafka, lakehouse: Lakehouse) -> None:
    folder = lakehouse.conf / "entities" / "tournaments"
    folder.mkdir()
    topic = kafka.create(f"tournaments.{lakehouse.root.parent.name}")
    (folder / "entity.toml").write_text(TOML.format(topic=topic))
    (folder / "schema.ddl").write_text(DDL)
    kafka.send(topic, MESSAGES)
    lakehouse.once("all", "--entity", "tournaments")
    told = (lakehouse.root / "_state" / "silver.prom").read_text()
    assert 'lakehouse_quarantined_total{entity="tournaments",reason="wrong_type"} 2.0' in told
    assert 'lakehouse_batches_total{entity="tournaments",layer="silver"} 1.0' in told

    silver = {row["season"]: row for row in lakehouse.rows("silver", "tournaments")}
    assert {season: row["value"] for season, row in silver.items()} == {1: "v2", 2: None}
    assert (silver[1]["prize"], silver[1]["mean"]) == (Decimal(10), Decimal(10))
    assert silver[1]["teams"] == [{"name": None, "seed": 2}]
    assert (silver[2]["teams"], silver[2]["mean"]) == ([], None)
    before = lakehouse.rows("bronze", "tournaments")[0]
    assert before["value"] == MESSAGES[0]
    refused = [
        [(reason["code"], reason["column"]) for reason in row["reasons"]]
        for row in lakehouse.rows("quarantine", "tournaments")
    ]
    assert refused == [
        [("wrong_type", "season")],
        [("key_missing", "season")],
        [("wrong_type", "venue")],
    ]


def test_a_reserved_column_is_refused_by_name(lakehouse: Lakehouse) -> None:
    file = lakehouse.conf / "entities" / "players" / "schema.ddl"
    file.write_text(file.read_text() + ",\n_offset BIGINT\n")
    done = lakehouse.call("check")
    assert (done.returncode, "'_offset' is reserved" in done.stderr) == (2, True)
