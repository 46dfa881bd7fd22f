"""`lakehouse optimize`."""

from __future__ import annotations

import click

from lakehouse.cli.options import by_owner, chosen_tables, timeout_option
from lakehouse.cli.output import json_option, show


@click.command()
@click.argument("names", nargs=-1, metavar="[TABLE]...")
@timeout_option
@json_option
@click.pass_context
def optimize(ctx: click.Context, names: tuple[str, ...], timeout: float, *, as_json: bool) -> None:
    """Put the small files of each TABLE, such as silver.matches, together; of all without a name.

    The owner of a running stream does it by itself every fifty batches, and is asked to do it now;
    without one it is done here. Rows and order stay, and older versions stay readable.

    Example: `lakehouse optimize silver.matches`

    JSON: `{tables: {TABLE: {files, version}}}`, where `files` is how many were put together.
    """
    from lakehouse import pipeline
    from lakehouse.config import load

    config = load(ctx.obj["conf"], ctx.obj["env"])
    found = {}
    for stream, own in by_owner(chosen_tables(ctx, names)).items():
        said = pipeline.ask(config, stream, "optimize", seconds=timeout, tables=own)
        found.update(said["tables"])
    lines = [
        f"{name}: {one['files']} small files put together, version {one['version']}"
        if one["files"]
        else f"{name}: nothing to do"
        for name, one in found.items()
    ]
    show({"tables": found}, "\n".join(lines) or "there is no table yet", as_json=as_json)
