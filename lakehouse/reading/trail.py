"""The audit trail of a table, read by delta-rs: no JVM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakehouse.audit import commits
from lakehouse.audit.commits import Commit
from lakehouse.errors import TableError
from lakehouse.reading import files
from lakehouse.reading.rows import ask, opened, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.settings import LakeSettings


def trail(lake: LakeSettings, table: str) -> list[Commit]:
    """Return every commit of *table*, such as `silver.matches`, the oldest first.

    From its audit trail, and from its log where the trail ends.

    Raises:
        TableError: TABLE_MISSING or TABLE_UNREADABLE.
    """
    layer, _, entity = table.partition(".")
    path = f"{lake.location}/{layer}/{entity}"
    rows = ask("SELECT * FROM t ORDER BY version", t=opened(lake, "audit", table))
    kept = [Commit.from_row(row) for row in rows]
    after = kept[-1].version if kept else -1
    found = commits.joined(kept, _logged(path, after))
    if not found:
        raise TableError(
            "TABLE_MISSING",
            table=table,
            path=path,
            reason="there is no commit in its log, nor in its audit trail",
            cure=f"start the stream that writes it: `lakehouse start {layer} --entity {entity}`",
        )
    return found


def validations(lake: LakeSettings, table: str, version: int) -> list[dict[str, Any]]:
    """Return what the owner's last check of *version* of *table* found, a row for each rule.

    Raises:
        TableError: TABLE_UNREADABLE.
    """
    of = f"FROM t WHERE version = {version:d}"
    sql = f'SELECT * {of} AND "at" = (SELECT max("at") {of})'
    return ask(sql, t=opened(lake, "audit", f"{table}.validations"))


def _logged(path: str, after: int) -> Iterator[Commit]:
    try:
        names = files.names(path, "_delta_log")
    except FileNotFoundError:
        return
    found = (version for version in map(commits.version_of, names) if version is not None)
    for version in sorted(found):
        one = commit_at(path, version) if version > after else None
        if one is not None:
            yield one


def commit_at(path: str, version: int) -> Commit | None:
    """Return the commit of *version* of the table at *path*; None where Delta has removed it.

    Raises:
        TableError: TABLE_UNREADABLE.
    """
    file = f"_delta_log/{version:020d}.json"
    try:
        return commits.read(files.text(path, file), version)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise unreadable(f"{path}/{file}", error) from error
