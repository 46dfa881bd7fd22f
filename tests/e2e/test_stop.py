"""Asked to stop, by whichever way: the batch in hand is finished, and nothing is left running."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from lakehouse import entities
from lakehouse.proof.fates import Fate
from lakehouse.run import Run
from tests.conftest import settings_for
from tests.e2e.harness import eventually
from tests.messages import proven, run_once

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from tests.e2e.harness import Kafka, Lakehouse

RECORDS = 800
BACKLOG = {
    "LAKEHOUSE__KAFKA__MAX_OFFSETS_PER_TRIGGER": "100",
    "LAKEHOUSE__STREAMS__MAX_BYTES_PER_TRIGGER": "1b",
    "LAKEHOUSE__STREAMS__TRIGGER": "0 seconds",
}


def in_hand(checkpoint: Path) -> bool:
    """Say whether a batch after the first is planned and not yet done."""
    planned = {path.name for path in checkpoint.glob("offsets/[1-9]*")}
    return bool(planned - {path.name for path in checkpoint.glob("commits/*")})


@pytest.mark.parametrize(("layer", "group"), [("bronze", False), ("silver", True)])
def test_sigterm_in_mid_batch_loses_and_doubles_nothing(
    kafka: Kafka,
    lakehouse: Lakehouse,
    spark: SparkSession,
    matches_topic: str,
    layer: str,
    *,
    group: bool,
) -> None:
    """Sent to the process alone, as a supervisor does, and to its group, as a terminal does."""
    kafka.send(matches_topic, [f'{{"match_id": "{i % 700}"}}' for i in range(RECORDS)])
    lakehouse.settings.update(BACKLOG)
    # Not what is tested here, and it costs each start some seconds.
    (lakehouse.conf / "entities" / "matches" / "expectations.json").unlink()
    matches = entities.load(lakehouse.conf / "entities" / "matches")
    config = settings_for(lakehouse.root)
    own = {"bootstrap": kafka.bootstrap, "max_offsets_per_trigger": 100}
    config = config.model_copy(update={"kafka": config.kafka.model_copy(update=own)})
    if layer == "silver":
        run_once(spark, config, [matches], "bronze")
    job = lakehouse.start(layer, "--entity", "matches")
    job.until("Stream started")
    eventually(lambda: in_hand(lakehouse.checkpoint(layer)), "a batch is in hand")
    assert job.stop(signal.SIGTERM, group=group) == 0, job.log.read_text()
    assert job.members() == []
    assert lakehouse.status(f"{layer}.matches")["state"] == "stopped"

    run_once(spark, config, [matches], layer)
    assert [row["offset"] for row in lakehouse.rows("bronze")] == list(range(RECORDS))
    if layer == "bronze":
        return
    proof = proven(spark, matches, Run(config).lake)
    assert (proof.holds, proof.bronze, proof.counts[Fate.CURRENT]) == (True, RECORDS, 700)


def test_stop_and_second_start_and_a_jvm_that_outlives_its_python(
    lakehouse: Lakehouse,
) -> None:
    first = lakehouse.start("bronze", "--entity", "matches")
    first.until("Stream started")
    second = lakehouse.call("start", "bronze", "--entity", "matches")
    assert second.returncode == 6
    assert "STREAM_OWNED" in second.stderr
    assert f"pid {first.process.pid}" in second.stderr

    stopped = lakehouse.call("stop", "bronze.matches", "--json")
    assert '"stopped": ["bronze.matches"]' in stopped.stdout
    assert first.process.wait(30) == 0
    assert first.members() == []
    assert lakehouse.call("stop", "bronze.matches").stdout == "bronze.matches: not running\n"

    third = lakehouse.start("bronze", "--entity", "matches")
    third.until("Stream started")
    jvm = third.jvm()
    jvm.suspend()
    third.process.kill()
    third.process.wait()
    refused = lakehouse.call("start", "bronze", "--entity", "matches")
    jvm.kill()
    assert refused.returncode == 6
    assert f"pid {third.process.pid}" in refused.stderr
    eventually(lambda: not third.members(), "the JVM is gone")
    lakehouse.once("bronze", "--entity", "matches")


def test_a_second_signal_stops_at_once_and_the_exit_is_still_clean(lakehouse: Lakehouse) -> None:
    job = lakehouse.start("bronze", "--entity", "players")
    job.until("Stream started")
    job.process.send_signal(signal.SIGINT)
    assert job.stop(signal.SIGINT) == 0
    assert job.members() == []
    assert job.said("Stopping after the batch in hand")
