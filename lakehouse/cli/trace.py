"""`lakehouse trace`."""

from __future__ import annotations

import click

from lakehouse.cli.output import json_option, show


@click.command()
@click.argument("target", metavar="TOPIC:PARTITION:OFFSET|ENTITY")
@click.argument("key", nargs=-1)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True,
    help="The messages of a key to show, newest first.",
)  # fmt: skip
@json_option
@click.pass_context
def trace(
    ctx: click.Context, target: str, key: tuple[str, ...], limit: int, *, as_json: bool
) -> None:
    """Show where a message went: from bronze to silver, to quarantine, or to a newer row.

    Of a position: when it landed, what silver decided and why, which version took it, which row
    beat it and when, and every decision on it. Of an ENTITY and a KEY, one word for each of the
    entity's keys: the row in silver now, and the same for each message of that key. From the
    tables and the records of their commits; nothing is judged again. Needs no Spark.

    Examples: `lakehouse trace esports-matches:3:51` and `lakehouse trace matches pac-0000011`

    JSON: `{position, traces: [{entity, position, fate, message, bronze, silver, reasons,
    quarantined_at, key, row, beaten, later, decisions}], absent: [{entity, why, oldest, newest,
    stray}]}`; of a key `{entity, key, row, messages, traces}`.
    """
    from lakehouse import entities
    from lakehouse.config import load
    from lakehouse.reading.story import story, whereabouts

    config = load(ctx.obj["conf"], ctx.obj["env"])
    if key:
        (entity,) = entities.load_all(ctx.obj["conf"], [target])
        told = story(config.lake, entity, key, limit)
        show(told.facts, str(told), as_json=as_json)
        return
    found = whereabouts(config.lake, entities.load_all(ctx.obj["conf"]), target)
    show(found.facts, str(found), as_json=as_json)
