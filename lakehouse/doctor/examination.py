"""All checks, one after the other; none keeps the next from being made."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import config as settings
from lakehouse import destinations, entities, kafka, layout, owner
from lakehouse.doctor import brokers, lake, machine, progress
from lakehouse.doctor.finding import Verdict, of, ok, settled, warn, worst
from lakehouse.errors import ConfigError, LakehouseError
from lakehouse.reading.rows import opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from deltalake import DeltaTable

    from lakehouse.doctor.finding import Finding
    from lakehouse.entities import Entity
    from lakehouse.settings import Config

REST = "jars, disk, broker, topics, root, locks, checkpoints, properties"
# Where Spark spills unless it is told another place.
SPILL = "/tmp"  # noqa: S108 - Spark's own default; only its free space is looked at


def examine(folder: Path, env: str | None) -> Iterator[Finding]:
    """Yield what is found of this machine, the configuration in *folder*, Kafka and the lake.

    Starts no JVM but to ask Java for its version, and changes nothing. Every error of ours and of
    the operating system's is a finding.
    """
    yield from settled("java", machine.java)
    yield from machine.python()
    yield from machine.versions()
    try:
        config = settings.load(folder, env)
        kafka.client_options(config.kafka)
        destinations.read(config.alarms)
    except LakehouseError as error:
        yield of("configuration", error)
        yield warn("configuration", f"not looked at: {REST}", "run it again once that is mended")
        return
    named = f" with environment {env}" if env else ""
    yield ok("configuration", f"the settings of {folder}{named} are sound")
    found: list[Entity] = []
    yield from settled("entities", partial(_entities, folder / "entities", found))
    yield from settled("jars", partial(machine.jar_files, config.jars.dir))
    yield from _examined(config, found)


def _entities(home: Path, sound: list[Entity]) -> Iterator[Finding]:
    """Read each entity below *home*, and add it to those that are *sound* where it is."""
    names = sorted(path.name for path in home.iterdir() if path.is_dir()) if home.is_dir() else []
    if not names:
        raise ConfigError("FILE_MISSING", file=home, purpose="its folders are the entities")
    for name in names:
        try:
            sound.append(entities.load(home / name))
        except LakehouseError as error:
            yield of("entities", error, name)
    if sound:
        there = ", ".join(one.name for one in sound)
        said = f"{there}; `lakehouse check` looks into their schemas and expectations"
        yield ok("entities", said)


def _examined(config: Config, found: Sequence[Entity]) -> Iterator[Finding]:
    tables, wrong = _tables(config, found)
    yield from settled("broker", partial(_kafka, config, found, tables))
    yield from settled("root", partial(lake.root, config.lake, config.state_dir))
    spill = Path(config.spark.options.get("spark.local.dir", SPILL).partition(",")[0])
    local = [Path(config.lake.location)] if config.lake.is_local else []
    folders = [*local, config.state_dir, spill]
    batch = config.streams.max_bytes_per_trigger
    yield from settled("disk", partial(machine.room, folders, batch))
    yield from settled("clock", partial(_clock, tables))
    streams = [f"{layer}.{one.name}" for one in found for layer in ("bronze", "silver")]
    yield from settled("locks", partial(lake.locks, config.state_dir, streams))
    if not config.lake.is_local:
        return
    yield from settled(
        "entities",
        partial(lake.strangers, Path(config.lake.location), [one.name for one in found]),
    )
    yield from wrong
    unread = {one.about for one in wrong}
    for stream in streams:
        look = partial(_progress, config, stream, unread)
        progressed = settled("checkpoints", look, stream)
        if worst(progressed) is Verdict.FAIL:  # it may have begun or ended while it was looked at
            progressed = settled("checkpoints", look, stream)
        yield from progressed
    for one in found:
        for layer in lake.LAYERS:
            name = f"{layer}.{one.name}"
            if (table := tables.get(name)) is not None:
                own = table.metadata().configuration
                yield from settled(
                    "properties", partial(lake.properties, name, own, one, config.lake), name
                )


def _tables(config: Config, found: Sequence[Entity]) -> tuple[dict[str, DeltaTable], list[Finding]]:
    """Return the tables of a local lake that can be read, and what was found of the others."""
    tables: dict[str, DeltaTable] = {}
    wrong: list[Finding] = []
    names = [(layer, one.name) for one in found for layer in lake.LAYERS]
    for layer, name in names if config.lake.is_local else ():
        try:
            table = opened(config.lake, layer, name)
        except LakehouseError as error:
            wrong.append(of("tables", error, f"{layer}.{name}"))
        else:
            if table is not None:
                tables[f"{layer}.{name}"] = table
    return tables, wrong


def _kafka(
    config: Config, found: Sequence[Entity], tables: Mapping[str, DeltaTable]
) -> Iterator[Finding]:
    try:
        answer = brokers.asked(config.kafka, [one.topic for one in found])
    except LakehouseError as error:
        yield of("broker", error)
        cure = "run it again once the broker answers"
        yield warn("topics", "not looked at: no broker told of them", cure)
        return
    yield from brokers.broker(config.kafka, answer)
    ids = {
        one.name: table.metadata().configuration.get(layout.TOPIC_ID, "")
        for one in found
        if (table := tables.get(f"bronze.{one.name}")) is not None
    }
    yield from brokers.topics(config.kafka, answer, found, ids)


def _clock(tables: Mapping[str, DeltaTable]) -> Iterator[Finding]:
    """Compare the clock with the newest times in the lake: of commits, of messages in bronze."""
    found = {}
    for name, table in tables.items():
        found[f"the newest version of {name}"] = progress.newest_commit(table)
        if name.startswith("bronze."):
            found[f"a message in {name}"] = progress.newest_message(table)
    newest = {name: at for name, at in found.items() if at is not None}
    return machine.clock(datetime.now(UTC), newest)


def _progress(config: Config, stream: str, unread: set[str]) -> Iterator[Finding]:
    """Look at the checkpoint of *stream*, and at its tables where they can be read and rest.

    At the tables as they are now: since they were opened first, the stream may have run.
    """
    folder = Path(config.lake.location) / "_checkpoints" / stream
    names = (stream, stream.replace("silver.", "quarantine.", 1))
    if owner.holder(config.state_dir, stream) is not None:
        return progress.readable(stream, folder)
    if unread.intersection(names):
        return iter(())
    table, quarantine = (opened(config.lake, *name.split(".", 1)) for name in names)
    return progress.compared(stream, folder, table, quarantine)
