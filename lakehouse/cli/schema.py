"""`lakehouse schema`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakehouse.cli.options import as_of, catalog, version_options
from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.reading.schema import Column


@click.command()
@click.argument("table")
@version_options
@json_option
@click.pass_context
def schema(
    ctx: click.Context, table: str, version: int | None, at: str | None, *, as_json: bool
) -> None:
    """Show the columns of TABLE, such as silver.matches: name, type, what it is. Needs no Spark.

    Example: `lakehouse schema silver.matches --at "2026-01-31 10:00"`

    JSON: `{table, version, at, columns: [{name, type, nullable, comment, key, partition}]}`. `key`
    marks the columns that tell one row from another.
    """
    from lakehouse.reading import versions
    from lakehouse.reading.schema import schema as read

    found = read(catalog(ctx).table(table), as_of(version, at))
    facts = {**vars(found), "at": versions.stamp(found.at)}
    facts["columns"] = [vars(one) for one in found.columns]
    wide = max((len(one.name) for one in found.columns), default=0)
    kind = min(max((len(one.type) for one in found.columns), default=0), 20)
    lines = [f"{found.table} version {found.version} of {versions.stamp(found.at)}"]
    lines += [_line(one, wide, kind) for one in found.columns]
    show(facts, "\n".join(lines), as_json=as_json)


def _line(one: Column, wide: int, kind: int) -> str:
    from lakehouse.log import escaped

    marks = ["key"] if one.key else []
    marks += ["partition"] if one.partition else []
    marks += [] if one.nullable else ["not null"]
    said = ". ".join(filter(None, (", ".join(marks), one.comment)))
    return escaped(f"  {one.name:<{wide}}  {one.type:<{kind}}  {said}").rstrip()
