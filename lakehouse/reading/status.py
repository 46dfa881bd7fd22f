"""How a lake is doing: its streams, what is in quarantine, and what expectations found last.

From the files that the owners of the streams leave, their locks, and the newest commits. A file
tells what its process last knew; the lock tells whether that process is still there.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from string import Formatter
from typing import TYPE_CHECKING, Any

from lakehouse import owner
from lakehouse.errors import ExpectationError, LakehouseError, TableError
from lakehouse.reading import versions
from lakehouse.reading.quarantine import depth, desk
from lakehouse.reading.rows import ask, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from lakehouse.audit.commits import Commit
    from lakehouse.owner import Holder
    from lakehouse.reading.tables import Catalog

# The share of refused messages is that of so many commits of silver.
RECENT = 20
# An owner writes its status every five seconds; after this long something is wrong with it.
SILENT_SECONDS = 30.0
ENDED = {"stopped", "failing", "tripped"}


@dataclass(frozen=True)
class Stream:
    """One stream.

    `state` is what its process told last, or `dead` where that ended without a word, or `not
    started`. `lag` is in records, by partition where the stream knows it. `version` is the newest
    of its table, of `committed_at`. `share` is that of the messages refused in the last RECENT
    commits, of silver only. `silent` is for how many seconds a process that is there has told
    nothing, once that is too long.
    """

    stream: str
    state: str
    pid: int | None = None
    host: str | None = None
    since: str | None = None
    batch_id: int | None = None
    rows_per_second: float | None = None
    lag: int | None = None
    lag_by_partition: dict[str, int] = field(default_factory=dict)
    version: int | None = None
    committed_at: datetime | None = None
    share: float | None = None
    restarts: int = 0
    error: str | None = None
    hint: str | None = None
    silent: float | None = None
    alarms: dict[str, str] = field(default_factory=dict)
    metrics: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What an expectation found last: of the rows of a silver batch, or of a whole version."""

    table: str
    version: int
    of: str
    rule: str
    severity: str
    success: bool | None
    observed: str


@dataclass(frozen=True)
class Status:
    """The whole lake.

    `quarantined` is how many messages each quarantine holds that are neither released nor
    discarded. `unreadable` says of each table that cannot be read why; whatever is told of others
    is whole.
    """

    at: datetime
    streams: tuple[Stream, ...]
    quarantined: dict[str, int]
    verdicts: tuple[Verdict, ...]
    unreadable: dict[str, str]


def status(catalog: Catalog, state_dir: Path) -> Status:
    """Return how the lake of *catalog* is doing; what is not there yet is left out, not an error.

    Nor is a table that cannot be read: it is told of, and the others all the same.
    Reads some small files and the newest commits of each table; of rows only those of quarantine,
    once there are decisions.
    """
    now = datetime.now(UTC)
    streams, verdicts = [], []
    depths: dict[str, int | None] = {}
    lost: dict[str, str] = {}
    for entity in catalog.entities:
        for layer in ("bronze", "silver"):
            name, recent = f"{layer}.{entity}", []
            with _told(lost, name):
                recent = _recent(catalog, name)
            streams.append(_stream(state_dir, name, recent, now))
            if layer == "silver":
                verdicts += _of_rows(name, recent)
                with _told(lost, f"audit.{name}.validations"):
                    verdicts += _of_table(catalog, name)
        with _told(lost, f"quarantine.{entity}"):
            depths[f"quarantine.{entity}"] = depth(desk(catalog, entity))
    quarantined = {name: rows for name, rows in depths.items() if rows is not None}
    return Status(now, tuple(streams), quarantined, tuple(verdicts), lost)


@contextmanager
def _told(lost: dict[str, str], table: str) -> Iterator[None]:
    """Have *lost* tell why *table*, which is read in the block, cannot be read."""
    try:
        yield
    except TableError as error:
        lost[table] = f"{error}: {error.message.why}"


def _recent(catalog: Catalog, name: str) -> list[Commit]:
    """Return the newest commits of a table, the newest first; none where there is no table."""
    try:
        log = versions.log(catalog.table(name))
    except TableError:
        return []
    lowest = (
        max(log.newest - RECENT, log.first - 1) if name.startswith("silver.") else log.newest - 1
    )
    return [log.commit(version) for version in range(log.newest, lowest, -1)]


def _stream(state_dir: Path, name: str, recent: list[Commit], now: datetime) -> Stream:
    told = stated(state_dir / name / "status.json")
    held = _holder(state_dir, name)
    tripped = stated(state_dir / name / "breaker.json").get("tripped")
    state = state_of(told, held, tripped)
    alive = state not in ENDED | {"dead", "not started"}
    error, hint = trouble(name, state, told, tripped)
    rows = [one.facts["rows"] for one in recent if one.facts.get("rows")]
    read = sum(one["read"] for one in rows)
    own = alive and held is not None and told.get("pid") == held.pid
    at = told.get("at") and versions.at(told["at"])
    quiet = (now - at).total_seconds() if at and own else 0.0
    return Stream(
        name,
        state,
        pid=held.pid if held else None,
        host=held.host if held else None,
        since=held.since if held else None,
        batch_id=told.get("batch_id"),
        rows_per_second=told.get("rows_per_second") if alive else None,
        lag=told.get("lag"),
        lag_by_partition=told.get("lag_by_partition") or {},
        version=recent[0].version if recent else None,
        committed_at=recent[0].committed_at if recent else None,
        share=sum(one["quarantined"] for one in rows) / read if read else None,
        restarts=told.get("restarts") or 0,
        error=error,
        hint=hint,
        silent=round(quiet, 1) if quiet > SILENT_SECONDS else None,
        alarms={
            k: str(v.get("since")) for k, v in stated(state_dir / name / "alarms.json").items()
        },
        metrics=told.get("metrics") if alive else None,
    )


def state_of(
    told: Mapping[str, Any], held: Holder | None, tripped: Mapping[str, Any] | None
) -> str:
    """Return the state of a stream, as `Stream` has it.

    *told* is its status, *held* who owns it, and *tripped* what its breaker found that has not been
    resumed.
    """
    if held is not None:
        # A status that another process left says nothing of this one, which has just begun.
        return str(told.get("state", "starting")) if told.get("pid") == held.pid else "starting"
    if tripped:
        return "tripped"
    if not told:
        return "not started"
    if told.get("state") == "tripped":
        return "stopped"  # it was resumed, with nobody there to tell
    return str(told["state"]) if told.get("state") in ENDED else "dead"


def trouble(
    name: str, state: str, told: Mapping[str, Any], tripped: Mapping[str, Any] | None
) -> tuple[str | None, str | None]:
    """Return what is wrong with a stream, and what to do about it."""
    if state == "tripped" and tripped:
        error = ExpectationError("BREAKER_TRIPPED", **tripped)
        return str(error), error.message.cure
    if state == "dead":
        again = f"start it again, what was in hand is done again: `{_start(name)}`"
        return f"process {told.get('pid')} ended without a word", again
    # The error of a state that no longer holds is none any more.
    said = told.get("error") if state == told.get("state") != "starting" else None
    return said, said and _cure(name, said)


def _cure(name: str, error: str) -> str | None:
    """Return the cure for an *error* of ours; values that its text does not hold, in capitals."""
    code = re.match(r"\[([A-Z_]+)\]", error)
    kinds = (kind.catalogue for kind in LakehouseError.__subclasses__())
    found = next((one[code[1]].cure for one in kinds if code and code[1] in one), None)
    if found is None or found == "{cure}":
        return None
    names = [one for _, one, _, _ in Formatter().parse(found) if one]
    return found.format(**{one: one.upper() for one in names} | {"stream": name})


def _start(name: str) -> str:
    layer, _, entity = name.partition(".")
    return f"lakehouse start {layer} --entity {entity}"


def _of_rows(name: str, recent: list[Commit]) -> list[Verdict]:
    """Return what the rows of the newest batch that was judged said of each expectation."""
    judged = next((one for one in recent if one.facts.get("expectations")), None)
    if judged is None:
        return []
    return [
        Verdict(
            name,
            judged.version,
            "rows",
            rule,
            one["severity"],
            one["success"],
            f"{one['unexpected']} of {one['judged']} unexpected",
        )
        for rule, one in judged.facts["expectations"]["rules"].items()
    ]


def _of_table(catalog: Catalog, name: str) -> list[Verdict]:
    """Return what the owner's last check of a whole version found."""
    found = ask(
        "SELECT version, rule, severity, success, observed, error FROM checks "
        "WHERE at = (SELECT max(at) FROM checks) ORDER BY rule",
        checks=opened(catalog, "audit", f"{name}.validations"),
    )
    return [
        Verdict(
            name,
            row["version"],
            "table",
            row["rule"],
            row["severity"],
            row["success"],
            str(row["error"] or row["observed"]),
        )
        for row in found
    ]


def _holder(state_dir: Path, name: str) -> Holder | None:
    try:
        return owner.holder(state_dir, name)
    except (OSError, TableError):
        return None


def stated(file: Path) -> dict[str, Any]:
    """Return what a state file says; nothing where there is none, or none that can be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
