"""What becomes of one stream of a process, without Spark."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import owner, streams
from lakehouse.owner import request
from lakehouse.streams import Stream
from lakehouse.tables import Table
from tests.conftest import settings_for

if TYPE_CHECKING:
    from pathlib import Path


def stream(**facts: Any) -> Stream:
    def start(_: object) -> Any:
        raise AssertionError("nobody starts it")

    return Stream(Table("silver.matches", "there", "checkpoint"), "matches", start, **facts)


def test_a_pause_that_fails_is_no_stop(tmp_path: Path) -> None:
    def stop() -> None:
        raise TimeoutError("Spark did not stop")

    query: Any = SimpleNamespace(isActive=True, stop=stop)
    own = stream(query=query)
    run: Any = SimpleNamespace(config=settings_for(tmp_path))

    with pytest.raises(TimeoutError):
        streams.pause(None, own, run)  # type: ignore[arg-type]  # no batch ran, so Spark is not asked
    assert own.turn.stopping is False


def test_a_stopped_stream_beside_others_still_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(owner, "answer", lambda *_, **facts: told.append(facts))
    own = stream(done=True, verbs={"optimize": lambda _: {"files": 3}})

    for verb in ("optimize", "stop"):
        streams._serve(request(verb), own, settings_for(tmp_path))
    assert told == [{"ok": True, "files": 3}, {"ok": True}]
