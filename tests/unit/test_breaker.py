"""The circuit breaker over its window, without Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.audit.records import Record, Rows
from lakehouse.errors import ExpectationError
from lakehouse.settings import BreakerSettings
from silver.breaker import Breaker, read, resume

if TYPE_CHECKING:
    from pathlib import Path

STREAM = "silver.matches"


def record(batch_id: int, read_: int, refused: int) -> Record:
    rows = Rows(read_, read_ - refused, refused, {"not_json": refused} if refused else {})
    return Record(STREAM, "run", "c", batch_id, None, "{}", (), rows, "rules", "now")


@pytest.fixture
def breaker(tmp_path: Path) -> Breaker:
    settings = BreakerSettings(share=0.2, window_rows=100, least_rows=50)
    return Breaker(STREAM, settings, tmp_path / "breaker.json")


def take(breaker: Breaker, batch_id: int, read_: int, refused: int) -> Record:
    """Judge a batch and, if it may pass, take it into the window."""
    judged = breaker.judge(record(batch_id, read_, refused))
    breaker.passed(judged)
    return judged


def test_it_looks_at_the_window_and_not_at_one_batch(breaker: Breaker) -> None:
    take(breaker, 0, 90, 0)
    take(breaker, 1, 10, 10)  # 10 of 100
    take(breaker, 2, 30, 15)  # 25 of 130
    with pytest.raises(ExpectationError) as found:
        take(breaker, 3, 40, 20)
    assert found.value.code == "BREAKER_TRIPPED"
    assert (found.value.params["refused"], found.value.params["read"]) == (45, 170)


def test_old_batches_leave_the_window(breaker: Breaker) -> None:
    take(breaker, 0, 1_000, 0)
    take(breaker, 1, 100, 0)
    with pytest.raises(ExpectationError):
        take(breaker, 2, 100, 41)


@pytest.mark.parametrize(("refused", "trips"), [(10, False), (11, True)])
def test_the_limit_itself_passes(breaker: Breaker, refused: int, *, trips: bool) -> None:
    if trips:
        with pytest.raises(ExpectationError):
            take(breaker, 0, 50, refused)
    else:
        take(breaker, 0, 50, refused)


def test_there_is_no_verdict_on_a_few_rows(breaker: Breaker) -> None:
    take(breaker, 0, 49, 49)
    with pytest.raises(ExpectationError):
        take(breaker, 1, 1, 0)


def test_it_is_off_unless_a_share_is_set(tmp_path: Path) -> None:
    off = Breaker(STREAM, BreakerSettings(), tmp_path / "breaker.json")
    take(off, 0, 10_000, 10_000)
    assert read(off.file) == {}


def test_a_trip_lasts_until_it_is_resumed_and_then_the_share_is_counted_anew(
    breaker: Breaker,
) -> None:
    take(breaker, 0, 80, 0)
    with pytest.raises(ExpectationError):
        take(breaker, 1, 50, 50)
    again = Breaker(STREAM, breaker.settings, breaker.file)
    with pytest.raises(ExpectationError) as found:
        again.refuse_start("c")
    assert "in this batch: 50 not_json" in found.value.message.why
    again.refuse_start("the checkpoint of another lake")
    tripped = resume(breaker.file, by="me", why="mended")
    assert tripped is not None
    assert tripped["batch_id"] == 1
    assert resume(breaker.file, by="me", why="twice") is None
    again.refuse_start("c")
    passed = take(again, 1, 50, 50)
    assert passed.resumed is not None
    assert (passed.resumed.by, passed.resumed.why) == ("me", "mended")
    assert list(again.window) == []
    assert take(again, 2, 60, 0).resumed is None
    with pytest.raises(ExpectationError):
        take(again, 3, 60, 60)
