"""What a batch costs does not grow: not with the suite, and not with the batches before it."""

from __future__ import annotations

import gc
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from lakehouse.audit import suites
from lakehouse.entities import from_contents
from lakehouse.run import Run
from silver.batch import Batch
from silver.breaker import breaker
from silver.merge import Merged
from silver.stream import judge, refine
from silver.table import prepare
from tests.messages import landed, plant
from tests.spark.jobs import last_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config

MEGABYTE = 1024 * 1024


def things(rules: int) -> Entity:
    """Return an entity whose suite has so many rules of rows."""
    kind = "expect_column_values_to_be_between"
    suite = [
        {
            "type": kind,
            "kwargs": {"column": "n", "min_value": -100 - number},
            "severity": "critical" if number % 2 else "warning",
            "meta": {"name": f"rule {number}"},
        }
        for number in range(rules)
    ]
    contents = {
        "entity.toml": 'topic = "esports-things"\nkeys = ["id"]',
        "schema.ddl": "id STRING NOT NULL, n INT",
        suites.FILE: json.dumps({"name": "things", "expectations": suite}),
    }
    return from_contents("things", contents, "conf/entities/things")


@pytest.fixture
def batch(
    spark: SparkSession, config: Config, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Refine batch number such of two rows, one of which has the *low* number."""
    # Checkpoints are not the subject: batches are refined without a query around them.
    monkeypatch.setattr("silver.batch.checkpoints.source_offsets", lambda *_: (None, "{}"))
    run = Run(config)
    plant(spark, run.lake, things(0), [])
    prepare(spark, things(0), run.lake)
    limit = breaker(spark, run.lake.table("silver", "things"), config.breaker, config.state_dir)

    def take(entity: Entity, number: int, low: int = 0) -> None:
        values = [{"id": str(number), "n": 1}, {"id": "low", "n": low}]
        messages = landed(spark, values, entity.topic, 2 * number)
        refine(
            judge(messages, entity),
            Batch(entity, run.lake, "own", number, datetime.now(UTC), "r", limit),
        )

    return take


def test_the_spark_jobs_of_a_batch_do_not_grow_with_its_suite(
    spark: SparkSession, batch: Callable[..., None]
) -> None:
    batch(things(0), 0)  # the first one of a table has less to merge with
    jobs = {}
    for turn, rules in enumerate((0, 5, 20)):
        batch(things(rules), 2 * turn + 1)  # compiles its conditions, once
        before = last_job(spark)
        batch(things(rules), 2 * turn + 2)
        jobs[rules] = last_job(spark) - before
    assert jobs[0] > 0
    assert jobs == dict.fromkeys(jobs, jobs[0])


def test_a_batch_like_the_one_before_has_no_code_compiled(
    spark: SparkSession, batch: Callable[..., None]
) -> None:
    jvm: Any = spark._jvm
    metrics, entity = jvm.org.apache.spark.metrics.source.CodegenMetrics, things(2)
    compiled = []
    for number in range(6):
        batch(entity, number, low=-200)  # one row for each table
        compiled.append(metrics.METRIC_COMPILATION_TIME().getCount())
    assert compiled[0] > 0
    assert compiled[-1] == compiled[-2], compiled


@pytest.mark.parametrize(
    ("batches", "merged_every"), [(60, 6), pytest.param(500, 1, marks=pytest.mark.soak)]
)
def test_many_batches_leave_nothing_behind(
    spark: SparkSession,
    batch: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    batches: int,
    merged_every: int,
) -> None:
    """Most of the sixty are not merged: Delta's MERGE takes ten times as long as all the rest."""
    context, entity = spark.sparkContext._jsc.sc(), things(5)
    memory = spark._jvm.java.lang.Runtime.getRuntime()  # type: ignore[union-attr]

    def heap() -> int:
        time.sleep(0.5)  # Spark's cleaner follows the collector on a thread of its own
        spark._jvm.java.lang.System.gc()  # type: ignore[union-attr]
        return int(memory.totalMemory() - memory.freeMemory()) // MEGABYTE

    def left() -> dict[str, int]:
        gc.collect()
        return {
            "heap": min(heap() for _ in range(4)),
            "cached": context.getPersistentRDDs().size(),
            "views": sum(one.isTemporary for one in spark.catalog.listTables()),
            "python": psutil.Process().memory_info().rss // MEGABYTE,
        }

    def take(number: int) -> None:
        with monkeypatch.context() as patch:
            if number % merged_every:
                patch.setattr("silver.stream.merge", lambda *_, **__: Merged(0, 0))
            batch(entity, number, low=0 if number % merged_every else -1000)

    for number in range(batches // 3):
        take(number)
    before = left()
    for number in range(batches // 3, batches):
        take(number)
    after = left()
    assert (after["cached"], after["views"]) == (before["cached"], before["views"])
    # Spark's own, and bounded: it remembers its last thousand queries with their plans, some
    # 100 KB for each batch, and its pools keep each thread, with what it joined by, for a minute.
    more = batches - batches // 3
    assert after["heap"] - before["heap"] <= 64 + more // 4, (before, after)
    assert after["python"] - before["python"] <= 10 + more // 20, (before, after)
