"""`lakehouse vacuum`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakehouse.cli.options import by_owner, chosen_tables, timeout_option
from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.reading.vacuum import Plan


@click.command()
@click.argument("names", nargs=-1, metavar="[TABLE]...")
@click.option("--apply", is_flag=True, help="Delete the files; otherwise only show which.")
@timeout_option
@json_option
@click.pass_context
def vacuum(
    ctx: click.Context, names: tuple[str, ...], timeout: float, *, apply: bool, as_json: bool
) -> None:
    """Show which files of each TABLE no readable version needs, and with --apply delete them.

    Files that the newest version no longer holds, removed longer ago than lake.time_travel. Says
    which versions cease to be readable. Refused for a bronze table whose silver stream has yet to
    read what would go. Without a TABLE, of all. Showing needs no Spark.

    Example: `lakehouse vacuum silver.matches --apply`

    JSON: `{applied, tables: {TABLE: {table, files, bytes, oldest, remaining, newest, needed}}}`:
    versions from `oldest` on can be read, and from `remaining` on without these files; `needed`
    says who still needs them, or is null.
    """
    from lakehouse.config import load
    from lakehouse.errors import TableError
    from lakehouse.reading.vacuum import plan

    config = load(ctx.obj["conf"], ctx.obj["env"])
    chosen = chosen_tables(ctx, names)
    plans = {one.name: plan(one, config.lake.location) for one in chosen}
    lines = [line for one in plans.values() for line in _lines(one)]
    if apply:
        from lakehouse import pipeline

        for one in plans.values():
            if one.needed:
                raise TableError("VACUUM_REFUSED", table=one.table, reason=one.needed)
        worth = [one for one in chosen if plans[one.name].files]
        for stream, own in by_owner(worth).items():
            pipeline.ask(config, stream, "vacuum", seconds=timeout, tables=own)
        lines.append("these files were deleted" if worth else "nothing to delete")
    else:
        lines.append("nothing was deleted; --apply does it")
    facts = {name: one.facts for name, one in plans.items()}
    show({"applied": apply, "tables": facts}, "\n".join(lines), as_json=as_json)


def _lines(one: Plan) -> list[str]:
    size = f"{one.bytes / 1_000_000:.1f} MB"
    lines = [f"{one.table}: {one.files} files, {size}"]
    if one.remaining > one.oldest:
        last = one.remaining - 1
        gone = f"version {last}" if last == one.oldest else f"versions {one.oldest} to {last}"
        lines.append(f"  {gone} would cease to be readable; {one.remaining} to {one.newest} stay")
    if one.needed:
        lines.append(f"  still needed: {one.needed}")
    return lines
