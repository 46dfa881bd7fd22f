"""`lakehouse history`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli import audit
from lakehouse.cli.options import catalog
from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.reading.history import History, Version


@click.command()
@click.argument("table")
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Newest first."
)
@click.option("--before", type=click.IntRange(0), help="Only versions before this one.")
@json_option
@click.pass_context
def history(
    ctx: click.Context, table: str, limit: int, before: int | None, *, as_json: bool
) -> None:
    """Show the versions of TABLE, such as silver.matches, and until when each can be read.

    What its log no longer has comes from its audit trail. A version can be read at least until the
    time shown, as long as nobody vacuums or cleans up earlier. Times are UTC. Needs no Spark.

    Example: `lakehouse history silver.matches --before 120`

    JSON: `{table, oldest, newest, before, versions: [{version, at, operation, stream, batch_id,
    positions, rows, expectations, unexpected, resumed, verb, by, note, code, rules, metrics,
    readable, gone, until}]}`. `oldest` to `newest` can be read, `before` is the next page's or
    null, `gone` says why a version cannot be read.
    """
    from lakehouse.reading.history import history as read

    known = catalog(ctx)
    found = read(known, known.table(table), limit=limit, before=before)
    facts = {
        "table": found.table,
        "oldest": found.oldest,
        "newest": found.newest,
        "before": found.before,
        "versions": [_facts(one) for one in found.versions],
    }
    show(facts, "\n".join(_lines(found)), as_json=as_json)


def _facts(one: Version) -> dict[str, Any]:
    from lakehouse.reading.versions import stamp

    return {
        **audit.facts(one.commit),
        "at": stamp(one.commit.committed_at),
        "readable": one.gone is None,
        "gone": one.gone,
        "until": one.until and stamp(one.until),
    }


def _lines(found: History) -> list[str]:
    lines = [f"{found.table}: versions {found.oldest} to {found.newest} can be read"]
    lines += [_line(one) for one in found.versions]
    if found.before is not None:
        lines.append(f"older ones: lakehouse history {found.table} --before {found.before}")
    return lines


def _line(one: Version) -> str:
    from lakehouse.log import escaped
    from lakehouse.reading.versions import stamp

    until = f"until {one.until:%Y-%m-%d %H:%M}" if one.until else "the newest"
    parts = (
        f"{one.commit.version:>6}",
        stamp(one.commit.committed_at),
        f"{one.commit.operation:<17}",
        f"{audit.work(one.commit):<9}",
        f"{audit.told(one.commit):<24}",
        f"gone: {one.gone}" if one.gone else until,
    )
    return escaped("  ".join(parts))
