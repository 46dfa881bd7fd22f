"""Which version of a table a number or a time means, and which of them can be read.

One rule for every engine: a time means the newest version that was committed at or before it, by
the commit's own time (`inCommitTimestamp`), as in Spark's TIMESTAMP AS OF. Spark refuses a time
after the newest commit; here it means the newest version, unless the time has yet to come.
"""

from __future__ import annotations

import itertools
import json
import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from lakehouse.audit import commits
from lakehouse.errors import ConfigError, TableError, first_line
from lakehouse.reading import files

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from lakehouse.reading.tables import Table

# A version by its number, or the one of a time; None is the newest.
AsOf: TypeAlias = int | datetime | None
# A whole checkpoint, or one part of how many.
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.[0-9a-f-]{36})?\.\w+")
NEVER = "no newer one has been written yet"
CLEANED = "the log of older ones was cleaned up, once it was older than lake.time_travel"
VACUUMED = "a vacuum removed files of older ones"


@dataclass(frozen=True)
class Log:
    """The log of a table, as it was listed: from *oldest* to *newest* its versions can be made.

    *oldest* is by Delta's own rule: version 0, or else the first checkpoint whose commit is there.
    Whether the data files of a version are there is another question, which `opened` asks.
    """

    table: Table
    first: int
    oldest: int
    newest: int

    def text(self, version: int) -> str:
        """Return the file of the commit of *version*.

        Raises:
            TableError: TABLE_UNREADABLE, as when Delta removed it after the log was listed.
        """
        try:
            return files.text(self.table.path, f"_delta_log/{version:020d}.json")
        except OSError as error:
            raise unreadable(self.table, version, error) from error

    def commit(self, version: int) -> commits.Commit:
        """Return what the commit of *version* says.

        Raises:
            TableError: TABLE_UNREADABLE.
        """
        return self._read(self.text(version), version)

    def time(self, version: int) -> datetime:
        """Return when *version* was committed; reads no further than the commit's first action."""
        first, _, rest = self.text(version).partition("\n")
        while rest and '"commitInfo"' not in first:
            first, _, rest = rest.partition("\n")
        return self._read(first, version).committed_at

    def _read(self, text: str, version: int) -> commits.Commit:
        try:
            return commits.read(text, version)
        except ValueError as error:
            raise unreadable(self.table, version, error) from error


def log(table: Table) -> Log:
    """Return the log of *table* as it is now.

    Raises:
        TableError: TABLE_MISSING, also where the log has no version that can be made.
    """
    try:
        names = files.names(table.path, "_delta_log")
    except FileNotFoundError as error:
        raise _missing(table, "there is no log") from error
    except OSError as error:
        raise _missing(table, first_line(error)) from error
    versions = sorted(v for v in map(commits.version_of, names) if v is not None)
    if not versions:
        raise _missing(table, "there is no commit in its log")
    # Delta removes the oldest, never one between: what is before a gap is left over.
    gaps = [v for before, v in itertools.pairwise(versions) if v != before + 1]
    first = gaps[-1] if gaps else versions[0]
    whole = [0] if first == 0 else [v for v in _checkpoints(names) if first <= v <= versions[-1]]
    if not whole:
        raise _missing(table, "its log begins after its last checkpoint")
    return Log(table, first, min(whole), versions[-1])


def at(text: str | datetime) -> datetime:
    """Return the time that *text* means; without a zone it is UTC.

    Raises:
        ConfigError: BAD_TIME.
    """
    try:
        when = text if isinstance(text, datetime) else datetime.fromisoformat(text.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ConfigError("BAD_TIME", text=text) from error


def named(text: str) -> AsOf:
    """Return the version or the time that *text* names: `3`, `v3`, or what `at` reads.

    Raises:
        ConfigError: BAD_TIME.
    """
    number = re.fullmatch(r"v?(\d+)", text)
    return int(number[1]) if number else at(text)


def chosen(found: Log, as_of: AsOf = None) -> int:
    """Return the version that is meant: that number, the one of that time, or the newest.

    Raises:
        TableError: VERSION_GONE, naming the oldest and the newest that can be read, and why.
    """
    if as_of is None:
        return found.newest
    if isinstance(as_of, datetime):
        return _at(found, as_of)
    if as_of > found.newest:
        raise gone(found, as_of, NEVER)
    if as_of < found.oldest:
        raise gone(found, as_of, CLEANED if as_of >= 0 else "the first version is 0")
    return as_of


def opened(found: Log, version: int) -> DeltaTable:
    """Return *version*, opened by delta-rs; its data files are there.

    Of the newest version the files are not looked for: no vacuum removes them.

    Raises:
        TableError: VERSION_GONE, also where a vacuum removed what it needs; TABLE_UNREADABLE.
    """
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        there = DeltaTable(found.table.path, version=version)
    except (DeltaError, OSError) as error:
        now = log(found.table)  # Delta may have cleaned up after the log was listed
        chosen(now, version)
        raise unreadable(found.table, version, error) from error
    if version < found.newest:
        look_for_files(found, version, there)
    return there


def look_for_files(found: Log, version: int, there: DeltaTable) -> None:
    """Prove that each data file of *version*, which is opened, is there.

    Raises:
        TableError: VERSION_GONE where a vacuum took one, TABLE_UNREADABLE where somebody else did.
    """
    paths = there.get_add_actions().column("path").to_pylist()
    lost = files.absent(found.table.path, map(unquote, paths))
    if not lost:
        return
    oldest = vacuumed(found, found.newest, version)
    if oldest is None:
        raise unreadable(found.table, version, FileNotFoundError(f"{lost[0]} is not there"))
    raise gone(found, version, f"{VACUUMED}, such as {lost[0]}", oldest)


def vacuumed(found: Log, newest: int, oldest: int) -> int | None:
    """Return the oldest version in *oldest* .. *newest* from which on no data file is missing.

    None where none of them misses one, as far as the commits after *oldest* tell. A vacuum removes
    what a commit had removed from the table before, so the last such commit whose files are gone
    is what to look for, and the search ends there.
    """
    for version in range(newest, oldest, -1):
        text = found.text(version)
        if '"remove"' not in text:
            continue
        told = ('"remove"', '"deletionVector"')
        lines = (line for line in text.split("\n") if any(one in line for one in told))
        actions = [json.loads(line) for line in lines]
        # A file that gets another deletion vector is removed, and added again with that.
        kept = {one["add"]["path"] for one in actions if "add" in one}
        removed = {one["remove"]["path"] for one in actions if "remove" in one} - kept
        if files.absent(found.table.path, map(unquote, removed)):
            return version
    return None


def gone(found: Log, wanted: object, why: str, oldest: int | None = None) -> TableError:
    """Return the error for a version of a table that cannot be read."""
    first = found.oldest if oldest is None else oldest
    return TableError(
        "VERSION_GONE",
        table=found.table.name,
        version=wanted,
        oldest=first,
        newest=found.newest,
        since=stamp(found.time(first)),
        reason=why,
    )


def stamp(when: datetime) -> str:
    """Return *when* as it is shown, and as `at` reads it: to the millisecond, as Delta keeps it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unreadable(table: Table, version: int, error: Exception) -> TableError:
    """Return the error for a version whose files are not as its log says."""
    what = f"version {version} of {table.name}"
    return TableError("TABLE_UNREADABLE", table=what, reason=first_line(error))


def _at(found: Log, when: datetime) -> int:
    wanted = f"of {stamp(when)}"
    if when > datetime.now(UTC):
        raise gone(found, wanted, "that time has yet to come")
    span = range(found.oldest, found.newest + 1)
    # Commit times only ever grow, so a few commits tell.
    index = bisect_right(span, when, key=found.time)
    if index == 0:
        why = CLEANED if found.oldest else "the table was made later"
        raise gone(found, wanted, why)
    return span[index - 1]


def _checkpoints(names: list[str]) -> list[int]:
    """Return the versions whose checkpoint is there with all of its parts."""
    parts = Counter(
        (int(one[1]), int(one[3] or 1)) for one in map(CHECKPOINT.fullmatch, names) if one
    )
    return [version for (version, whole), n in parts.items() if n >= whole]


def _missing(table: Table, reason: str) -> TableError:
    layer, _, entity = table.name.partition(".")
    stream = "bronze" if layer == "bronze" else "silver"
    cure = f"start the stream that writes it: `lakehouse start {stream} --entity {entity}`"
    if layer == "audit":
        cure = "start the stream of that table: its owner keeps the trail"
    return TableError("TABLE_MISSING", table=table.name, path=table.path, reason=reason, cure=cure)
