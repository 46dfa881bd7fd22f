"""The Spark session: the only place that sets Spark options."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from lakehouse import jars
from lakehouse.errors import ConfigError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.settings import Config

# What correctness rests on. Each has a test in tests/spark/test_session.py.
REQUIRED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # With ANSI one row of x / 0 in a derived column would stop the stream for ever.
    "spark.sql.ansi.enabled": "false",
    # Timestamps without a zone are UTC on every machine.
    "spark.sql.session.timeZone": "UTC",
    # INT96, Spark's default, is unreadable elsewhere for far dates.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}

# What makes small batches cheap; none changes a result. docs/adr/0006 has the figures.
DEFAULTS = {
    "spark.app.name": "lakehouse",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # The default of 50 tasks costs seconds on each snapshot of a small table.
    "spark.databricks.delta.snapshotPartitions": "2",
    # Delta's own plans fill the default of 100 entries, and then each batch compiles anew.
    "spark.sql.codegen.cache.maxEntries": "2000",
    # The rows of a MERGE are shuffled by key for its join already. Once more, by partition, before
    # they are written takes a fifth of a batch of 100,000 rows, for as many files.
    "spark.databricks.delta.merge.repartitionBeforeWrite.enabled": "false",
    # As fast as snappy and half its size or less; Parquet's own level, 3, takes a tenth longer.
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.hadoop.parquet.compression.codec.zstd.level": "1",
    # A stop that hangs is an error to be seen, not a process that never ends.
    "spark.sql.streaming.stopTimeout": "60s",
    "spark.sql.streaming.numRecentProgressUpdates": "10",
    # Spark would remember its last thousand queries with their plans, 100 KB and more for each
    # batch, for a page that is not served.
    "spark.sql.ui.retainedExecutions": "20",
    "spark.ui.retainedJobs": "100",
    "spark.ui.retainedStages": "100",
    "spark.cleaner.referenceTracking.cleanCheckpoints": "true",
}

# A driver that has no executors elsewhere listens on this machine alone.
LOCAL = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
# Would bring jars that the lock does not know.
REFUSED = ("spark.jars", "spark.jars.packages", "spark.jars.ivy", "spark.jars.ivySettings")
# What an option of the user's is added to, and does not replace.
CLASSPATH, JAVA = "spark.driver.extraClassPath", "spark.driver.extraJavaOptions"
# The code that Spark generates for a parse or a MERGE is longer than the 8000 bytes beyond which
# the JVM would interpret it for ever.
COLLECTOR = "-XX:+UseParallelGC"
JAVA_OPTIONS = f"{COLLECTOR} -XX:-DontCompileHugeMethods"
STOP_SECONDS = 20.0
OWN = Path(__file__).parent / "spark-conf"
# No folder, so none of this machine's defaults is read. Spark has it on the JVM's classpath, and
# with one there that holds a file the JVM would refuse its archive of classes.
NO_CONF = OWN / "none"


def running() -> SparkSession | None:
    """Return the session of this process, whoever started it; None where none runs."""
    if SparkContext._active_spark_context is None:  # noqa: SLF001 - pyspark asks a JVM otherwise
        return None
    return SparkSession.builder.getOrCreate()


def start(
    config: Config,
    *,
    log: Path | None = None,
    inherit: Sequence[int] = (),
    warehouse: Path | None = None,
) -> SparkSession:
    """Return a running session with Delta and Kafka on its classpath.

    Nothing is downloaded. The JVM inherits the descriptors *inherit*, so a lock that they hold
    lasts as long as either process, and it ignores SIGINT, SIGTERM and SIGHUP: a signal to the
    whole process group stops the streams in order instead of tearing the JVM from under them.
    Spark's own log goes to *log*, or nowhere. Its *warehouse*, in which nothing of ours lies, is
    in the folder of the state if not given. Call it from the main thread, as signals demand.

    Raises:
        MachineError: JAVA_MISSING or JARS_UNSOUND.
        ConfigError: BAD_OPTION for a Spark option that correctness rests on.
    """
    for key in config.spark.options:
        if key in REQUIRED or key in REFUSED:
            raise ConfigError("BAD_OPTION", key=key, reason="what lakehouse gives it is relied on")
    folder = config.jars.dir.absolute()
    paths, archive = jars.verify("spark", folder), jars.archive(folder)
    where = warehouse or config.state_dir / "warehouse"
    if running() is None:
        _end_jvm()  # of a session that was stopped by its own `stop`: a new one would live in it
    conf = SparkConf(loadDefaults=False).setMaster(config.spark.master)
    options = options_of(config, paths, archive, log)
    conf.setAll([("spark.sql.warehouse.dir", str(where)), *options.items()])
    with _output_of_the_jvm(log) as output:
        streams = {"stdout": output, "stderr": output, "pass_fds": tuple(inherit)}
        gateway = None
        try:
            with _signals_kept_from_children(), _environment(SPARK_CONF_DIR=str(NO_CONF)):
                gateway = launch_gateway(conf, popen_kwargs=streams)  # type: ignore[no-untyped-call]  # pyspark left it untyped
            context = SparkContext(conf=conf, gateway=gateway)
        except Exception as error:
            if gateway is not None:
                gateway.shutdown()
            reason = str(error).strip().partition("\n")[0]
            raise MachineError("SPARK_FAILED", reason=reason, log=log or "none is kept") from error
    return SparkSession(context)


def stop(spark: SparkSession, *, seconds: float = STOP_SECONDS) -> None:
    """Stop *spark* and its JVM; when this returns, neither a thread nor a process is left.

    A JVM that has not ended by itself after so many *seconds* is killed.
    """
    try:
        spark.stop()
    finally:
        _end_jvm(seconds)


def options_of(
    config: Config, paths: Sequence[Path], archive: Path, log: Path | None = None
) -> dict[str, str]:
    """Return Spark's options for *config*, with the jars at *paths* on the JVM's own classpath.

    Only classes from there are taken from the *archive*. What the configuration adds to the
    classpath, or to the options of Java, comes after ours; otherwise it stands over ours, but for
    REQUIRED.
    """
    own = config.spark.options
    master = config.spark.master
    # Also `local-cluster` has executors that are processes of their own.
    alone = re.fullmatch(r"local(\[.*\])?", master)
    return {
        **DEFAULTS,
        **(LOCAL if master.startswith("local") else {}),
        **({} if alone else {"spark.jars": ",".join(map(str, paths))}),
        "spark.driver.memory": config.spark.driver_memory,
        "spark.sql.shuffle.partitions": str(config.spark.shuffle_partitions or os.cpu_count() or 2),
        **own,
        **REQUIRED,
        CLASSPATH: os.pathsep.join([*map(str, paths), *filter(None, [own.get(CLASSPATH)])]),
        JAVA: _java_options(archive, log, own.get(JAVA, "")),
    }


def _java_options(archive: Path, log: Path | None, own: str) -> str:
    ours = JAVA_OPTIONS
    if re.search(r"-XX:\+Use\w+GC\b", own):  # a JVM that is told of two collectors does not start
        ours = ours.replace(COLLECTOR, "").strip()
    # In quotes, since the name of any folder may have a space.
    said = [ours, f'"-Dlog4j2.configurationFile={OWN / "log4j2.properties"}"']
    if log:
        said.append(f'-Dlakehouse.jvm.level=warn "-Dlakehouse.jvm.log={log}"')
    if archive.is_file():
        said.append(f'"-XX:SharedArchiveFile={archive}"')
    return " ".join([*said, *filter(None, [own])])


def _end_jvm(seconds: float = STOP_SECONDS) -> None:
    gateway = SparkContext._gateway  # noqa: SLF001 - pyspark offers no other way to end its JVM
    if gateway is None:
        return
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001 - so that a new session starts a new JVM
    gateway.shutdown()
    process = getattr(gateway, "proc", None)
    if isinstance(process, subprocess.Popen):
        if process.stdin:
            process.stdin.close()  # the JVM ends when its standard input does
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _output_of_the_jvm(log: Path | None) -> Iterator[IO[bytes]]:
    """Lend a file for what the JVM prints, which is never for the terminal."""
    if log is None:
        with Path(os.devnull).open("ab") as nowhere:
            yield nowhere
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.with_suffix(".out").open("ab") as file:
            yield file


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Have *variables* in the environment: Spark's scripts would read this machine's defaults."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Have children started inside ignore the signals that ask this process to stop.

    An ignored signal stays ignored across exec, and the JVM leaves it so. Blocking it here
    meanwhile keeps one that arrives just now: it is delivered when the block is lifted.
    """
    asked = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_BLOCK, asked)
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in asked}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, asked)
