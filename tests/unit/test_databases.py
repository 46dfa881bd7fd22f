"""The session that a lake is read with: one for a process, and nothing of it is left behind."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pyspark import SparkContext

from lakehouse import databases, jars, session
from lakehouse.errors import MachineError

if TYPE_CHECKING:
    from lakehouse.settings import Config


class Session:
    """What of a session is looked at: its settings."""

    def __init__(self, **settings: str) -> None:
        self.conf = SimpleNamespace(get=settings.get)


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # The session of the other tests, if they came before, is none of these.
    monkeypatch.setattr(session, "running", lambda: None)


def test_what_a_session_keeps_beside_the_lake_goes_with_it(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path] = []

    def start(_: Config, *, warehouse: Path) -> Any:
        given.append(warehouse)
        return Session()

    monkeypatch.setattr(session, "start", start)

    spark = databases.spark_of(config)
    (warehouse,) = given
    assert warehouse.parent == tmp_path
    assert warehouse.is_dir()
    assert not Path(config.lake.location).exists()

    del spark
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_does_not_start_leaves_nothing(config: Config, tmp_path: Path) -> None:
    none = config.jars.model_copy(update={"dir": tmp_path / "none"})

    with pytest.raises(MachineError) as found:
        databases.spark_of(config.model_copy(update={"jars": none}))

    assert found.value.code == "JARS_UNSOUND"
    assert list(tmp_path.iterdir()) == []


def test_the_session_that_runs_is_the_one_that_is_used(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = Session(**session.REQUIRED)
    monkeypatch.setattr(session, "running", lambda: running)

    assert databases.spark_of(config) is running  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("key", session.REQUIRED)
def test_a_session_that_reads_in_another_way_is_refused(
    config: Config, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    settings = {name: value for name, value in session.REQUIRED.items() if name != key}
    monkeypatch.setattr(session, "running", lambda: Session(**settings))

    with pytest.raises(MachineError) as found:
        databases.spark_of(config)

    assert (found.value.code, found.value.exit_code) == ("SPARK_TAKEN", 6)
    assert key in str(found.value.params["reason"])


def test_the_jvm_of_a_session_that_was_stopped_is_ended_before_a_new_one(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    left = SimpleNamespace(shutdown=lambda: done.append("ended"), proc=None)
    monkeypatch.setattr(SparkContext, "_gateway", left)
    monkeypatch.setattr(SparkContext, "_jvm", object())
    monkeypatch.setattr(jars, "verify", lambda *_: [])
    monkeypatch.setattr(jars, "java", lambda: "no Java in a unit test")

    def launch(*_: object, **__: object) -> None:
        done.append("launched")
        assert SparkContext._gateway is None
        raise OSError("no Java in a unit test")

    monkeypatch.setattr(session, "launch_gateway", launch)

    with pytest.raises(MachineError):
        session.start(config)

    assert done == ["ended", "launched"]
