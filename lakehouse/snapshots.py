"""Delta's snapshots, asked for their state before a commit has to wait for it."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from py4j.protocol import Py4JError
from pyspark import InheritableThread
from pyspark.errors import PySparkException

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from lakehouse.tables import Table


@contextmanager
def computing(spark: SparkSession, *tables: Table) -> Iterator[None]:
    """Have Delta compute the state of the latest snapshot of *tables* beside the block.

    A commit that is a transaction asks the snapshot before it whether it has that one, and for this
    Delta computes the whole state: two Spark jobs, for each commit. Here they run while the driver
    does something else, one table after the other. Nothing rests on it: a commit that comes first
    waits for the same computation, and what fails in it the commit meets and tells.
    """
    thread = InheritableThread(target=_compute, args=(spark, tables), session=spark)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _compute(spark: SparkSession, tables: tuple[Table, ...]) -> None:
    with suppress(Py4JError, PySparkException):
        for table in tables:
            table.compute_state(spark)
