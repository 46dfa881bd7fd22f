"""What silver does after a crash, and with a checkpoint that is not the one it left behind."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import checkpoints
from lakehouse.audit import trail
from lakehouse.audit.records import records
from lakehouse.errors import TableError
from lakehouse.proof.fates import prove
from lakehouse.run import Run
from silver.batch import Batch
from silver.breaker import breaker
from silver.stream import judge, refine
from tests.conftest import settings_for, unruled
from tests.messages import Sent, landed, outlived, plant, proven, rows, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from lakehouse.tables import Lake

pytestmark = pytest.mark.unruled
BATCH: list[Any] = [{"match_id": "a", "patch": "1"}, "junk", {"match_id": "b"}, {"match_id": "a"}]


def checkpoint_of(lake: Lake) -> Path:
    return Path(lake.table("silver", "matches").checkpoint)


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recovery") / "lake"
    matches = unruled("matches")
    for first in (0, len(BATCH)):
        plant(spark, Run(settings_for(root)).lake, matches, BATCH, first)
        run_once(spark, settings_for(root), [matches], "silver")
    return root


def everything(spark: SparkSession, lake: Lake) -> dict[str, list[str]]:
    """Return all rows of silver and quarantine, clocks included: nothing may be written again."""
    return {
        layer: sorted(map(repr, rows(spark, lake, layer, "matches")))
        for layer in ("silver", "quarantine")
    }


def batch(
    spark: SparkSession, config: Config, entity: Entity, checkpoint: str, number: int
) -> Batch:
    run = Run(config)
    limit = breaker(spark, run.lake.table("silver", entity.name), config.breaker, config.state_dir)
    return Batch(entity, run.lake, checkpoint, number, datetime.now(UTC), "again", limit)


def test_the_same_batch_again_changes_no_row(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    before = everything(spark, lake)
    (checkpoint_of(lake) / "commits" / "1").unlink()
    (checkpoint_of(lake) / "commits" / ".1.crc").unlink(missing_ok=True)
    run_once(spark, config, [matches], "silver")
    assert everything(spark, lake) == before
    assert checkpoints.compare(spark, lake.table("silver", "matches"))


def test_delta_drops_a_batch_that_it_has_seen_even_if_we_do_not_look(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    before = everything(spark, lake)
    again = lake.table("bronze", "matches").read(spark).where("offset >= 4")
    identity = checkpoints.identity(spark, str(checkpoint_of(lake)))
    refine(judge(again, matches), batch(spark, config, matches, identity, 1))
    assert everything(spark, lake) == before


def test_the_same_rows_in_a_new_batch_change_no_silver_row(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    before = everything(spark, lake)["silver"]
    again = lake.table("bronze", "matches").read(spark)
    offsets = checkpoint_of(lake) / "offsets"
    shutil.copy(offsets / "1", offsets / "2")
    refine(judge(again, matches), batch(spark, config, matches, "another checkpoint", 2))
    assert everything(spark, lake)["silver"] == before


def test_a_deleted_checkpoint_is_refused(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    shutil.rmtree(checkpoint_of(lake))
    with pytest.raises(TableError) as refused:
        run_once(spark, config, [matches], "silver")
    assert (refused.value.code, refused.value.exit_code) == ("CHECKPOINT_MISMATCH", 4)
    assert refused.value.params["difference"] == "the table has batch 1, and there is no checkpoint"


def test_a_checkpoint_of_an_earlier_day_is_refused(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake, tmp_path: Path
) -> None:
    shutil.copytree(checkpoint_of(lake), tmp_path / "earlier")
    for first in (8, 12):
        plant(spark, lake, matches, BATCH, first)
        run_once(spark, config, [matches], "silver")
    shutil.rmtree(checkpoint_of(lake))
    shutil.copytree(tmp_path / "earlier", checkpoint_of(lake))
    with pytest.raises(TableError) as refused:
        run_once(spark, config, [matches], "silver")
    assert refused.value.code == "CHECKPOINT_MISMATCH"
    assert "batch 3" in str(refused.value.params["difference"])
    assert "batch 1" in str(refused.value.params["difference"])


def test_a_checkpoint_of_another_lake_is_refused(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    metadata = checkpoint_of(lake) / "metadata"
    metadata.write_text('{"id":"00000000-0000-0000-0000-000000000000"}')
    (checkpoint_of(lake) / ".metadata.crc").unlink(missing_ok=True)
    with pytest.raises(TableError) as refused:
        run_once(spark, config, [matches], "silver")
    assert refused.value.params["difference"] == "the table was written with another checkpoint"


def test_a_silver_that_was_down_for_too_long_is_derived_afresh_as_the_error_says(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake, tmp_path: Path
) -> None:
    for first in (8, 12):
        plant(spark, lake, matches, BATCH, first)
    bronze = lake.table("bronze", "matches")
    trail.fold(spark, bronze, lake)  # as the owner of bronze has done by then
    outlived(spark, bronze.path)
    with pytest.raises(TableError) as refused:
        run_once(spark, config, [matches], "silver")
    assert refused.value.code == "BRONZE_LOG_GONE"
    aside = tmp_path / "aside"
    for folder in str(refused.value.params["folders"]).split(", "):
        if (Path(lake.root) / folder).exists():
            shutil.move(Path(lake.root) / folder, aside / folder)
    run_once(spark, config, [matches], "silver")
    assert proven(spark, matches, lake).bronze == 16


def test_a_table_that_vanished_under_its_checkpoint_is_refused(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    shutil.rmtree(lake.table("silver", "matches").path)
    with pytest.raises(TableError) as refused:
        run_once(spark, config, [matches], "silver")
    assert refused.value.code == "CHECKPOINT_MISMATCH"


def test_a_quarantine_of_another_checkpoint_is_refused(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    shutil.rmtree(lake.table("silver", "matches").path)
    shutil.rmtree(checkpoint_of(lake))
    with pytest.raises(TableError) as refused:
        run_once(spark, config, [matches], "silver")
    assert refused.value.params["stream"] == "quarantine.matches"
    assert refused.value.params["difference"] == "it was filled under another checkpoint"


def test_a_quarantine_that_vanished_under_its_checkpoint_is_refused(
    spark: SparkSession, config: Config, matches: Entity, lake: Lake
) -> None:
    shutil.rmtree(lake.table("quarantine", "matches").path)
    with pytest.raises(TableError) as refused:
        run_once(spark, config, [matches], "silver")
    assert refused.value.params["stream"] == "quarantine.matches"
    assert not Path(lake.table("quarantine", "matches").path).exists()


@pytest.mark.parametrize("commits", [40, pytest.param(200, marks=pytest.mark.soak)])
def test_waiting_commits_are_taken_in_bounded_batches_in_offset_order(
    spark: SparkSession, config: Config, matches: Entity, commits: int
) -> None:
    lake = Run(config).lake
    plant(spark, lake, matches, [])
    path = lake.table("bronze", "matches").path
    slower = "'delta.checkpointInterval' = '1000'"  # the log's own checkpoints are not the subject
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ({slower})")
    for i in range(commits):
        # Two partitions, in files of their own: a batch can be cut inside a commit.
        values = [Sent({"match_id": f"{p}-{i}"}, p, 3 * i + n) for p in (0, 1) for n in range(3)]
        append(spark, lake, matches, values)
    bronze = lake.table("bronze", "matches")
    bronze.delta(spark).optimize().executeCompaction()  # must not disturb the order
    bounded = config.streams.model_copy(update={"max_bytes_per_trigger": f"{commits}k"})
    run_once(spark, config.model_copy(update={"streams": bounded}), [matches], "silver")

    ranges = [r["source"]["ranges"] for _, r in records(spark, lake.table("silver", "matches"))]
    assert len(ranges) > 4
    assert sum(one["count"] for batch in ranges for one in batch) == 6 * commits
    for partition in (0, 1):
        seen = [
            (one["min"], one["max"]) for b in ranges for one in b if one["partition"] == partition
        ]
        assert seen[0][0] == 0
        assert all(after[0] == before[1] + 1 for before, after in pairwise(seen))
    assert prove(spark, matches, lake).holds  # these commits of bronze carry no record


def append(spark: SparkSession, lake: Lake, entity: Entity, values: list[Any]) -> None:
    """Append *values* in one commit, a file for each partition as Kafka's source writes them."""
    by_partition = ([v for v in values if v.partition == p] for p in (0, 1))
    zero, one = (landed(spark, some, entity.topic) for some in by_partition)
    path = lake.table("bronze", entity.name).path
    # Else Spark puts a union of two frames of one task each into one task, and so into one file.
    spark.conf.set("spark.sql.unionOutputPartitioning", "false")
    try:
        zero.coalesce(1).union(one.coalesce(1)).write.format("delta").mode("append").save(path)
    finally:
        spark.conf.unset("spark.sql.unionOutputPartitioning")
