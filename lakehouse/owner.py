"""One owner per stream: its lock, the requests it answers, and the status it shows.

Everything lies in `<state.dir>/<layer.entity>/`: `lock`, `status.json`, `requests/<id>.json`,
renamed to `<id>.claimed.json` when the owner takes it up and answered in `<id>.answer.json`.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.errors import MachineError, TableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = 1


@dataclass(frozen=True)
class Request:
    """One thing asked of an owner."""

    id: str
    verb: str
    args: dict[str, Any]
    by: str
    at: str


@dataclass(frozen=True)
class Holder:
    """Who holds a stream's lock, as the lock file tells."""

    pid: int
    host: str
    since: str


@contextmanager
def owning(state_dir: Path, stream: str) -> Iterator[int]:
    """Own *stream* inside the block, and yield the descriptor of its lock.

    The lock belongs to the open file, so a JVM that inherits the descriptor keeps it for as long
    as it can still commit, even after this process was killed.

    Raises:
        MachineError: STREAM_OWNED, at once, naming the holder.
        TableError: ROOT_UNWRITABLE.
    """
    folder = state_dir / stream
    try:
        (folder / "requests").mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise TableError("ROOT_UNWRITABLE", root=state_dir, reason=str(error)) from error
    try:
        if not _lock(descriptor):
            held = _holder(descriptor) or Holder(0, "unknown", "unknown")
            raise MachineError("STREAM_OWNED", stream=stream, **asdict(held))
        _clear(folder / "requests")
        me = Holder(os.getpid(), socket.gethostname(), _now())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(me)).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def holder(state_dir: Path, stream: str) -> Holder | None:
    """Return who owns *stream*, or None when nobody does."""
    try:
        descriptor = os.open(state_dir / stream / "lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor) or Holder(0, "unknown", "unknown")
    finally:
        os.close(descriptor)
    return None


def ask(state_dir: Path, stream: str, verb: str, **args: Any) -> Request:
    """Put a request before the owner of *stream* and return it."""
    by = f"pid {os.getpid()} on {socket.gethostname()}"
    request = Request(uuid.uuid4().hex, verb, args, by, _now())
    _replace(state_dir / stream / "requests" / f"{request.id}.json", asdict(request))
    return request


def claim(state_dir: Path, stream: str) -> Iterator[Request]:
    """Yield the requests that wait for *stream*, each taken up by an atomic rename."""
    folder = state_dir / stream / "requests"
    for path in sorted(folder.glob("*.json"), key=lambda found: found.stat().st_mtime):
        if path.name.count(".") == 1:
            path.rename(claimed := path.with_suffix(".claimed.json"))
            yield Request(**json.loads(claimed.read_text()))


def answer(state_dir: Path, stream: str, request: Request, **facts: Any) -> None:
    """Answer *request*."""
    folder = state_dir / stream / "requests"
    _replace(folder / f"{request.id}.answer.json", {"id": request.id, "at": _now(), **facts})
    (folder / f"{request.id}.claimed.json").unlink(missing_ok=True)


def answered(state_dir: Path, stream: str, request: Request) -> dict[str, Any] | None:
    """Return the answer to *request* and take it away, or None while there is none."""
    path = state_dir / stream / "requests" / f"{request.id}.answer.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    path.unlink()
    return facts


def stop(state_dir: Path, stream: str, *, seconds: float) -> bool:
    """Ask the owner of *stream* to stop and wait until it is gone; false when there was none.

    Raises:
        MachineError: NO_ANSWER when it is still there after *seconds*.
    """
    held = holder(state_dir, stream)
    if held is None:
        return False
    request = ask(state_dir, stream, "stop")
    deadline = time.monotonic() + seconds
    while holder(state_dir, stream) is not None:
        if time.monotonic() > deadline:
            raise MachineError("NO_ANSWER", stream=stream, pid=held.pid, seconds=seconds)
        time.sleep(0.05)
    answered(state_dir, stream, request)
    return True


def show(state_dir: Path, stream: str, **facts: Any) -> None:
    """Replace the stream's status file."""
    status = {"v": VERSION, "stream": stream, "pid": os.getpid(), "at": _now(), **facts}
    _replace(state_dir / stream / "status.json", status)


def _lock(descriptor: int) -> bool:
    # A few tries within half a second, because `holder` holds a shared lock for an instant.
    for _ in range(5):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
        else:
            return True
    return False


def _holder(descriptor: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None  # it has just taken the lock and not yet written its name


def _clear(requests: Path) -> None:
    """Forget what was asked of an owner that is gone: nobody waits for it any more."""
    for path in requests.glob("*.json"):
        path.unlink(missing_ok=True)


def _replace(path: Path, facts: dict[str, Any]) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(facts, default=str))
    scratch.replace(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
