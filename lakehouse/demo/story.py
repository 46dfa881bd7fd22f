"""The demo: a broker, a lake, real messages good and bad, both streams, and the proof."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pyspark.sql import functions as F

from lakehouse import broker, owner, pipeline, session, streams
from lakehouse.demo import generator
from lakehouse.errors import ConfigError, ExpectationError
from lakehouse.proof.account import Account, account
from lakehouse.run import Run
from lakehouse.settings import AlarmSettings, KafkaSettings, StateSettings
from lakehouse.signals import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from lakehouse.tables import Lake

# The messages are sent in waves, each once silver has taken most of the one before, so that matches
# are updated across batches and silver has versions to look back at.
WAVES = 3
TAKEN = 0.9
TRIGGER = "1 second"
PARTITIONS = {"matches": 4, "players": 2}
VERSIONS = 3


@dataclass(frozen=True)
class Dials:
    """What the demo can be told."""

    messages: int
    bad_rate: float
    seed: int


@dataclass
class Progress:
    """How far the demo is; read from another thread to show it."""

    total: int
    produced: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    sent: bool = False
    error: BaseException | None = None
    next_wave: threading.Event = field(default_factory=threading.Event)

    def count(self) -> int:
        """Return how many messages Kafka has confirmed."""
        return sum(len(positions) for positions in self.produced.values())


@dataclass(frozen=True)
class Ending:
    """What the demo found at its end."""

    root: str
    accounts: tuple[Account, ...]
    reasons: dict[str, list[dict[str, Any]]]
    versions: dict[str, list[dict[str, Any]]]


def play(
    config: Config,
    entities: Sequence[Entity],
    dials: Dials,
    show: Callable[[Progress, dict[str, int]], None],
) -> Ending | None:
    """Play the demo in the lake that *config* names, and return what its tables then say.

    None when it was asked to stop before its end.

    A broker of its own is started on a free port and stopped at the end; *show* is called now and
    then with the progress and the rows of each stream. Nothing is left running, whatever happens.
    """
    asked = Asked()
    asked.listen()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lakehouse-broker-")))
        kafka = stack.enter_context(broker.running(scratch, config.jars.dir))
        run = Run(apart(config, kafka.bootstrap))
        names = [f"{layer}.{entity.name}" for layer in pipeline.LAYERS for entity in entities]
        locks = [stack.enter_context(owner.owning(run.config.state_dir, name)) for name in names]
        create_topics(kafka.bootstrap, entities)
        spark = session.start(run.config, log=run.config.state_dir / "spark.log", inherit=locks)
        stack.callback(session.stop, spark)
        asked.listen()
        progress = Progress(dials.messages)
        with _producing(kafka.bootstrap, entities, dials, progress):
            built, health = pipeline.build(spark, run, entities, pipeline.LAYERS)

            def done() -> int:
                rows = {name: seen.rows for name, seen in health.streams.items()}
                show(progress, rows)
                if 0 < progress.count() <= _taken(rows) / TAKEN:
                    progress.next_wave.set()
                return asked() or int(progress.error is not None or _caught_up(progress, rows))

            streams.run_all(spark, built, run, health, asked=done)
        if progress.error is not None:
            raise progress.error
        if asked():
            return None
        return _ending(spark, run.lake, entities, progress)


@contextmanager
def lake_root(named: str | None, *, keep: bool) -> Iterator[str]:
    """Lend the demo a root for its lake: the one *named*, or a folder of its own.

    One that was named is never deleted; one of its own is, unless *keep*, or the proof failed: then
    it is the evidence.

    Raises:
        ConfigError: LAKE_NOT_EMPTY.
    """
    if named is not None:
        folder = Path(named)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError("LAKE_NOT_EMPTY", root=named)
        yield named
        return
    own = tempfile.mkdtemp(prefix="lakehouse-demo-")
    try:
        yield own
    except ExpectationError:
        keep = True
        raise
    finally:
        if not keep:
            shutil.rmtree(own, ignore_errors=True)


def apart(config: Config, bootstrap: str) -> Config:
    """Return *config* with the demo's own broker, state and rhythm: nothing of production's."""
    own = KafkaSettings(bootstrap=bootstrap)
    streams = config.streams.model_copy(update={"trigger": TRIGGER})
    spark = config.spark.model_copy(update={"master": "local[*]"})
    state, alarms = StateSettings(), AlarmSettings()
    return config.model_copy(
        update={
            "kafka": own,
            "streams": streams,
            "spark": spark,
            "state": state,
            "alarms": alarms,
        }
    )


def create_topics(bootstrap: str, entities: Sequence[Entity]) -> None:
    """Have the broker hold the topic of each of *entities*."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(e.topic, PARTITIONS.get(e.name, 1), 1) for e in entities]
    for created in admin.create_topics(topics).values():
        created.result()


@contextmanager
def _producing(
    bootstrap: str, entities: Sequence[Entity], dials: Dials, progress: Progress
) -> Iterator[None]:
    """Produce in a thread of its own while the block runs; the thread ends with the block."""
    halt = threading.Event()
    arguments = (bootstrap, entities, dials, progress, halt)
    thread = threading.Thread(target=_produce, args=arguments, name="producer")
    thread.start()
    try:
        yield
    finally:
        halt.set()
        thread.join()


def _produce(
    bootstrap: str,
    entities: Sequence[Entity],
    dials: Dials,
    progress: Progress,
    halt: threading.Event,
) -> None:
    topics = {entity.name: entity.topic for entity in entities}
    # Idempotent, so that a retry inside the client does not send a message twice.
    options = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 3}
    producer = Producer(options)
    wave = -(-dials.messages // WAVES)  # rounded up

    def confirmed(entity: str) -> Callable[[Any, Any], None]:
        def note(error: Any, message: Any) -> None:
            if error is None:
                progress.produced[entity].append((message.partition(), message.offset()))
            else:
                progress.error = RuntimeError(f"Kafka refused a message: {error}")

        return note

    callbacks = {name: confirmed(name) for name in topics}
    try:
        told = generator.messages(dials.messages, bad_rate=dials.bad_rate, seed=dials.seed)
        for number, message in enumerate(told, start=1):
            if halt.is_set():
                return
            producer.produce(
                topics[message.entity],
                message.value,
                message.key,
                headers=list(message.headers),
                on_delivery=callbacks[message.entity],
            )
            producer.poll(0)
            if number % wave == 0 and number < dials.messages:
                progress.next_wave.clear()
                producer.flush()
                while not halt.is_set() and not progress.next_wave.wait(0.2):
                    pass
        producer.flush()
        progress.sent = True
    except Exception as error:  # noqa: BLE001 - raised again in the main thread
        progress.error = error


def _taken(rows: dict[str, int]) -> int:
    return sum(n for name, n in rows.items() if name.startswith("silver."))


def _caught_up(progress: Progress, rows: dict[str, int]) -> bool:
    """Say whether silver has seen all that was produced; the proof then says whether it is so."""
    return progress.sent and all(
        rows[f"silver.{name}"] >= len(positions) for name, positions in progress.produced.items()
    )


def _ending(
    spark: SparkSession, lake: Lake, entities: Sequence[Entity], progress: Progress
) -> Ending:
    accounts = tuple(account(spark, e, lake, progress.produced[e.name]) for e in entities)
    reasons = {e.name: _reasons(spark, lake, e) for e in entities}
    versions = {e.name: _versions(spark, lake, e) for e in entities}
    return Ending(lake.root, accounts, reasons, versions)


def _reasons(spark: SparkSession, lake: Lake, entity: Entity) -> list[dict[str, Any]]:
    """Return each reason with its rows and one example, the most frequent first."""
    rows = lake.table("quarantine", entity.name).read(spark)
    each = rows.select("value", "partition", "offset", F.explode("reasons").alias("reason"))
    example = F.min_by(F.struct("value", "reason", "partition", "offset"), "offset").alias(
        "example"
    )
    # A message may have one reason twice, of two of its fields.
    counted = each.groupBy("reason.code").agg(
        F.count_distinct("partition", "offset").alias("rows"), example
    )
    return [
        {
            "reason": row["code"],
            "rows": row["rows"],
            "column": row["example"]["reason"]["column"],
            "expected": row["example"]["reason"]["expected"],
            "got": row["example"]["reason"]["got"],
            "value": row["example"]["value"],
            "position": f"{entity.topic}:{row['example']['partition']}:{row['example']['offset']}",
        }
        for row in counted.orderBy(F.desc("rows"), "code").collect()
    ]


def _versions(spark: SparkSession, lake: Lake, entity: Entity) -> list[dict[str, Any]]:
    history = lake.table("silver", entity.name).delta(spark).history(VERSIONS)
    names = {"numTargetRowsInserted": "inserted", "numTargetRowsUpdated": "updated"}
    return [
        {
            "version": row["version"],
            "at": row["timestamp"].isoformat(timespec="seconds"),
            "operation": row["operation"],
            **{short: row["operationMetrics"].get(long) for long, short in names.items()},
        }
        for row in history.orderBy(F.desc("version")).collect()
    ]
