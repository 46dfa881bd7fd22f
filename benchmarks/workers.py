"""Processes that run contestants: one JVM each, started once, idle while another one is measured.

JVM flags and Spark's static options cannot change within a session, so contestants that differ in
them live in JVMs of their own; a round asks each in turn, and so they are interleaved all the same.
"""

from __future__ import annotations

import os
import re
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from pyspark.sql import SparkSession

from benchmarks.place import config
from lakehouse import jars, session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEMORY = "4g"
# What anyone must set to use Delta at all; the rest is as Spark and Delta come.
STOCK = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}


@dataclass(frozen=True)
class Jvm:
    """What a JVM is started with: the product's own session, or `stock`, and what differs.

    `options` stand over the session's; `module.NAME` in `patched` is given another value first.
    Without `spark` there is no session, and contestants are not given one.
    """

    name: str
    stock: bool = False
    spark: bool = True
    options: dict[str, str] = field(default_factory=dict)
    patched: dict[str, Any] = field(default_factory=dict)
    memory: str = MEMORY


class ContestantError(Exception):
    """A contestant failed, as its own process tells it.

    Spark's errors hold on to their JVM, so they do not come from one process to another.
    """


@dataclass(frozen=True)
class Worker:
    """A process that runs one contestant at a time, in its Spark session if it has one."""

    pool: ProcessPoolExecutor

    def run(self, contestant: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `contestant(spark, *arguments)` returns.

        Raises:
            ContestantError: it raised something.
        """
        return self.pool.submit(_call, contestant, *arguments).result()

    def seconds(self, contestant: Callable[..., Any], *arguments: Any) -> float:
        """Return how long `contestant(spark, *arguments)` takes inside the process."""
        return float(self.pool.submit(_timed, contestant, *arguments).result())

    def peak_mib(self) -> float:
        """Return the most memory that the process and its JVM ever had, since last asked.

        The sum of what Linux keeps of each as VmHWM: the peaks of both need not have come together.
        """
        return float(self.pool.submit(_peak_mib).result())


@contextmanager
def working(jvm: Jvm, folder: Path) -> Iterator[Worker]:
    """Lend a worker with a session of *jvm*; both processes are gone afterwards."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, begin, (jvm, folder / jvm.name)) as pool:
        try:
            yield Worker(pool)
        finally:
            pool.submit(_end).result()


def begin(jvm: Jvm, folder: Path) -> None:
    """Have a Spark session of *jvm* run in this process, its files in *folder*."""
    import importlib

    for name, value in jvm.patched.items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    if not jvm.spark:
        return
    folder.mkdir(parents=True, exist_ok=True)
    own = config(folder, options=jvm.options, memory=jvm.memory)
    if not jvm.stock:
        session.start(own, log=folder / "spark.log")
        return
    os.environ["SPARK_CONF_DIR"] = str(Path(session.__file__).parent / "spark-conf")
    builder = SparkSession.builder.appName("stock").master(own.spark.master)
    paths = jars.verify("spark", own.jars.dir)
    for key, value in {
        "spark.jars": ",".join(map(str, paths)),
        "spark.driver.memory": jvm.memory,
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        **STOCK,
        **jvm.options,
    }.items():
        builder = builder.config(key, value)
    builder.getOrCreate()


def _end() -> None:
    if spark := SparkSession.getActiveSession():
        session.stop(spark)


def _peak_mib() -> float:
    own, total = psutil.Process(), 0
    for process in (own, *own.children(recursive=True)):
        folder = Path(f"/proc/{process.pid}")
        peak = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
        total += int(peak[1]) if peak else 0
        (folder / "clear_refs").write_text("5")
    return total / 1024


def _call(contestant: Callable[..., Any], *arguments: Any) -> Any:
    spark = SparkSession.getActiveSession()
    try:
        return contestant(*([spark] if spark else []), *arguments)
    except Exception:  # noqa: BLE001 - whatever it is, it is told as text
        raise ContestantError(traceback.format_exc()) from None


def _timed(contestant: Callable[..., Any], *arguments: Any) -> float:
    began = time.perf_counter()
    _call(contestant, *arguments)
    return time.perf_counter() - began
