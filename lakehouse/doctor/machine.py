"""The machine: Java, Python, packages and jars that belong together, room, and the time."""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING

from lakehouse import jars
from lakehouse.doctor.finding import fail, of, ok, warn
from lakehouse.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lakehouse.doctor.finding import Finding
    from lakehouse.jars import Jar

# As pyproject.toml has it; a test compares.
OLDEST_PYTHON = (3, 11)
# A batch is read, shuffled and written: less than twice its size cannot hold even that, and twenty
# are some minutes of a busy stream.
LEAST_BATCHES, FEW_BATCHES = 2, 20
BYTES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# There was no lakehouse before that, so no clock that says so is right.
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
# Clocks that anybody sets differ by less.
TOLERANCE = timedelta(minutes=1)


def java() -> Iterator[Finding]:
    """Look for the Java that Spark would be started with."""
    yield ok("java", f"{jars.java()} is Java {jars.OLDEST_JAVA} or newer")


def python(version: Sequence[int] = sys.version_info[:3]) -> Iterator[Finding]:
    """Compare the Python that runs this with the oldest that will do."""
    said = f"{'.'.join(map(str, version))} ({sys.executable})"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if tuple(version[:2]) < OLDEST_PYTHON:
        yield fail("python", f"{said} is too old", f"make the environment with {oldest} or newer")
    else:
        yield ok("python", said)


def versions() -> Iterator[Finding]:
    """Look whether the packages are those that this lakehouse was made for, and fit its jars."""
    try:
        asked = pinned(metadata.requires("lakehouse") or ())
    except metadata.PackageNotFoundError:
        cure = "install it: `pip install` of its wheel, or `make setup` in a checkout"
        yield fail("versions", "lakehouse is not installed, so its packages are not known", cure)
        return
    found = {name: _installed(name) for name in asked}
    yield from belonging(asked, found, jars.locked("spark"))


def pinned(requirements: Sequence[str]) -> dict[str, str]:
    """Return the packages of which *requirements* take just one version, and which."""
    matches = (re.fullmatch(r"([\w.-]+)==([\w.]+)", one) for one in requirements)
    return {one[1]: one[2] for one in matches if one}


def belonging(
    asked: Mapping[str, str], found: Mapping[str, str | None], locked: Sequence[Jar]
) -> Iterator[Finding]:
    """Compare the packages *found* with those *asked* for, and with the *locked* jars."""
    sound = True
    for name, version in asked.items():
        if found[name] != version:
            sound = False
            there = f"is {found[name]}" if found[name] else "is not installed"
            said = f"{name} {there}; this lakehouse is made for {version}"
            yield fail("versions", said, f"run `pip install {name}=={version}`")
    for said in _strangers(found, locked):
        sound = False
        yield fail("versions", said, "install lakehouse anew: its packages and jars move together")
    if sound:
        yield ok("versions", ", ".join(f"{name} {version}" for name, version in asked.items()))


def _strangers(found: Mapping[str, str | None], locked: Sequence[Jar]) -> Iterator[str]:
    """Say which *locked* jars are of another Spark or Delta than the packages *found*."""
    spark, delta = found.get("pyspark"), found.get("delta-spark")
    for jar in locked:
        package = {"org.apache.spark": spark, "io.delta": delta}.get(jar.organisation)
        if package and jar.version != package:
            yield f"the jar {jar.filename} does not fit the package of version {package}"
        # Delta's jar carries the line of Spark that it is for, such as delta-spark_4.1_2.13.
        line = re.fullmatch(r"delta-spark_(\d+\.\d+)_[\d.]+", jar.artifact)
        if line and spark and not spark.startswith(f"{line[1]}."):
            yield f"the jar {jar.filename} is for Spark {line[1]}, and pyspark is {spark}"


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def jar_files(folder: Path) -> Iterator[Finding]:
    """Prove the jars in *folder*. Without the broker's, streams run all the same."""
    for group in jars.GROUPS:
        try:
            sound = jars.verify(group, folder)
        except MachineError as error:
            wrong = of("jars", error, group)
            yield wrong if group == "spark" else warn("jars", wrong.found, wrong.cure, group)
        else:
            yield ok("jars", f"{len(sound)} jars, each the locked one, in {folder}", group)
    with suppress(MachineError):  # without Java, which is told in a line of its own
        yield _archived(jars.archive(folder.absolute()))


def _archived(archive: Path) -> Finding:
    if archive.is_file():
        return ok("jars", f"classes are archived in {archive}", "archive")
    slower = "classes are not archived: `lakehouse jars archive` has each start take less time"
    return ok("jars", slower, "archive")


def room(folders: Sequence[Path], batch: str) -> Iterator[Finding]:
    """Look at the free space where each of *folders* is or will be; once for each file system.

    *batch* is the setting `streams.max_bytes_per_trigger`.
    """
    places: dict[int, Path] = {}
    for folder in folders:
        there = nearest(folder)
        places.setdefault(there.stat().st_dev, there)
    for place in places.values():
        yield space(place, shutil.disk_usage(place).free, size(batch))


def space(place: Path, free: int, batch: int) -> Finding:
    """Compare *free* bytes at *place* with the bytes of a *batch*."""
    said = f"{free / BYTES['g']:.1f} GB free at {place}"
    cure = "make room there, or move lake.root"
    if free < LEAST_BATCHES * batch:
        return fail("disk", f"{said}: no batch can be written", cure)
    if free < FEW_BATCHES * batch:
        return warn("disk", f"{said}: that is some minutes of a busy stream", cure)
    return ok("disk", said)


def size(text: str) -> int:
    """Return the bytes that *text* stands for, such as `256m`."""
    found = re.fullmatch(r"(\d+)([bkmg]?)", text)
    return int(found[1]) * BYTES[found[2] or "b"] if found else 0


def clock(now: datetime, newest: Mapping[str, datetime]) -> Iterator[Finding]:
    """Compare *now* with the *newest* times in the lake, by what they are of."""
    said = now.isoformat(timespec="seconds")
    if now < BEGAN:
        yield fail("clock", f"it says {said}", "set the clock, and keep it set by NTP")
        return
    ahead = {name: at for name, at in newest.items() if at > now + TOLERANCE}
    for name, at in ahead.items():
        yield warn(
            "clock",
            f"it says {said}, and {name} is of {at.isoformat(timespec='seconds')}",
            "set the clock that is wrong, this one or that of whoever wrote it, and keep it set by"
            " NTP: until then the newest row and the version of a time may not be what one thinks",
        )
    if not ahead:
        yield ok("clock", f"it says {said}, and nothing in the lake is newer")


def nearest(path: Path) -> Path:
    """Return *path*, or the nearest folder above it that exists."""
    return next(one for one in (path, *path.parents) if one.exists())
