"""What a vacuum of a table would take, and whether anybody still needs it. No JVM.

A file can go that the newest version no longer holds, once the commit that removed it is older than
`lake.time_travel`. With it every version goes that still held it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from deltalake.exceptions import DeltaError

from lakehouse.layout import RETENTIONS
from lakehouse.reading import files, versions
from lakehouse.reading.history import interval

if TYPE_CHECKING:
    from lakehouse.reading.tables import Table
    from lakehouse.reading.versions import Log


@dataclass(frozen=True)
class Plan:
    """What a vacuum of *table* would do now.

    `files` can go, with so many `bytes` together. Versions from `oldest` on can be read today, and
    from `remaining` on afterwards. `needed` says who still needs what would go; None: nobody.
    """

    table: str
    files: int
    bytes: int
    oldest: int
    remaining: int
    newest: int
    needed: str | None

    @property
    def facts(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        return vars(self)


def plan(table: Table, location: str) -> Plan:
    """Return what a vacuum of *table*, of the lake at *location*, would do now.

    Raises:
        TableError: TABLE_MISSING or TABLE_UNREADABLE.
    """
    log = versions.log(table)
    newest = versions.opened(log, log.newest)
    try:
        gone = newest.vacuum(dry_run=True, full=True)
    except DeltaError as error:
        raise versions.unreadable(table, log.newest, error) from error
    keeps = interval(newest.metadata().configuration.get(RETENTIONS[1]) or "") or timedelta(days=7)
    oldest = versions.vacuumed(log, log.newest, log.oldest) or log.oldest
    remaining = max(oldest, _last_removal(log, datetime.now(UTC) - keeps))
    needed = _needed(table, location, remaining) if gone else None
    size = files.size(table.path, gone)
    return Plan(table.name, len(gone), size, oldest, remaining, log.newest, needed)


def _last_removal(log: Log, before: datetime) -> int:
    """Return the last version that removed files and was committed *before*; else the oldest.

    Versions before it held files that a vacuum takes.
    """
    for version in range(log.newest, log.oldest, -1):
        text = log.text(version)
        if '"remove"' in text and log.commit(version).committed_at <= before:
            return version
    return log.oldest


def _needed(table: Table, location: str, remaining: int) -> str | None:
    """Say which stream has yet to read versions of *table* that would go; None: there is none.

    Silver reads what each version of bronze added, and a compaction has put those files together
    since: a stream that was down for longer than `lake.time_travel` would not find them any more.
    """
    if table.layer != "bronze":
        return None
    stream = f"silver.{table.entity}"
    folder = f"_checkpoints/{stream}/offsets"
    try:
        last = max(int(name) for name in files.names(location, folder) if name.isdigit())
        offset = json.loads(files.text(location, f"{folder}/{last}").splitlines()[-1])
        version = int(offset["reservoirVersion"])
    except (OSError, ValueError, KeyError):
        return f"{stream} has not begun, and would read {table.name} from its first version on"
    if version >= remaining:
        return None
    return f"{stream} has read {table.name} up to version {version} only"
