"""`lakehouse jars fetch|verify|archive`."""

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


@jars.command()
@json_option
@click.pass_context
def archive(ctx: click.Context, *, as_json: bool) -> None:
    """Keep the classes of the jars as the JVM has them once they are loaded: starts take less time.

    Plays a rehearsal for this, of about a minute: both streams on a broker and a lake of
    their own, of which nothing is left. So it needs the jars of both groups. The archive lies
    beside them, some 200 MB. A new Java, pyspark or jar needs another; the newest four are kept.

    Example: `lakehouse jars archive`

    JSON: `{archive, bytes}`.
    """
    from lakehouse import log
    from lakehouse.config import load
    from lakehouse.demo import rehearsal

    config = load(ctx.obj["conf"], ctx.obj["env"])
    log.set_up(level="error", style=config.log.format)  # what a rehearsal says is for nobody
    path = rehearsal.archive(config)
    size = path.stat().st_size
    show(
        {"archive": path, "bytes": size},
        f"classes archived in {path}, {size / 2**20:.0f} MiB",
        as_json=as_json,
    )


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
