"""Alarms: what a person must hear of without looking, and that it is over.

What stands lies in `<state.dir>/<layer.entity>/alarms.json`, so that the next process neither
raises it again nor forgets to end it.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lakehouse import destinations, log, owner
from lakehouse.errors import LakehouseError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from lakehouse.settings import AlarmSettings


class Alarm(StrEnum):
    """What there are alarms for. None of it needs a window of time to be true."""

    STREAM_FAILED = "STREAM_FAILED"
    DATA_LOSS = "DATA_LOSS"
    BREAKER_TRIPPED = "BREAKER_TRIPPED"
    EXPECTATION_FAILED = "EXPECTATION_FAILED"


# What a title says of the stream when an alarm is raised, and when it ends.
SAYS = {
    Alarm.STREAM_FAILED: ("failed", "runs again"),
    Alarm.DATA_LOSS: ("lost data", "runs again after losing data"),
    Alarm.BREAKER_TRIPPED: ("tripped its breaker", "closed its breaker again"),
    Alarm.EXPECTATION_FAILED: ("fails an expectation", "meets its expectation again"),
}
LOSSES = {"OFFSETS_LOST", "TOPIC_RECREATED"}
# Before each further attempt, in seconds: a receiver that restarts is back within half a minute.
PAUSES = (1.0, 5.0, 25.0)
# Far more than there are alarms of one process; beyond it nobody reads them one by one.
CAPACITY = 100


@dataclass(frozen=True)
class Note:
    """One message on its way. *standing* is told once one destination has taken it."""

    stream: str
    title: str
    body: str
    kind: str
    standing: dict[str, Any]


def failure(error: Exception) -> tuple[Alarm, str]:
    """Return which alarm it is that a stream ended with *error*, and what to say of it."""
    if not isinstance(error, LakehouseError):
        return Alarm.STREAM_FAILED, f"{type(error).__name__}: nobody foresaw it; see the log"
    return Alarm.DATA_LOSS if error.code in LOSSES else Alarm.STREAM_FAILED, told(error)


def told(error: LakehouseError) -> str:
    """Return *error* as an alarm says it."""
    what, why, cure = error.message
    return f"{what} [{error.code}]\nwhy: {why}\ndo: {cure}"


class Alarms:
    """The alarms of one process, which owns the streams that it raises them for.

    A thread of its own delivers them, so that no destination ever holds up a stream.
    """

    def __init__(self, state_dir: Path, settings: AlarmSettings) -> None:
        self.dropped = 0
        self._state_dir = state_dir
        self._seconds = settings.timeout_seconds
        self._destinations = destinations.read(settings)
        self._lock = threading.Lock()
        self._standing: dict[str, dict[str, dict[str, Any]]] = {}
        self._notes: queue.Queue[Note | None] = queue.Queue(CAPACITY)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._deliver_all, name="alarms", daemon=True)
        if self._destinations:
            self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close(self._seconds)

    def raised(self, stream: str, kind: Alarm, text: str, *, about: str = "") -> None:
        """Raise an alarm, unless it stands already. Returns at once.

        *about* tells apart several alarms of one kind, such as the name of a rule. *text* goes to
        third parties: it holds no secret, and nothing of a message.
        """
        with self._lock:
            standing, name = self._of(stream), _name(kind, about)
            if name not in standing:
                # Without destinations the log is told, and that is all there is to tell.
                standing[name] = {"since": _now(), "told": not self._destinations}
                self._keep(stream)
                title = _title(stream, SAYS[kind][0], about)
                log.get(stream).warning("Alarm raised", alarm=name)
                self._send(Note(stream, title, _body(text), "failure", standing[name]))

    def ended(self, stream: str, kind: Alarm, text: str, *, about: str = "") -> None:
        """End an alarm, if it stands. Returns at once."""
        with self._lock:
            standing, name = self._of(stream), _name(kind, about)
            if (over := standing.pop(name, None)) is not None:
                self._keep(stream)
                title = _title(stream, SAYS[kind][1], about)
                log.get(stream).info("Alarm ended", alarm=name, since=over["since"])
                self._send(Note(stream, title, _body(text), "success", over))

    def close(self, seconds: float) -> None:
        """Wait at most *seconds* for what is on its way; further attempts make no pauses."""
        self._closing.set()
        if not self._destinations:
            return
        deadline = time.monotonic() + seconds
        with suppress(queue.Full):
            self._notes.put(None, timeout=seconds)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            log.get("lakehouse.alarms").warning("Alarms were still on their way at the end")

    def _of(self, stream: str) -> dict[str, dict[str, Any]]:
        """Return what stands for *stream*, by name; what the process before left, at first.

        What that one told nobody is forgotten: if it still holds, it is raised anew and told.
        """
        if stream not in self._standing:
            try:
                left = json.loads((self._state_dir / stream / "alarms.json").read_text())
                told = {name: dict(one) for name, one in left.items() if one["told"]}
            except (OSError, ValueError, TypeError, LookupError, AttributeError):
                told = {}
            self._standing[stream] = told
        return self._standing[stream]

    def _keep(self, stream: str) -> None:
        file = self._state_dir / stream / "alarms.json"
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            owner.replace(file, self._standing[stream])
        except OSError as error:  # a full disk must not hide what the alarm is about
            log.get(stream).warning("Alarms could not be kept", reason=str(error))

    def _send(self, note: Note) -> None:
        if not self._destinations:
            return
        try:
            self._notes.put_nowait(note)
        except queue.Full:
            self.dropped += 1
            log.get(note.stream).warning(
                "Alarm dropped: too many wait", title=note.title, dropped=self.dropped
            )

    def _deliver_all(self) -> None:
        while (note := self._notes.get()) is not None:
            self._deliver(note)

    def _deliver(self, note: Note) -> None:
        """Have each destination take *note*, or say in the log which did not."""
        left = self._destinations
        for pause in (0.0, *PAUSES):
            self._closing.wait(pause)
            left = [one for one in left if not one.takes(note.title, note.body, note.kind)]
            if len(left) < len(self._destinations) and not note.standing["told"]:
                with self._lock:
                    note.standing["told"] = True
                    self._keep(note.stream)
            if not left:
                return
        for one in left:
            log.get(note.stream).warning(
                "Alarm not delivered",
                title=note.title,
                destination=one.name,
                attempts=1 + len(PAUSES),
            )


def _name(kind: Alarm, about: str) -> str:
    return f"{kind}: {about}" if about else str(kind)


def _title(stream: str, says: str, about: str) -> str:
    return f"lakehouse: {stream} {says}" + (f": {log.escaped(about)}" if about else "")


def _body(text: str) -> str:
    lines = [log.escaped(line) for line in text.splitlines()]
    return "\n".join([*lines, f"host: {socket.gethostname()}", f"time: {_now()}"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
