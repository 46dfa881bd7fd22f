"""`lakehouse diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli import rows
from lakehouse.cli.options import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lakehouse.reading.diff import Diff

# Changes that a person still reads; a file gets all.
CHANGES = 100


@click.command()
@click.argument("table")
@click.argument("before", metavar="V1")
@click.argument("after", metavar="V2")
@click.option(
    "--limit",
    type=click.IntRange(0),
    help=f"At most so many changes; 0 for all. Without it {CHANGES}, or with --output all.",
)
@click.option(
    "--marks", is_flag=True, help="Rows in which only columns that begin with _ differ, too."
)
@rows.rows_options
@click.pass_context
def diff(
    ctx: click.Context,
    *,
    table: str,
    before: str,
    after: str,
    limit: int | None,
    marks: bool,
    form: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show what differs between V1 and V2 of TABLE: rows added, changed and removed. No Spark.

    V1 and V2 are versions, such as 3, or times, such as "2026-01-31 10:00", in UTC. A row whose
    newer message said the same differs only in columns that begin with _, and is counted apart.

    Example: `lakehouse diff silver.matches 3 "2026-01-31 10:00"`

    JSON: `{table, from: {version, at}, to: {version, at}, keys, added, changed, removed, touched,
    complete, changes: [{change, key, row}, {change: "changed", key, columns: {COLUMN: {old,
    new}}}]}`. CSV and Parquet have the rows as Delta's change data feed has them: `_change_type`
    is insert, delete, update_preimage or update_postimage.
    """
    from lakehouse.reading import versions
    from lakehouse.reading.diff import diff as between

    rows.spare_pandas()
    form = rows.chosen(form, output, as_json=as_json)
    most = limit if limit is not None else 0 if output else CHANGES
    found = between(
        catalog(ctx).table(table),
        versions.named(before),
        versions.named(after),
        limit=most or None,
        marks=marks,
    )
    if form in {"csv", "parquet"}:
        rows.put(found.rows, form, output, {})
    else:
        text = _json(found) if form == "json" else "\n".join(_lines(found, marks=marks))
        rows.write(text, output)
    if not found.whole:
        click.echo(f"only the first {most} changes; --limit 0 gives all", err=True)


def _facts(found: Diff) -> dict[str, Any]:
    from lakehouse.reading.versions import stamp

    return {
        "table": found.table,
        "from": {"version": found.before, "at": stamp(found.before_at)},
        "to": {"version": found.after, "at": stamp(found.after_at)},
        "keys": found.keys,
        "added": found.added,
        "changed": found.changed,
        "removed": found.removed,
        "touched": found.touched,
        "complete": found.whole,
    }


def _json(found: Diff) -> str:
    import json

    changes = []
    for change, key, row, columns in _changes(found):
        said = {"columns": {n: {"old": o, "new": w} for n, (o, w) in columns.items()}}
        changes.append({"change": change, "key": key} | (said if columns else {"row": row}))
    return json.dumps(rows.plain({**_facts(found), "changes": changes}))


def _lines(found: Diff, *, marks: bool) -> Iterator[str]:
    facts = _facts(found)
    ends = (f"version {facts[end]['version']} ({facts[end]['at']})" for end in ("from", "to"))
    yield f"{found.table}, {' to '.join(ends)}:"
    touched = f", {found.touched} touched" if found.touched else ""
    yield f"{found.added} added, {found.changed} changed, {found.removed} removed{touched}"
    for change, key, row, columns in _changes(found):
        sign = {"added": "+", "changed": "~", "removed": "-"}[change]
        shown = [n for n in columns or row if n not in key and (marks or not n.startswith("_"))]
        if columns:
            values = {n: map(rows.text, columns[n]) for n in shown}
            told = [f"{rows.text(n)}: {' -> '.join(both)}" for n, both in values.items()]
        else:
            told = [f"{rows.text(n)}={rows.text(row[n])}" for n in shown if row[n] is not None]
        name = " ".join(rows.text(value) for value in key.values())
        yield f"{sign} {name}  {', '.join(told)}".rstrip()


def _changes(
    found: Diff,
) -> Iterator[tuple[str, dict[str, Any], dict[str, Any], dict[str, tuple[Any, Any]]]]:
    """Yield what became of each row, its key, the row, and of a changed one what was and is."""
    old: dict[str, Any] = {}
    for row in rows.records(found.rows):
        change = row.pop("_change_type")
        key = {name: row[name] for name in found.keys}
        if change == "update_preimage":
            old = row
        elif change == "update_postimage":
            # As JSON has them: there a NaN is equal to itself.
            differ = {
                name: (old[name], row[name])
                for name in row
                if rows.plain(old[name]) != rows.plain(row[name])
            }
            yield "changed", key, row, differ
        else:
            yield {"insert": "added", "delete": "removed"}[change], key, row, {}
