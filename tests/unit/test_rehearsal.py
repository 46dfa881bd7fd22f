"""The archive of classes is made once for each set of jars, or its lack is told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lakehouse import jars
from lakehouse.demo import rehearsal
from lakehouse.errors import MachineError

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.settings import Config


@pytest.fixture
def own(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The settings with a folder of jars in which no archive is."""
    (folder := tmp_path / "jars").mkdir()
    monkeypatch.setattr(jars, "verify", lambda *_: [])
    monkeypatch.setattr(rehearsal, "_end_in_order", lambda: None)  # this process is not its own
    monkeypatch.setattr(jars, "archive", lambda at: at / f"{jars.ARCHIVE}now.jsa")
    return config.model_copy(update={"jars": config.jars.model_copy(update={"dir": folder})})


def test_an_archive_is_made_once(own: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsed: list[Path] = []

    def rehearse(_config: Config, _scratch: Path, made: Path) -> None:
        rehearsed.append(made)
        made.write_text("classes")

    monkeypatch.setattr(rehearsal, "_rehearse", rehearse)
    path = rehearsal.archive(own)
    assert rehearsal.archive(own) == path
    assert [one.name for one in own.jars.dir.iterdir()] == [path.name]
    assert path.read_text() == "classes"
    assert len(rehearsed) == 1
    assert rehearsed[0] != path, "half an archive must never lie where a start looks"


def test_the_oldest_archives_go(own: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    for age in range(rehearsal.KEPT + 1):
        old = own.jars.dir / f"{jars.ARCHIVE}{age}.jsa"
        old.touch()
        os.utime(old, (1_000_000 - age, 1_000_000 - age))
    monkeypatch.setattr(rehearsal, "_rehearse", lambda _config, _scratch, made: made.touch())
    path = rehearsal.archive(own)
    kept = {f"{jars.ARCHIVE}{age}.jsa" for age in range(rehearsal.KEPT - 1)}
    assert {one.name for one in own.jars.dir.iterdir()} == {*kept, path.name}


def test_a_jvm_that_leaves_no_archive_is_an_error(
    own: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "_rehearse", lambda *_: None)
    with pytest.raises(MachineError) as failed:
        rehearsal.archive(own)
    assert (failed.value.code, failed.value.exit_code) == ("ARCHIVE_FAILED", 6)
    assert not list(own.jars.dir.iterdir())


def test_a_folder_that_cannot_be_written_is_an_error(own: Config) -> None:
    gone = own.jars.model_copy(update={"dir": own.jars.dir / "gone"})
    with pytest.raises(MachineError) as failed:
        rehearsal.archive(own.model_copy(update={"jars": gone}))
    assert failed.value.code == "ARCHIVE_FAILED"
    assert "gone" in str(failed.value.message.why)
