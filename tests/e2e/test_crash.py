"""Killed at the worst moments, the JVM included, and started again: as if nothing had happened."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import entities
from lakehouse.run import Run
from tests.conftest import CONF, settings_for
from tests.e2e.harness import Lakehouse, eventually
from tests.messages import proven, run_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from tests.e2e.harness import Kafka

CLOCKS = {"_landed_at", "_updated_at", "_quarantined_at"}
FIRST: list[Any] = [{"match_id": "a", "patch": "1"}, "junk", {"match_id": "b"}]
# Of 60, 160 and 360 bytes: the limit of the rules decides which of them are too large.
SECOND: list[Any] = [
    "{",
    {"match_id": "a", "patch": "2"},
    {"match_id": "c", "patch": "x" * 120},
    {"match_id": "d", "patch": "x" * 320},
]
THIRD: list[Any] = [{"match_id": "e", "patch": "x" * 120}, {"match_id": "f", "patch": "x" * 320}]


def rules(conf: Path, limit: int) -> Entity:
    """Give the matches of *conf* another limit and return them."""
    file = conf / "entities" / "matches" / "entity.toml"
    lines = [line for line in file.read_text().splitlines() if "max_value_bytes" not in line]
    text = "\n".join(line for line in lines if line != "[limits]")
    file.write_text(f"{text}\n[limits]\nmax_value_bytes = {limit}\n")
    return entities.load(file.parent)


def at(root: Path, kafka: Kafka) -> Config:
    """Return settings for a lake at *root* on the broker."""
    config = settings_for(root)
    own = config.kafka.model_copy(update={"bootstrap": kafka.bootstrap})
    return config.model_copy(update={"kafka": own})


def tables(product: Lakehouse) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table, without the columns that tell when it was written."""
    return {
        layer: [{k: v for k, v in row.items() if k not in CLOCKS} for row in product.rows(layer)]
        for layer in ("bronze", "silver", "quarantine")
    }


@pytest.fixture(scope="module")
def made(kafka: Kafka, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake in which silver has done one batch and a second one waits in bronze."""
    home = tmp_path_factory.mktemp("crash")
    shutil.copytree(CONF, home / "conf")
    file = home / "conf" / "entities" / "matches" / "entity.toml"
    # Not what is tested here, and it costs each start some seconds.
    file.with_name("expectations.json").unlink()
    file.write_text(file.read_text().replace("esports-matches", kafka.create("crash-matches")))
    matches = rules(home / "conf", 300)
    for values, layers in ((FIRST, ("bronze", "silver")), (SECOND, ("bronze",))):
        kafka.send("crash-matches", values)
        run_once(spark, at(home / "lake", kafka), [matches], *layers)
    return home


@pytest.fixture(scope="module")
def killed(made: Path, kafka: Kafka) -> Path:
    """The same, after silver was killed between the two commits of the second batch."""
    home = made.with_name("killed")
    shutil.copytree(made, home)
    product = Lakehouse(home / "lake", kafka.bootstrap, home / "conf")
    victim = product.start("silver", "--entity", "matches")
    quarantined = product.log_of("quarantine") / f"{2:020d}.json"
    eventually(quarantined.exists, "the quarantine commit of batch 1 is there")
    victim.kill()
    assert not (product.log_of("silver") / f"{2:020d}.json").exists()
    return home


@pytest.fixture(scope="module")
def unharmed(made: Path, kafka: Kafka, spark: SparkSession) -> Lakehouse:
    """The same lake, in which silver came to the end of the second batch."""
    product = Lakehouse(made / "unharmed", kafka.bootstrap, made / "conf")
    shutil.copytree(made / "lake", product.root)
    run_once(spark, at(product.root, kafka), [rules(made / "conf", 300)], "silver")
    return product


@pytest.fixture
def product(killed: Path, kafka: Kafka, tmp_path: Path) -> Lakehouse:
    shutil.copytree(killed, tmp_path / "own")
    return Lakehouse(tmp_path / "own" / "lake", kafka.bootstrap, tmp_path / "own" / "conf")


def test_killed_between_quarantine_and_silver_the_batch_is_finished_by_the_next_start(
    spark: SparkSession, kafka: Kafka, product: Lakehouse, unharmed: Lakehouse
) -> None:
    product.once("silver", "--entity", "matches")
    assert tables(product) == tables(unharmed)
    assert proven(spark, rules(product.conf, 300), Run(at(product.root, kafka)).lake).holds


@pytest.mark.parametrize("limit", [1000, 100], ids=["bad becomes good", "good becomes bad"])
def test_rules_that_change_after_the_kill_begin_with_the_next_batch(
    kafka: Kafka, spark: SparkSession, product: Lakehouse, unharmed: Lakehouse, limit: int
) -> None:
    changed = rules(product.conf, limit)
    run_once(spark, at(product.root, kafka), [changed], "silver")
    assert tables(product) == tables(unharmed)
    kafka.send("crash-matches", THIRD)
    run_once(spark, at(product.root, kafka), [changed], "bronze", "silver")
    new = {r["match_id"] for r in product.rows("silver") if r["_rules"] == changed.fingerprint}
    assert {"e", "f"} & new == {1000: {"e", "f"}, 100: set()}[limit]
    assert proven(spark, changed, Run(at(product.root, kafka)).lake).holds


def test_killed_at_its_commit_bronze_lands_every_record_once(
    kafka: Kafka, topics: Callable[..., Path], tmp_path: Path
) -> None:
    product = Lakehouse(tmp_path / "lake", kafka.bootstrap, topics(2))
    topic = f"esports-matches.{tmp_path.name}"
    for partition in (0, 1):
        kafka.send(topic, [f"{partition}-{i}" for i in range(500)], partition=partition)
    product.settings["LAKEHOUSE__KAFKA__MAX_OFFSETS_PER_TRIGGER"] = "100"
    victim = product.start("bronze", "--entity", "matches")
    commit = product.log_of("bronze") / f"{3:020d}.json"
    eventually(commit.exists, "the third batch is committed")
    victim.kill()
    product.once("bronze", "--entity", "matches")
    found = [(row["partition"], row["offset"], row["value"]) for row in product.rows("bronze")]
    assert found == [(p, i, f"{p}-{i}") for p in (0, 1) for i in range(500)]
