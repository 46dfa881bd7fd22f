"""`lakehouse trace`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.entities import Entity
    from lakehouse.reading.positions import Position
    from lakehouse.settings import LakeSettings


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

    Examples: `lakehouse trace esports-matches:3:51` and `lakehouse trace matches pac-0000011`.
    """
    from lakehouse import entities
    from lakehouse.config import load
    from lakehouse.reading import positions

    config = load(ctx.obj["conf"], ctx.obj["env"])
    if key:
        entity = entities.load_all(ctx.obj["conf"], [target])[0]
        _trace_key(config.lake, entity, key, limit, as_json=as_json)
        return
    at = positions.parse(target)
    if at is None:
        raise click.BadParameter(
            f"'{target}' is no TOPIC:PARTITION:OFFSET; after an ENTITY comes a KEY"
        )
    known = entities.load_all(ctx.obj["conf"])
    chosen = [one for one in known if one.topic == at.topic]
    if not chosen:
        topics = ", ".join(sorted({one.topic for one in known}))
        raise click.BadParameter(f"no entity has the topic '{at.topic}'; there are {topics}")
    _trace_position(config.lake, chosen, at, as_json=as_json)


def _trace_position(
    lake: LakeSettings, chosen: list[Entity], at: Position, *, as_json: bool
) -> None:
    from lakehouse.cli.traces import absent_facts, absent_lines, trace_facts, trace_lines
    from lakehouse.reading.story import of_position
    from lakehouse.reading.trace import Absent, look

    facts: dict[str, Any] = {"position": str(at), "traces": [], "absent": []}
    lines: list[str] = []
    for entity in chosen:
        found = of_position(look(lake, entity), at)
        if isinstance(found, Absent):
            facts["absent"].append(absent_facts(found))
            lines += absent_lines(found)
        else:
            facts["traces"] += [trace_facts(one) for one in found]
            for one in found:
                lines += trace_lines(one, several=len(found) > 1, alone=True)
    show(facts, "\n".join(lines), as_json=as_json)


def _trace_key(
    lake: LakeSettings, entity: Entity, texts: tuple[str, ...], limit: int, *, as_json: bool
) -> None:
    from lakehouse.cli.traces import silver_facts, story_lines, trace_facts
    from lakehouse.reading import keys
    from lakehouse.reading.story import of_key
    from lakehouse.reading.trace import look

    if len(texts) != len(entity.keys):
        wanted = " ".join(entity.keys)
        raise click.BadParameter(f"the key of {entity.name} is {wanted}: a word for each")
    seen = look(lake, entity)
    types = keys.kinds(seen.silver, entity.keys)
    found = keys.written(texts, types)
    if found is None:
        said = ", ".join(f"{name} is {kind}" for name, kind in zip(entity.keys, types, strict=True))
        raise click.BadParameter(f"that cannot be a key of {entity.name}: {said}")
    story = of_key(seen, dict(zip(entity.keys, found, strict=True)), limit)
    facts = {
        "entity": entity.name,
        "key": story.key,
        "row": silver_facts(story.now),
        "messages": story.messages,
        "traces": [trace_facts(one) for one in story.told],
    }
    show(facts, "\n".join(story_lines(entity.name, story)), as_json=as_json)
