"""Why a query ended, as an error of ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException

from lakehouse import checkpoints, kafka, log
from lakehouse.errors import LakehouseError, TableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from lakehouse.settings import KafkaSettings
    from lakehouse.tables import Table

REPORTING_FAULT = 'because the return value of "scala.Option.get()" is null'


def fell_after_its_batch(spark: SparkSession, query: StreamingQuery, table: Table) -> bool:
    """Say whether a fault of Spark 4.1 ended *query* of *table* after all its work was committed.

    SPARK-57438: a Kafka query that first finishes a batch from before fails in reporting its
    progress. Only once, since nothing is unfinished any more when it starts again.
    """
    if REPORTING_FAULT not in failure_of(query):
        return False
    checkpoint = checkpoints.read(spark, table.checkpoint)
    return checkpoint is not None and checkpoint.unfinished is None


def raise_failure(
    query: StreamingQuery,
    own: BaseException | None,
    stream: str,
    topic: str,
    settings: KafkaSettings,
) -> None:
    """Raise what *query* failed with, as an error of ours; nothing if it ended by itself.

    *own* is what a batch of ours raised, of which Spark hands on the text only.

    Raises:
        LakehouseError: the own one, Kafka's as SourceError, or TableError: STREAM_FAILED.
    """
    if not (text := failure_of(query)):
        return
    if isinstance(own, LakehouseError):
        raise own
    log.get(stream).debug("Query failed", error=text)
    if stream.startswith("bronze.") and kafka.is_failure(text):
        raise kafka.failure(text, settings, topic, stream)
    condition = own.getCondition() if isinstance(own, PySparkException) else None
    named = re.search(r"\[([A-Z][A-Z0-9_.]+)\]", text)
    name = condition or (type(own).__name__ if own else named[1] if named else "an error of Spark")
    reason = kafka.telling_line(str(own) if own else text)
    raise TableError("STREAM_FAILED", stream=stream, error_class=name, reason=reason) from own


def failure_of(query: Any) -> str:
    """Return what ended *query*, each cause a line; nothing if it ended by itself."""
    failure = query._jsq.exception()  # noqa: SLF001 - pyspark keeps the message and drops the causes
    return kafka.causes(failure.get()) if failure.isDefined() else ""
