"""What a vacuum of a table would take, and whether anybody still needs it. No JVM.

A file can go that the newest version no longer holds, once the commit that removed it is older than
`lake.time_travel`. With it every version goes that still held it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from deltalake.exceptions import DeltaError

from lakehouse.reading import files, versions

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
        unused = {unquote(one) for one in newest.vacuum(dry_run=True, full=True)}
    except DeltaError as error:
        raise versions.unreadable(table, log.newest, error) from error
    # Hidden ones are Hadoop's check sums, which go with their files. And of files that an earlier
    # vacuum took, the log tells for as long as it reaches back.
    seen = {one for one in unused if not one.rpartition("/")[2].startswith(".")}
    gone = seen.difference(files.absent(table.path, seen))
    oldest = versions.vacuumed(log, log.newest, log.oldest) or log.oldest
    remaining = max(oldest, _last_removal(log, gone))
    needed = _needed(table, location, remaining) if gone else None
    size = files.size(table.path, gone)
    return Plan(table.name, len(gone), size, oldest, remaining, log.newest, needed)


def _last_removal(log: Log, gone: set[str]) -> int:
    """Return the last version that removed one of the files that can be *gone*; else the oldest.

    Versions before it held such a file.
    """
    for version in range(log.newest, log.oldest, -1):
        lines = [line for line in log.text(version).split("\n") if '"remove"' in line]
        actions = [json.loads(line) for line in lines]
        if gone & {unquote(one["remove"]["path"]) for one in actions if "remove" in one}:
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
    folder = f"_checkpoints/{stream}"
    try:  # what is planned and not committed will be read again
        commits = files.names(location, f"{folder}/commits")
        last = max(int(name) for name in commits if name.isdigit())
        offset = json.loads(files.text(location, f"{folder}/offsets/{last}").splitlines()[-1])
        version = int(offset["reservoirVersion"])
    except (OSError, ValueError, KeyError):
        return f"{stream} has not begun, and would read {table.name} from its first version on"
    if version >= remaining:
        return None
    return f"{stream} has read {table.name} up to version {version} only"
