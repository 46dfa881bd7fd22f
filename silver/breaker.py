"""The circuit breaker: when too many messages are refused, silver stops before it writes.

Off unless `breaker.share` is set. What it decided lies in `breaker.json` among the stream's state
and survives restarts, until a person resumes the stream. Were the file lost, the batch that tripped
it would be planned again, unchanged, and trip it again.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakehouse import log, owner
from lakehouse.alarms import Alarm
from lakehouse.audit.records import Resumed
from lakehouse.audit.trail import logged
from lakehouse.errors import ExpectationError

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.audit.records import Record
    from lakehouse.run import Run
    from lakehouse.settings import BreakerSettings
    from lakehouse.tables import Table

# So many of silver's last commits are looked at for the window, when a stream starts.
LOOKED_AT = 100


@dataclass
class Breaker:
    """The breaker of one stream: rows read and refused by its last batches, and what it decided."""

    stream: str
    settings: BreakerSettings
    file: Path
    window: deque[tuple[int, int]] = field(default_factory=deque)

    def refuse_start(self, checkpoint: str | None) -> None:
        """Refuse to start a stream whose breaker has tripped, under the same *checkpoint*.

        Raises:
            ExpectationError: BREAKER_TRIPPED.
        """
        tripped = read(self.file).get("tripped")
        if tripped and tripped["checkpoint"] == checkpoint:
            raise ExpectationError("BREAKER_TRIPPED", **tripped)

    def judge(self, record: Record) -> Record:
        """Return *record* of a batch that may be written, with who let it pass where one did.

        Raises:
            ExpectationError: BREAKER_TRIPPED, once the window with this batch passes the limit. It
                is kept on disk before it is raised.
        """
        resumed = self._resumed(record)
        rows = (record.rows.read, record.rows.quarantined)
        read_, refused = (sum(column) for column in zip(*self.window, rows, strict=True))
        share, enough = self.settings.share, read_ >= self.settings.least_rows
        if resumed is None and share and enough and refused > share * read_:
            facts = {
                "stream": self.stream,
                "checkpoint": record.checkpoint,
                "batch_id": record.batch_id,
                "reasons": _counted(record),
                "read": read_,
                "refused": refused,
                "percent": round(100 * refused / read_, 1),
                "limit": round(100 * share, 1),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            owner.replace(self.file, {"tripped": facts})
            raise ExpectationError("BREAKER_TRIPPED", **facts)
        return replace(record, resumed=resumed)

    def passed(self, record: Record) -> None:
        """Take a batch that was written into the window; one that a person let pass begins it."""
        if record.resumed is not None:
            self.window.clear()
            return
        self.add(record.rows.read, record.rows.quarantined)

    def add(self, read_: int, refused: int) -> None:
        """Add a batch to the window, and drop those that it can do without."""
        self.window.append((read_, refused))
        while sum(rows for rows, _ in self.window) - self.window[0][0] >= self.settings.window_rows:
            self.window.popleft()

    def _resumed(self, record: Record) -> Resumed | None:
        said = read(self.file).get("resumed")
        this = (record.checkpoint, record.batch_id)
        if said is None or (said["checkpoint"], said["batch_id"]) != this:
            return None
        return Resumed(said["by"], said["why"], said["at"])


def _counted(record: Record) -> str:
    """Return the reasons of a batch as people read them, the most frequent first."""
    by_rows = sorted(record.rows.reasons.items(), key=lambda one: -one[1])
    return ", ".join(f"{rows} {code}" for code, rows in by_rows) or "none"


def breaker(
    spark: SparkSession, table: Table, settings: BreakerSettings, state_dir: Path
) -> Breaker:
    """Return the breaker of the silver *table*, its window filled from the table's last commits."""
    found = Breaker(table.name, settings, state_dir / table.name / "breaker.json")
    if settings.share:
        after = table.version(spark) - LOOKED_AT
        for commit in logged(spark, table, after=after):
            rows = commit.facts.get("rows")
            if commit.facts.get("resumed"):
                found.window.clear()
            elif rows:
                found.add(rows["read"], rows["quarantined"])
    return found


def resume(file: Path, *, by: str, why: str) -> dict[str, Any] | None:
    """Let the batch that tripped the breaker of *file* pass, and return what had been found.

    None, and nothing changes, where it has not tripped. Safe to repeat.
    """
    tripped: dict[str, Any] | None = read(file).get("tripped")
    if tripped is not None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        batch = {name: tripped[name] for name in ("checkpoint", "batch_id")}
        said = {**batch, "by": by, "why": why, "at": at}
        owner.replace(file, {"resumed": said})
    return tripped


def resumed(stream: str, run: Run, *, by: str, why: str) -> dict[str, Any]:
    """Resume *stream*, end its alarm, and return what its owner answers."""
    tripped = resume(run.config.state_dir / stream / "breaker.json", by=by, why=why)
    if tripped is not None:
        log.get(stream).info("Resumed", by=by, why=why)
        text = f"{stream} goes on with batch {tripped['batch_id']}: {why} ({by})"
        run.alarms.ended(stream, Alarm.BREAKER_TRIPPED, text)
    return {"tripped": tripped}


def read(file: Path) -> dict[str, Any]:
    """Return what the breaker of *file* decided last; nothing where it never did."""
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found
