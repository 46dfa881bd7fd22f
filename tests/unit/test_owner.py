"""One owner per stream, whom others find, ask and wait for; no stream runs."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import owner
from lakehouse.errors import LakehouseError, MachineError, TableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STREAM = "silver.matches"
OTHER = "bronze.matches"

OWNER = """
import sys
from pathlib import Path
from lakehouse import owner
with owner.owning(Path(sys.argv[1]), sys.argv[2]):
    print("owned", flush=True)
    sys.stdin.read()
"""
CHILD = "import sys; print('alive', flush=True); sys.stdin.read()"
LOOKER = """
import sys, threading
from pathlib import Path
from lakehouse import owner
print("looking", flush=True)
threading.Thread(target=sys.stdin.read, daemon=False).start()
while threading.active_count() > 1:
    owner.holder(Path(sys.argv[1]), sys.argv[2])
"""


@contextmanager
def process(
    code: str, *arguments: object, inherit: tuple[int, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *code* in a process of its own, from its first line of output to the end of the block."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, pass_fds=inherit) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline()
            yield started
        finally:
            started.kill()


@contextmanager
def answering(
    state: Path, *streams: str, until: Callable[[list[str]], bool]
) -> Iterator[list[str]]:
    """Own *streams* in a thread that answers each request, until *until* or the block's end."""
    asked: list[str] = []
    owned, over = threading.Event(), threading.Event()

    def serve() -> None:
        with ExitStack() as stack:
            for stream in streams:
                stack.enter_context(owner.owning(state, stream))
            owned.set()
            while not (until(asked) or over.is_set()):
                for stream in streams:
                    for request in owner.claim(state, stream):
                        asked.append(stream)
                        owner.answer(state, stream, request, ok=True)

    thread = threading.Thread(target=serve)
    thread.start()
    assert owned.wait(10)
    try:
        yield asked
    finally:
        over.set()
        thread.join(10)


def refused(state: Path, stream: str = STREAM) -> LakehouseError:
    """Return the error with which owning *stream* is refused."""
    with pytest.raises(LakehouseError) as caught, owner.owning(state, stream):
        pass
    return caught.value


def names(state: Path, stream: str = STREAM) -> list[str]:
    """Return what lies among the requests of *stream*."""
    return sorted(path.name for path in (state / stream / "requests").iterdir())


# The lock


def test_a_second_process_is_refused_and_told_the_owner(tmp_path: Path) -> None:
    with process(OWNER, tmp_path, STREAM) as other:
        error = refused(tmp_path)

    assert isinstance(error, MachineError)
    assert error.code == "STREAM_OWNED"
    assert (error.params["stream"], error.params["pid"]) == (STREAM, other.pid)
    assert error.params["host"] == socket.gethostname()
    assert str(error.params["since"]).endswith("+00:00")


def test_a_second_descriptor_of_the_same_process_is_refused(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        error = refused(tmp_path)

    assert (error.code, error.params["pid"]) == ("STREAM_OWNED", os.getpid())


def test_another_stream_has_an_owner_of_its_own(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM), owner.owning(tmp_path, OTHER):
        assert owner.holder(tmp_path, STREAM)
        assert owner.holder(tmp_path, OTHER)


def test_a_stream_is_free_after_the_block_however_it_ends(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), owner.owning(tmp_path, STREAM):
        _ = 1 / 0

    assert owner.holder(tmp_path, STREAM) is None
    with owner.owning(tmp_path, STREAM):
        pass


def test_a_stream_is_free_after_its_owner_was_killed(tmp_path: Path) -> None:
    with process(OWNER, tmp_path, STREAM) as other:
        other.send_signal(signal.SIGKILL)
        other.wait(10)

        assert owner.holder(tmp_path, STREAM) is None
        with owner.owning(tmp_path, STREAM):
            held = owner.holder(tmp_path, STREAM)

    assert held is not None
    assert held.pid == os.getpid()


def test_a_child_that_inherited_the_lock_holds_it_on(tmp_path: Path) -> None:
    with ExitStack() as children:
        with owner.owning(tmp_path, STREAM) as lock:
            child = children.enter_context(process(CHILD, inherit=(lock,)))

        assert refused(tmp_path).code == "STREAM_OWNED"
        assert owner.holder(tmp_path, STREAM)
        child.kill()
        child.wait(10)
        assert owner.holder(tmp_path, STREAM) is None


def test_a_child_that_did_not_inherit_the_lock_does_not_hold_it(tmp_path: Path) -> None:
    with ExitStack() as children:
        with owner.owning(tmp_path, STREAM):
            children.enter_context(process(CHILD))

        assert owner.holder(tmp_path, STREAM) is None


def test_those_that_look_never_hinder_an_owner(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        pass
    with process(LOOKER, tmp_path, STREAM), process(LOOKER, tmp_path, STREAM):
        for _ in range(200):
            with owner.owning(tmp_path, STREAM):
                assert owner.holder(tmp_path, STREAM)


@pytest.mark.parametrize("looks", [1, 20])
def test_an_owner_waits_while_others_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    with owner.owning(tmp_path, STREAM):
        pass
    waits: list[float] = []
    with (tmp_path / STREAM / "lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == looks:
                fcntl.flock(looking, fcntl.LOCK_UN)

        monkeypatch.setattr(time, "sleep", wait)
        with owner.owning(tmp_path, STREAM):
            assert len(waits) == looks


def test_a_second_start_is_refused_without_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it is certain at once"))
    with owner.owning(tmp_path, STREAM):
        assert refused(tmp_path).code == "STREAM_OWNED"


def test_a_stream_that_nobody_ever_owned_has_no_owner(tmp_path: Path) -> None:
    assert owner.holder(tmp_path, STREAM) is None
    assert list(tmp_path.iterdir()) == []


def test_an_owner_that_has_yet_to_write_its_name_is_an_owner(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        (tmp_path / STREAM / "lock").write_text("")

        assert owner.holder(tmp_path, STREAM) == owner.Holder(0, "unknown", "unknown")
        assert refused(tmp_path).code == "STREAM_OWNED"


@pytest.mark.parametrize("place", ["state", f"state/{STREAM}", f"state/{STREAM}/requests"])
def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text("a file in place of a folder")

    error = refused(tmp_path / "state")

    assert isinstance(error, TableError)
    assert (error.code, error.params["root"]) == ("ROOT_UNWRITABLE", tmp_path / "state")


# Requests


def test_a_request_is_asked_taken_up_and_answered(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        asked = owner.ask(tmp_path, STREAM, "replay", rows=5, by_name="a")
        assert names(tmp_path) == [f"{asked.id}.json"]
        assert owner.answered(tmp_path, STREAM, asked) is None

        (claimed,) = owner.claim(tmp_path, STREAM)
        assert names(tmp_path) == [f"{asked.id}.claimed.json"]
        assert claimed == asked
        assert (claimed.verb, claimed.args) == ("replay", {"rows": 5, "by_name": "a"})

        owner.answer(tmp_path, STREAM, claimed, ok=True, rows=4)
        assert names(tmp_path) == [f"{asked.id}.answer.json"]


def test_an_answer_is_read_once(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        asked = owner.ask(tmp_path, STREAM, "stop")
        (claimed,) = owner.claim(tmp_path, STREAM)
        owner.answer(tmp_path, STREAM, claimed, ok=False, why="busy")

        facts = owner.answered(tmp_path, STREAM, asked)

        assert facts is not None
        assert (facts["id"], facts["ok"], facts["why"]) == (asked.id, False, "busy")
        assert owner.answered(tmp_path, STREAM, asked) is None
        assert names(tmp_path) == []


def test_a_request_says_who_asked_and_when(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        asked = owner.ask(tmp_path, STREAM, "stop")
        written = json.loads((tmp_path / STREAM / "requests" / f"{asked.id}.json").read_text())

    assert set(written) == {"id", "verb", "args", "by", "at"}
    assert written["by"] == f"pid {os.getpid()} on {socket.gethostname()}"
    assert written["at"].endswith("+00:00")


def test_requests_are_taken_up_in_the_order_they_came(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        asked = [owner.ask(tmp_path, STREAM, "replay") for _ in range(5)]
        for second, one in enumerate(reversed(asked)):
            file = tmp_path / STREAM / "requests" / f"{one.id}.json"
            os.utime(file, (1_000_000 + second, 1_000_000 + second))

        assert list(owner.claim(tmp_path, STREAM)) == asked[::-1]


def test_of_two_that_claim_each_request_goes_to_one(tmp_path: Path) -> None:
    taken: list[owner.Request] = []
    ready = threading.Barrier(2)

    def claim_all() -> None:
        ready.wait(10)
        taken.extend(owner.claim(tmp_path, STREAM))

    with owner.owning(tmp_path, STREAM):
        asked = [owner.ask(tmp_path, STREAM, "replay") for _ in range(200)]
        threads = [threading.Thread(target=claim_all) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    assert sorted(one.id for one in taken) == sorted(one.id for one in asked)


def test_a_request_taken_up_meanwhile_is_passed_over(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        asked = {owner.ask(tmp_path, STREAM, "replay").id for _ in range(3)}
        first, second = owner.claim(tmp_path, STREAM), owner.claim(tmp_path, STREAM)

        taken = [next(first).id, next(second).id, *(one.id for one in first)]

        assert sorted(taken) == sorted(asked)
        assert list(second) == []


def test_a_new_owner_forgets_what_was_asked_of_the_last(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        for _ in range(2):
            owner.ask(tmp_path, STREAM, "stop")
        answered, _ = owner.claim(tmp_path, STREAM)
        owner.answer(tmp_path, STREAM, answered, ok=True)
        owner.ask(tmp_path, STREAM, "stop")
        assert len(names(tmp_path)) == 3

    with owner.owning(tmp_path, STREAM):
        assert names(tmp_path) == []
        assert list(owner.claim(tmp_path, STREAM)) == []


def test_one_that_is_refused_forgets_no_request(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        asked = owner.ask(tmp_path, STREAM, "stop")
        refused(tmp_path)

        assert list(owner.claim(tmp_path, STREAM)) == [asked]


def test_a_request_that_nobody_took_up_in_time_is_not_done_later(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM), pytest.raises(MachineError) as caught:
        owner.asked(tmp_path, STREAM, "discard", seconds=0)

    assert caught.value.code == "NO_ANSWER"
    assert caught.value.params["state"] == "was not taken up, and is withdrawn"
    assert list(owner.claim(tmp_path, STREAM)) == []


def test_a_request_in_hand_is_told_to_be_done(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        taken = threading.Thread(target=lambda: wait_for_one(tmp_path))
        taken.start()
        with pytest.raises(MachineError) as caught:
            owner.asked(tmp_path, STREAM, "discard", seconds=1)
        taken.join(10)

    assert caught.value.params["state"] == "is in hand, and will be done"


def wait_for_one(state: Path) -> None:
    """Take up a request and never answer it."""
    while not list(owner.claim(state, STREAM)):
        pass


def test_who_asked_learns_that_the_owner_has_ended(tmp_path: Path) -> None:
    with process(OWNER, tmp_path, STREAM) as other:
        ending = threading.Timer(0.2, other.kill)
        ending.start()
        with pytest.raises(MachineError) as caught:
            owner.asked(tmp_path, STREAM, "optimize", seconds=600)
        ending.join()

    assert caught.value.code == "OWNER_GONE"
    assert caught.value.params["state"] == "was not taken up, and is withdrawn"
    assert names(tmp_path) == []


# Stopping


def test_a_stream_without_owner_needs_no_stop(tmp_path: Path) -> None:
    assert owner.stop(tmp_path, STREAM, seconds=0) is False
    with owner.owning(tmp_path, STREAM):
        pass
    assert owner.stop(tmp_path, STREAM, seconds=0) is False
    assert names(tmp_path) == []


def test_an_owner_is_waited_for_until_it_is_gone(tmp_path: Path) -> None:
    with answering(tmp_path, STREAM, until=bool) as asked:
        stopped = owner.stop(tmp_path, STREAM, seconds=5)
        held = owner.holder(tmp_path, STREAM)

    assert stopped is True
    assert held is None
    assert asked == [STREAM]
    assert names(tmp_path) == []


def test_an_owner_that_does_not_stop_is_named(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM), pytest.raises(MachineError) as caught:
        owner.stop(tmp_path, STREAM, seconds=0.01)

    assert caught.value.code == "NO_ANSWER"
    told = {"stream": STREAM, "pid": os.getpid(), "seconds": 0.01, "state": "waits for it"}
    assert caught.value.params == told


def test_one_of_two_streams_of_a_process_can_be_stopped(tmp_path: Path) -> None:
    with answering(tmp_path, OTHER, STREAM, until=lambda _: False) as asked:
        stopped = owner.stop(tmp_path, STREAM, seconds=5)
        held = owner.holder(tmp_path, STREAM)

    assert stopped is True
    assert held is not None
    assert asked == [STREAM]


def test_all_streams_of_a_process_are_stopped_together(tmp_path: Path) -> None:
    with answering(tmp_path, OTHER, STREAM, until=lambda asked: len(asked) == 2):
        stopped = owner.stop_all(tmp_path, [OTHER, STREAM, "silver.idle"], seconds=5)
        held = [owner.holder(tmp_path, stream) for stream in (OTHER, STREAM)]

    assert stopped == [OTHER, STREAM]
    assert held == [None, None]


def test_the_last_stream_of_a_process_is_waited_for_until_it_is_gone(tmp_path: Path) -> None:
    with answering(tmp_path, OTHER, STREAM, until=bool):
        owner.show(tmp_path, OTHER, state="stopped")

        assert owner.stop(tmp_path, STREAM, seconds=5)
        assert owner.holder(tmp_path, STREAM) is None


# The status


def test_the_status_says_whose_it_is_and_what_it_was_given(tmp_path: Path) -> None:
    with owner.owning(tmp_path, STREAM):
        owner.show(tmp_path, STREAM, state="running", lag=None)
        status: dict[str, Any] = json.loads((tmp_path / STREAM / "status.json").read_text())

    assert status.pop("at").endswith("+00:00")
    assert status == {
        "v": owner.VERSION,
        "stream": STREAM,
        "pid": os.getpid(),
        "state": "running",
        "lag": None,
    }


def test_the_status_is_replaced_and_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / STREAM / "status.json"
    with owner.owning(tmp_path, STREAM):
        owner.show(tmp_path, STREAM, state="starting")
        with file.open() as reader:
            owner.show(tmp_path, STREAM, state="running")
            before = json.load(reader)

    assert before["state"] == "starting"
    assert json.loads(file.read_text())["state"] == "running"
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "lock",
        "requests",
        "status.json",
    ]
