"""The jars folder is held against the lock, without a network and without Java."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

import pytest

from lakehouse import jars
from lakehouse.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"the content of a jar"
JARS = [
    jars.Jar("org.example", name, "1.0", hashlib.sha256(CONTENT).hexdigest())
    for name in ("first", "second")
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which every jar of a small lock is sound."""
    monkeypatch.setattr(jars, "locked", lambda _group: JARS)
    for jar in JARS:
        (tmp_path / jar.filename).write_bytes(CONTENT)
    return tmp_path


@pytest.mark.parametrize("group", jars.GROUPS)
def test_every_jar_is_locked_by_coordinate_and_sha256(group: str) -> None:
    assert jars.locked(group)
    for jar in jars.locked(group):
        assert jar.organisation
        assert jar.artifact
        assert re.match(r"\d", jar.version), jar
        assert re.fullmatch(r"[0-9a-f]{64}", jar.sha256), jar


@pytest.mark.parametrize("group", jars.GROUPS)
def test_no_jar_is_locked_twice(group: str) -> None:
    names = [(jar.organisation, jar.artifact) for jar in jars.locked(group)]

    assert len(names) == len(set(names))


def test_the_kafka_client_of_the_broker_is_of_its_own_version() -> None:
    versions = {j.version for j in jars.locked("broker") if j.organisation == "org.apache.kafka"}

    assert len(versions) == 1


def test_sound_jars_are_returned_in_the_order_of_the_lock(folder: Path) -> None:
    assert jars.verify("spark", folder) == [folder / jar.filename for jar in JARS]


def test_a_missing_jar_is_named_with_its_cure(folder: Path) -> None:
    (folder / JARS[1].filename).unlink()

    with pytest.raises(MachineError) as caught:
        jars.verify("spark", folder)

    assert caught.value.code == "JARS_UNSOUND"
    assert caught.value.params["count"] == 1
    assert caught.value.message.why == "org.example.second-1.0.jar is missing"
    assert "lakehouse jars fetch" in caught.value.message.cure


def test_an_altered_jar_is_named_with_its_cure(folder: Path) -> None:
    (folder / JARS[0].filename).write_bytes(CONTENT + b"!")

    with pytest.raises(MachineError) as caught:
        jars.verify("spark", folder)

    assert caught.value.code == "JARS_UNSOUND"
    assert caught.value.message.why == "org.example.first-1.0.jar was altered"
    assert "lakehouse jars fetch" in caught.value.message.cure


def test_an_empty_folder_names_some_jars_and_counts_all(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as caught:
        jars.verify("broker", tmp_path)

    assert caught.value.params["count"] == len(jars.locked("broker"))
    assert caught.value.message.why.endswith("...")


def test_sound_jars_are_not_fetched_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "_ask_ivy", lambda *_: pytest.fail("nothing is wanted"))

    assert len(jars.fetch("spark", folder)) == len(JARS)


def test_only_what_is_unsound_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / JARS[0].filename).write_bytes(b"altered")
    asked: list[jars.Jar] = []

    def bring(wanted: list[jars.Jar], _group: str, scratch: Path) -> None:
        asked.extend(wanted)
        (scratch / "jars").mkdir()
        for jar in wanted:
            (scratch / "jars" / jar.filename).write_bytes(CONTENT)

    monkeypatch.setattr(jars, "_ask_ivy", bring)

    jars.fetch("spark", folder)

    assert asked == [JARS[0]]
    assert sorted(path.name for path in folder.iterdir()) == [jar.filename for jar in JARS]


def test_a_fetch_that_brings_something_else_is_unsound(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bring(wanted: list[jars.Jar], _group: str, scratch: Path) -> None:
        (scratch / "jars").mkdir()
        (scratch / "jars" / wanted[0].filename).write_bytes(b"something else")

    (folder / JARS[0].filename).unlink()
    monkeypatch.setattr(jars, "_ask_ivy", bring)

    with pytest.raises(MachineError, match="JARS_UNSOUND"):
        jars.fetch("spark", folder)


def test_a_java_home_without_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with pytest.raises(MachineError) as caught:
        jars.java()

    assert caught.value.code == "JAVA_MISSING"
    assert str(tmp_path) in caught.value.message.why


def test_an_archive_of_classes_is_of_one_java_and_one_set_of_jars(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java"
    java.write_text("one")
    monkeypatch.setattr(jars, "java", lambda: str(java))
    first = jars.archive(folder)
    assert first == jars.archive(folder)
    assert first.parent == folder

    (folder / JARS[0].filename).write_bytes(b"another jar")
    second = jars.archive(folder)
    java.write_text("another")

    assert len({first, second, jars.archive(folder)}) == 3
