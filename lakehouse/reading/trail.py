"""The audit trail of a table, read by delta-rs: no JVM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyarrow import fs

from lakehouse.audit import commits
from lakehouse.audit.commits import Commit
from lakehouse.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lakehouse.settings import LakeSettings


def trail(lake: LakeSettings, table: str) -> list[Commit]:
    """Return every commit of *table*, such as `silver.matches`, the oldest first.

    From its audit trail, and from its log where the trail ends.

    Raises:
        TableError: TABLE_MISSING.
    """
    layer, _, entity = table.partition(".")
    path = f"{lake.location}/{layer}/{entity}"
    kept = [Commit.from_row(row) for row in rows(f"{lake.location}/audit/{table}")]
    kept.sort(key=lambda one: one.version)
    after = kept[-1].version if kept else -1
    found = commits.joined(kept, _logged(f"{path}/_delta_log", after))
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
    """Return what the owner's last check of *version* of *table* found, a row for each rule."""
    found = [
        row
        for row in rows(f"{lake.location}/audit/{table}.validations")
        if row["version"] == version
    ]
    last = max((row["at"] for row in found), default=None)
    return [row for row in found if row["at"] == last]


def rows(path: str) -> list[dict[str, Any]]:
    """Return the rows of the Delta table at *path*; none where there is no table."""
    try:
        found: list[dict[str, Any]] = DeltaTable(path).to_pyarrow_table().to_pylist()
    except TableNotFoundError:
        return []
    return found


def _logged(log: str, after: int) -> Iterator[Commit]:
    files, folder = fs.FileSystem.from_uri(log)
    selector = fs.FileSelector(folder, allow_not_found=True)
    found = ((commits.version_of(one.base_name), one.path) for one in files.get_file_info(selector))
    later = sorted((version, path) for version, path in found if version is not None)
    for version, path in later:
        if version <= after:
            continue
        try:
            with files.open_input_stream(path) as stream:
                text = stream.read().decode()
        except FileNotFoundError:  # Delta has just removed it
            continue
        yield commits.read(text, version)
