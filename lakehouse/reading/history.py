"""The versions of a table, the newest first, with what each commit said and who can read it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakehouse.audit.commits import Commit
from lakehouse.reading import versions
from lakehouse.reading.files import is_local
from lakehouse.reading.frames import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.reading.tables import Catalog, Table
    from lakehouse.reading.versions import Log

# What Delta keeps logs and removed files for, where a table does not say.
RETENTION = {
    "delta.logRetentionDuration": "interval 30 days",
    "delta.deletedFileRetentionDuration": "interval 1 week",
}


COUNTS = ("read", "valid", "quarantined")
COLUMNS = (
    *("version", "at", "operation", "batch_id", "rows_added", *COUNTS),
    *("rules", "code", "readable", "gone", "until", "record"),
)
# Commits that are searched for the last vacuum: a quarter of a second in a folder.
DEEP = 10_000


@dataclass(frozen=True)
class Version:
    """One version of a table.

    `gone` says why it can no longer be read; None where it can. `until` is how long it can at
    least, as long as nobody shortens the table's retention or vacuums below it; None of the newest
    version, and of one that is gone.
    """

    commit: Commit
    gone: str | None
    until: datetime | None


@dataclass(frozen=True)
class History:
    """A page of the versions of *table*, the newest first.

    `oldest` to `newest` can be read, as far as `history` looks. `before` asks for the next page;
    None where this is the last.
    """

    table: str
    oldest: int
    newest: int
    versions: tuple[Version, ...]
    before: int | None


def history(
    catalog: Catalog, table: Table, *, limit: int = 20, before: int | None = None
) -> History:
    """Return at most *limit* versions of *table*, those *before* a version or the newest.

    From its log, and from its audit trail where the log has been cleaned up. Whether a vacuum has
    taken files is known of the page, and in a folder of the newest DEEP versions; of older ones
    `oldest` is what the log alone says.

    Raises:
        TableError: TABLE_MISSING or TABLE_UNREADABLE, of the table or of its trail.
    """
    log = versions.log(table)
    top = log.newest if before is None else min(before - 1, log.newest)
    page = [log.commit(v) for v in range(top, max(top - limit, log.first - 1), -1)]
    if len(page) < limit and log.first > 0:
        page += _trail(catalog, table, min(log.first, top + 1), limit - len(page))
    lowest = page[-1].version if page else top
    deep = min(lowest, log.newest - DEEP) if is_local(table.path) else lowest
    oldest = versions.vacuumed(log, log.newest, max(deep, log.oldest)) or log.oldest
    keeps = _retention(versions.opened(log, log.newest).metadata().configuration)
    found = tuple(_version(one, log, oldest, keeps) for one in page)
    more = page and lowest > 0 and len(page) == limit
    return History(table.name, oldest, log.newest, found, lowest if more else None)


def _version(commit: Commit, log: Log, oldest: int, keeps: timedelta | None) -> Version:
    if commit.version < log.oldest:
        return Version(commit, "its log was cleaned up", None)
    if commit.version < oldest:
        return Version(commit, "its files were vacuumed", None)
    if commit.version == log.newest or keeps is None:
        return Version(commit, None, None)
    return Version(commit, None, commit.committed_at + keeps)


def _trail(catalog: Catalog, table: Table, before: int, limit: int) -> list[Commit]:
    """Return the newest *limit* commits *before* a version that the audit trail of *table* has."""
    if table.layer == "audit":
        return []
    from lakehouse.reading.rows import ask, opened

    sql = f"SELECT * FROM trail WHERE version < {before:d} ORDER BY version DESC LIMIT {limit:d}"  # noqa: S608 - numbers
    found = ask(sql, trail=opened(catalog, "audit", table.name))
    return [Commit.from_row(row) for row in found]


def _retention(properties: Mapping[str, str | None]) -> timedelta | None:
    """Return how long a version can be read at least, from its commit on."""
    kept = [_interval(properties.get(name) or usual) for name, usual in RETENTION.items()]
    known = [one for one in kept if one is not None]
    return min(known) if len(known) == len(kept) else None


def _interval(text: str) -> timedelta | None:
    found = re.fullmatch(r"(?:interval )?(\d+) (week|day|hour|minute|second|millisecond)s?", text)
    return found and timedelta(**{f"{found[2]}s": int(found[1])})


def rows(found: History) -> Rows:
    """Return the page as rows, one for each commit, for those who count or draw them.

    `read`, `valid` and `quarantined` are messages, NULL where the commit has no record of them;
    `record` is the commit's own, as JSON; `until` and `gone` are as in `Version`.
    """
    import pyarrow as pa

    text, number, time = pa.string(), pa.int64(), pa.timestamp("us", "UTC")
    kinds = dict.fromkeys(("version", "batch_id", "rows_added", *COUNTS), number)
    kinds |= {"at": time, "until": time, "readable": pa.bool_()}
    schema = pa.schema([(name, kinds.get(name, text)) for name in COLUMNS])
    return Rows(pa.Table.from_pylist([_row(one) for one in found.versions], schema))


def _row(one: Version) -> dict[str, Any]:
    said, commit = one.commit.facts, one.commit
    return {
        "version": commit.version,
        "at": commit.committed_at,
        "operation": commit.operation,
        "batch_id": commit.batch_id,
        "rows_added": commit.rows_added,
        **{name: (said.get("rows") or {}).get(name) for name in COUNTS},
        "rules": said.get("rules"),
        "code": said.get("code"),
        "readable": one.gone is None,
        "gone": one.gone,
        "until": one.until,
        "record": commit.record,
    }
