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
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse.errors import MachineError, TableError, from_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

VERSION = 1
# How long a start waits for others that merely look; far beyond what a look takes.
PATIENCE_SECONDS = 5.0
# Of an answer, what is about the request and not what was done.
ENVELOPE = ("id", "at", "ok")


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
    except PermissionError as error:
        raise TableError("ROOT_UNWRITABLE", root=state_dir, reason=str(error)) from error
    try:
        if _flock(descriptor, fcntl.LOCK_SH):
            return None
        return _holder(descriptor) or Holder(0, "unknown", "unknown")
    finally:
        os.close(descriptor)


def request(verb: str, **args: Any) -> Request:
    """Return a request of this process, which nobody has been asked yet."""
    by = f"pid {os.getpid()} on {socket.gethostname()}"
    return Request(uuid.uuid4().hex, verb, args, by, _now())


def ask(state_dir: Path, stream: str, verb: str, **args: Any) -> Request:
    """Put a request before the owner of *stream* and return it."""
    asked = request(verb, **args)
    replace(state_dir / stream / "requests" / f"{asked.id}.json", asdict(asked))
    return asked


def claim(state_dir: Path, stream: str) -> Iterator[Request]:
    """Yield the requests that wait for *stream*, each taken up by an atomic rename."""
    folder = state_dir / stream / "requests"
    waiting = []
    for path in folder.glob("*.json"):
        if path.name.count(".") == 1:
            with suppress(FileNotFoundError):  # another took it up
                waiting.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(waiting):
        claimed = path.with_suffix(".claimed.json")
        try:
            path.rename(claimed)
        except FileNotFoundError:
            continue
        try:
            yield Request(**json.loads(claimed.read_text()))
        except (ValueError, TypeError):
            claimed.rename(path.with_suffix(".unreadable"))  # not ours; never a reason to stop


def answer(state_dir: Path, stream: str, request: Request, **facts: Any) -> None:
    """Answer *request*."""
    folder = state_dir / stream / "requests"
    replace(folder / f"{request.id}.answer.json", {"id": request.id, "at": _now(), **facts})
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


def asked(
    state_dir: Path, stream: str, verb: str, *, seconds: float, **args: Any
) -> dict[str, Any]:
    """Ask the owner of *stream* to do *verb*, and return its answer.

    When this raises, a request that nobody has taken up is withdrawn: it is not done later.

    Raises:
        MachineError: NO_ANSWER when there is none after *seconds*, OWNER_GONE when the owner ended
            before, REQUEST_REFUSED when it does not know how.
        LakehouseError: what the owner failed with when it tried.
    """
    held = holder(state_dir, stream)
    request = ask(state_dir, stream, verb, **args)
    try:
        facts = _awaited(state_dir, stream, request, held, seconds)
    finally:
        _waiting(state_dir, stream, request).unlink(missing_ok=True)
    if "error" in facts:
        raise from_facts(facts["error"])
    if not facts["ok"]:
        raise MachineError("REQUEST_REFUSED", stream=stream, verb=verb, why=facts.get("why"))
    return facts


def _awaited(
    state_dir: Path, stream: str, request: Request, held: Holder | None, seconds: float
) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (facts := answered(state_dir, stream, request)) is None:
        waits = _waiting(state_dir, stream, request).exists()
        state = "was not taken up, and is withdrawn" if waits else "is in hand, and will be done"
        if time.monotonic() > deadline:
            pid = held.pid if held else 0
            raise MachineError("NO_ANSWER", stream=stream, pid=pid, seconds=seconds, state=state)
        if held is None or holder(state_dir, stream) != held:
            if (facts := answered(state_dir, stream, request)) is not None:
                break  # the last that it did
            state = "was not taken up, and is withdrawn" if waits else "may have been done"
            raise MachineError("OWNER_GONE", stream=stream, verb=request.verb, state=state)
        time.sleep(0.05)  # the answer is a file of another process: there is nothing to wait on
    return facts


def _waiting(state_dir: Path, stream: str, request: Request) -> Path:
    return state_dir / stream / "requests" / f"{request.id}.json"


def stop(state_dir: Path, stream: str, *, seconds: float) -> bool:
    """Stop *stream* as `stop_all` does; false when nobody owned it."""
    return bool(stop_all(state_dir, [stream], seconds=seconds))


def stop_all(state_dir: Path, streams: Sequence[str], *, seconds: float) -> list[str]:
    """Ask the owners of *streams* to stop, all at once, and return those that had one, stopped.

    An owner is waited for until it is gone. One that goes on with other streams only answers, and
    keeps the locks of those it stopped until it ends.

    Raises:
        MachineError: NO_ANSWER when one has not stopped after *seconds*.
    """
    busy = {
        (other.pid, other.host)
        for name in {path.parent.name for path in state_dir.glob("*/lock")}.difference(streams)
        if (other := holder(state_dir, name)) and _state(state_dir, name) != "stopped"
    }
    held = {name: found for name in streams if (found := holder(state_dir, name))}
    requests = {name: ask(state_dir, name, "stop") for name in held}
    deadline = time.monotonic() + seconds
    for name, owner in held.items():
        done = False
        while not done and holder(state_dir, name) is not None:
            if time.monotonic() > deadline:
                pid, state = owner.pid, "waits for it"
                raise MachineError("NO_ANSWER", stream=name, pid=pid, seconds=seconds, state=state)
            time.sleep(0.05)
            goes_on = (owner.pid, owner.host) in busy
            done = goes_on and answered(state_dir, name, requests[name]) is not None
        answered(state_dir, name, requests[name])
    return list(held)


def show(state_dir: Path, stream: str, **facts: Any) -> None:
    """Replace the stream's status file."""
    status = {"v": VERSION, "stream": stream, "pid": os.getpid(), "at": _now(), **facts}
    replace(state_dir / stream / "status.json", status)


def replace(path: Path, facts: dict[str, Any]) -> None:
    """Put *facts* in the file at *path*, as JSON: a reader finds the old or the new, whole."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(facts, default=str))
    scratch.replace(path)


def _lock(descriptor: int) -> bool:
    # `holder` takes a shared lock for an instant, so that a failure need not mean an owner: an
    # owner is there when a shared lock fails as well.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if _flock(descriptor, fcntl.LOCK_EX):
            return True
        if not _flock(descriptor, fcntl.LOCK_SH):
            return False
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(0.001)
    return False


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None  # it has just taken the lock and not yet written its name


def _state(state_dir: Path, stream: str) -> str | None:
    try:
        return str(json.loads((state_dir / stream / "status.json").read_text())["state"])
    except (OSError, ValueError, KeyError):
        return None


def _clear(requests: Path) -> None:
    """Forget what was asked of an owner that is gone: nobody waits for it any more."""
    for path in requests.glob("*.json"):
        path.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
