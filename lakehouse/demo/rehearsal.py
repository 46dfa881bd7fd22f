"""The rehearsal: both streams once over a few messages, so that the JVM keeps their classes."""

from __future__ import annotations

import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from confluent_kafka import Producer

import bronze.stream
import silver.stream
from lakehouse import broker, entities, jars, project, session
from lakehouse.demo import generator, story
from lakehouse.errors import MachineError
from lakehouse.run import Run
from lakehouse.settings import BreakerSettings, LakeSettings
from lakehouse.turns import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.entities import Entity
    from lakehouse.settings import Config

# Few, and enough bad ones for quarantine.
MESSAGES, BAD_RATE, SEED = 200, 0.1, 7
# The JVM writes the archive when it ends, on a slow machine for more than half a minute.
PATIENCE = 600.0
# Each checkout or environment on a machine has one of its own.
KEPT = 4


def archive(config: Config) -> Path:
    """Have an archive of the classes that streams load lie beside the jars, and return its path.

    A JVM that starts with it maps the classes of Spark, Delta and Kafka from a file, and neither
    reads nor verifies them. It is good for one Java, one pyspark and one set of jars; one that is
    there for these is left alone, and of those for others the newest stay. Nothing rests on it:
    without one, or with one that the JVM does not take, a start takes seconds longer, that is all.

    The streams run on a broker and a lake of their own, of which nothing is left.

    Raises:
        MachineError: JARS_UNSOUND, JAVA_MISSING, or ARCHIVE_FAILED when the JVM wrote none.
    """
    folder = config.jars.dir.absolute()
    jars.verify("spark", folder)
    path = jars.archive(folder)
    if not path.is_file():
        _end_in_order()
        try:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".archive-") as scratch:
                made = Path(scratch) / path.name
                _rehearse(config, Path(scratch), made)
                if not made.is_file():
                    reason = "the JVM ended without writing it"
                    raise MachineError("ARCHIVE_FAILED", path=path, reason=reason)
                made.replace(path)
            _keep_the_newest(folder)
        except OSError as error:
            raise MachineError("ARCHIVE_FAILED", path=path, reason=error) from error
    return path


def _keep_the_newest(folder: Path) -> None:
    times = {one: one.stat().st_mtime for one in folder.glob(f"{jars.ARCHIVE}*.jsa")}
    for old in sorted(times, key=times.__getitem__)[:-KEPT]:
        old.unlink(missing_ok=True)


def _end_in_order() -> None:
    """Have a signal that ends this process end the broker and the JVM too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def _rehearse(config: Config, scratch: Path, made: Path) -> None:
    """Run the streams of the sample entities in *scratch*, in a JVM that leaves *made* behind."""
    project.make(scratch / "project")
    samples = entities.load_all(scratch / "project" / "conf")
    with broker.running(scratch / "kafka", config.jars.dir) as kafka:
        _produce(kafka.bootstrap, samples)
        own = story.apart(config, kafka.bootstrap)
        option = {session.JAVA: f'"-XX:ArchiveClassesAtExit={made}"'}
        spark_settings = own.spark.model_copy(update={"options": option})
        lake = LakeSettings(root=str(scratch / "lake"))
        parts = {"spark": spark_settings, "lake": lake, "breaker": BreakerSettings()}
        run = Run(own.model_copy(update=parts), once=True)
        spark = session.start(run.config, log=scratch / "spark.log")
        try:
            for entity in samples:
                for stream in (bronze.stream, silver.stream):
                    stream.start(spark, entity, run, Turn()).awaitTermination()
        except BaseException:
            with suppress(Exception):  # the first failure is told; the JVM is ended all the same
                session.stop(spark, seconds=0)
            raise
        session.stop(spark, seconds=PATIENCE)


def _produce(bootstrap: str, samples: Sequence[Entity]) -> None:
    story.create_topics(bootstrap, samples)
    topics = {entity.name: entity.topic for entity in samples}
    producer = Producer({"bootstrap.servers": bootstrap})
    for message in generator.messages(MESSAGES, bad_rate=BAD_RATE, seed=SEED):
        producer.produce(topics[message.entity], message.value, message.key)
    producer.flush()
