"""`lakehouse jars fetch|verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

group_argument = click.argument("groups", nargs=-1, metavar="[GROUP]...")


@click.group()
def jars() -> None:
    """Fetch and verify the jars that Spark and the broker need.

    GROUP is spark or broker; both when none is named. The folder is the setting jars.dir.
    """


@jars.command()
@group_argument
@json_option
@click.pass_context
def fetch(ctx: click.Context, groups: tuple[str, ...], *, as_json: bool) -> None:
    """Bring the missing jars; the only command that downloads.

    Example: `lakehouse jars fetch spark`

    JSON: `{folder, jars: {GROUP: [NAME]}}`.
    """
    from lakehouse.jars import fetch as bring

    _each(ctx, groups, bring, as_json=as_json)


@jars.command()
@group_argument
@json_option
@click.pass_context
def verify(ctx: click.Context, groups: tuple[str, ...], *, as_json: bool) -> None:
    """Prove that every jar is there and is the locked one.

    Example: `lakehouse jars verify`

    JSON: `{folder, jars: {GROUP: [NAME]}}`.
    """
    from lakehouse.jars import verify as prove

    _each(ctx, groups, prove, as_json=as_json)


def _each(
    ctx: click.Context,
    groups: tuple[str, ...],
    action: Callable[[str, Path], list[Path]],
    *,
    as_json: bool,
) -> None:
    from lakehouse.config import load
    from lakehouse.jars import GROUPS

    for group in groups:
        if group not in GROUPS:
            raise click.BadParameter(f"'{group}' is not one of {', '.join(GROUPS)}")
    folder = load(ctx.obj["conf"], ctx.obj["env"]).jars.dir
    sound = {group: action(group, folder) for group in groups or GROUPS}
    text = "\n".join(
        f"{group}: {len(paths)} jars sound in {folder}" for group, paths in sound.items()
    )
    show(
        {"folder": folder, "jars": {g: [p.name for p in ps] for g, ps in sound.items()}},
        text,
        as_json=as_json,
    )
