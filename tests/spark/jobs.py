"""How many jobs Spark has run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def last_job(spark: SparkSession) -> int:
    """Return the number of the newest job, after all that was asked before is accounted for."""
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    jobs = context.statusStore().jobsList(None)
    return max(int(jobs.apply(i).jobId()) for i in range(jobs.size()))
