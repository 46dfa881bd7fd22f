"""Delta's snapshots, asked for their state before a commit has to wait for it.

A commit that is a transaction asks the snapshot before it whether it has that one, and for this
Delta computes the whole state: two Spark jobs, for each commit. Nothing rests on what is done here:
a commit that comes first waits for the same computation, and what fails in it the commit meets and
tells.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JError
from pyspark import InheritableThread
from pyspark.errors import PySparkException

if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Thread

    from pyspark.sql import SparkSession

    from lakehouse.tables import Table


@contextmanager
def computing(spark: SparkSession, *tables: Table) -> Iterator[None]:
    """Have Delta compute the state of the latest snapshot of *tables* beside the block.

    So the jobs run while the driver does something else, one table after the other.
    """
    thread = InheritableThread(target=_compute, args=(spark, tables), session=spark)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def compute_ahead(spark: SparkSession, table: Table) -> Thread:
    """Have Delta begin to compute the state of the latest snapshot of *table*, in a thread.

    For a stream that starts, which knows no batch yet that this could be done beside. No code is
    generated for it: a JVM that has just started takes longer to compile that than to read a log.
    """
    own = spark.newSession()
    own.conf.set("spark.sql.codegen.wholeStage", "false")
    own.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    thread = InheritableThread(target=_compute, args=(own, (table,)), session=own, daemon=True)
    thread.start()
    return thread


def _compute(spark: SparkSession, tables: tuple[Table, ...]) -> None:
    with suppress(Py4JError, PySparkException):
        jvm: Any = spark._jvm  # noqa: SLF001 - Delta runs its jobs in the JVM thread's session
        jvm.org.apache.spark.sql.classic.SparkSession.setActiveSession(spark._jsparkSession)  # noqa: SLF001 - as above
        for table in tables:
            table.compute_state(spark)
