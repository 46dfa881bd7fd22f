"""What is wrong outside of the data: said in three lines, with the exit code of docs/cli.md."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from lakehouse import broker
from lakehouse.config import load
from tests.conftest import CONF
from tests.e2e.harness import Kafka, Lakehouse, eventually

if TYPE_CHECKING:
    from pathlib import Path

# A broker that is away is noticed within seconds, not within Kafka's own minute.
SOON = """[kafka.options]
"request.timeout.ms" = "2000"
"default.api.timeout.ms" = "3000"
"""


def edited(tmp_path: Path, file: str, before: str, after: str) -> Path:
    """Return a copy of the shipped conf in which one text stands for another."""
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    text = (conf / file).read_text()
    assert before in text
    (conf / file).write_text(text.replace(before, after))
    return conf


@pytest.mark.parametrize(
    ("file", "before", "after", "code", "named"),
    [
        ("lakehouse.toml", "progress_every = 10", 'progress_every = "often"', "BAD_VALUE", "often"),
        ("entities/matches/entity.toml", "/ 60", "/ no_such", "BAD_EXPRESSION", "no_such"),
        ("entities/matches/entity.toml", "sequence_by", "sequenceby", "UNKNOWN_KEY", "sequence_by"),
        (
            "entities/matches/expectations.json",
            '"column": "team_2_towers"',
            '"column": "team_2_name"',
            "BAD_EXPECTATION",
            "matches/expectations.json: expectation 5 (expect_column_values_to_be_between)",
        ),
    ],
)
def test_check_finds_what_is_wrong_with_the_configuration_and_writes_nothing(
    tmp_path: Path, file: str, before: str, after: str, code: str, named: str
) -> None:
    conf = edited(tmp_path, file, before, after)
    done = Lakehouse(tmp_path / "lake", "127.0.0.1:1", conf).call("check")
    assert done.returncode == 2
    what, why, do = done.stderr.strip().splitlines()
    assert (code in what, why.startswith("  why: "), do.startswith("  do:  ")) == (True, True, True)
    assert named in what + why
    assert not (tmp_path / "lake").exists()


def test_check_of_a_sound_configuration_writes_nothing_and_needs_no_kafka(tmp_path: Path) -> None:
    done = Lakehouse(tmp_path / "lake", "127.0.0.1:1").call("check", "--json")
    assert (done.returncode, '"ok": true' in done.stdout, done.stderr) == (0, True, "")
    assert not (tmp_path / "lake").exists()


def test_a_wrong_schema_file_stops_the_start(tmp_path: Path, kafka: Kafka) -> None:
    conf = edited(tmp_path, "entities/matches/schema.ddl", "game_id STRING", "game_id SRTING")
    product = Lakehouse(tmp_path / "lake", kafka.bootstrap, conf)
    plain = Lakehouse(tmp_path / "lake", kafka.bootstrap, conf)
    (plain.root / "bronze").mkdir(parents=True)
    done = product.call("start", "silver", "--entity", "matches", "--once")
    assert (done.returncode, "BAD_SCHEMA" in done.stderr) == (2, True)


def test_a_wrong_topic_is_named(tmp_path: Path, kafka: Kafka) -> None:
    conf = edited(tmp_path, "entities/matches/entity.toml", '"esports-matches"', '"no-such-topic"')
    product = Lakehouse(tmp_path / "lake", kafka.bootstrap, conf)
    done = product.call("start", "bronze", "--entity", "matches", "--once")
    assert done.returncode == 3
    assert "topic 'no-such-topic' does not exist" in done.stderr
    assert "[TOPIC_MISSING]" in done.stderr


def test_an_unwritable_root_is_named(tmp_path: Path, kafka: Kafka) -> None:
    (tmp_path / "file").write_text("in the way")
    product = Lakehouse(tmp_path / "file", kafka.bootstrap)
    done = product.call("start", "bronze", "--once")
    assert (done.returncode, "[ROOT_UNWRITABLE]" in done.stderr) == (4, True)


def test_silver_without_bronze_says_so_and_with_once_does_not_wait(
    lakehouse: Lakehouse,
) -> None:
    done = lakehouse.call("start", "silver", "--entity", "matches", "--once")
    assert (done.returncode, "[TABLE_MISSING]" in done.stderr) == (4, True)
    assert "lakehouse start bronze --entity matches" in done.stderr
    assert not (lakehouse.root / "bronze").exists()


def test_kafka_away_at_start_and_away_in_mid_run_is_waited_for(tmp_path: Path) -> None:
    jars = load(CONF).jars.dir
    data = tmp_path / "kafka"
    with broker.running(data, jars) as first:
        port = first.port
        Kafka(first.bootstrap).create("esports-matches")
    conf = edited(tmp_path, "lakehouse.toml", "[kafka.options]\n", SOON)
    product = Lakehouse(tmp_path / "lake", f"127.0.0.1:{port}", conf)
    product.settings["LAKEHOUSE__KAFKA__RETRY_LONGEST_SECONDS"] = "2"
    job = product.start("bronze", "--entity", "matches")
    try:
        job.until("Waiting for broker")
        assert product.status("bronze.matches")["state"] == "waiting for broker"
        with broker.running(data, jars, port=port) as second:
            Kafka(second.bootstrap).send("esports-matches", ["before"])
            eventually(lambda: len(product.rows("bronze")) == 1, "the record before is in bronze")
        waited = job.log.read_text().count("Waiting for broker")
        eventually(
            lambda: job.log.read_text().count("Waiting for broker") > waited, "it waits once more"
        )
        with broker.running(data, jars, port=port) as third:
            Kafka(third.bootstrap).send("esports-matches", ["after"])
            eventually(lambda: len(product.rows("bronze")) == 2, "the record after is in bronze")
            assert job.stop() == 0
    finally:
        if job.members():
            job.kill()
    assert [row["value"] for row in product.rows("bronze")] == ["before", "after"]
    assert job.members() == []
