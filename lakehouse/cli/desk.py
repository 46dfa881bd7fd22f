"""`lakehouse quarantine replay` and `discard`: what is decided about refused messages."""

from __future__ import annotations

import getpass
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.filters import filters
from lakehouse.cli.options import timeout_option
from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.entities import Entity
    from lakehouse.reading.quarantine import Wanted
    from lakehouse.settings import Config

POSITION = "[TOPIC:PARTITION:OFFSET]"


@click.command()
@click.argument("position", required=False, metavar=POSITION)
@filters
@click.option("--note", metavar="TEXT", help="Why; it is kept with each decision.")
@click.option("--dry-run", is_flag=True, help="Only say what would pass now; change nothing.")
@timeout_option
@json_option
@click.pass_context
def replay(
    ctx: click.Context,
    position: str | None,
    names: tuple[str, ...],
    wanted: Wanted,
    *,
    note: str | None,
    timeout: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Judge refused messages again, by the rules of today, and release those that pass.

    All that were neither released nor discarded, or those that the options choose. A released
    message is merged into silver in its original order, so it never overwrites a newer row; one
    that does not pass is refused again.
    Messages that today's rules have refused before are left alone, so a second replay changes
    nothing. A running stream reads its rules anew, and goes on under them.

    Example: `lakehouse quarantine replay --entity matches --rule team_1_towers_in_range --dry-run`

    JSON: `{dry_run, entities: {ENTITY: {rules, judged, released, refused_again, reasons,
    judged_before, inserted, updated, version, reloaded}}}`; of a dry run, up to `judged_before`.
    """
    config, chosen, wanted = _chosen(ctx, names, position, wanted)
    args = {"by": getpass.getuser(), "note": note, "wanted": wanted.facts}
    if dry_run:
        found = _rehearsed(config, chosen, args)
    else:
        found = _asked(config, chosen, "replay", timeout, args)
    lines = [_replayed(name, one, dry_run=dry_run) for name, one in found.items()]
    show({"dry_run": dry_run, "entities": found}, "\n".join(lines), as_json=as_json)


@click.command()
@click.argument("position", required=False, metavar=POSITION)
@filters
@click.option("--why", required=True, metavar="REASON", help="Why; it is kept with each decision.")
@click.option("--all", "every", is_flag=True, help="Every message that is open or refused again.")
@timeout_option
@json_option
@click.pass_context
def discard(
    ctx: click.Context,
    position: str | None,
    names: tuple[str, ...],
    wanted: Wanted,
    *,
    why: str,
    timeout: float,
    every: bool,
    as_json: bool,
) -> None:
    """Decide that refused messages stay refused: no replay and no rebuild judges them again.

    Their bytes, reasons and the decision stay in the tables, and `audit verify` counts them as
    discarded. It cannot be undone: have the producer send the message again.

    Example: `lakehouse quarantine discard esports-matches:3:51 --why "a test of the producer"`

    JSON: `{entities: {ENTITY: {discarded}}}`.
    """
    if not (every or position or names or wanted.facts):
        raise click.UsageError("say which: a position, options that choose, or --all")
    config, chosen, wanted = _chosen(ctx, names, position, wanted)
    args = {"by": getpass.getuser(), "note": why, "wanted": wanted.facts}
    done = _asked(config, chosen, "discard", timeout, args)
    found = {name: {"discarded": one["discarded"]} for name, one in done.items()}
    lines = [f"{name}: {one['discarded']} messages discarded" for name, one in found.items()]
    show({"entities": found}, "\n".join(lines), as_json=as_json)


def _chosen(
    ctx: click.Context, names: tuple[str, ...], position: str | None, wanted: Wanted
) -> tuple[Config, list[Entity], Wanted]:
    """Return the entities and the messages that are meant; a *position* is one message of them."""
    from lakehouse import entities, log
    from lakehouse.config import load
    from lakehouse.errors import ConfigError
    from lakehouse.reading.positions import parse

    config = load(ctx.obj["conf"], ctx.obj["env"])
    log.set_up(level=config.log.level, style=config.log.format)
    chosen = entities.load_all(ctx.obj["conf"], names)
    if position is None:
        return config, chosen, wanted
    at = parse(position)
    own = [one for one in chosen if one.topic == at.topic]
    if not own:
        topics = ", ".join(sorted({one.topic for one in chosen}))
        raise ConfigError("UNKNOWN_TOPIC", topic=at.topic, known=topics)
    return config, own, replace(wanted, partition=at.partition, offsets=(at.offset, at.offset))


def _asked(
    config: Config, chosen: list[Entity], verb: str, seconds: float, args: dict[str, Any]
) -> dict[str, Any]:
    from lakehouse import pipeline

    found = {}
    for one in chosen:
        name = f"silver.{one.name}"
        found[one.name] = pipeline.ask(config, name, verb, seconds=seconds, entity=one.name, **args)
    return found


def _rehearsed(config: Config, chosen: list[Entity], args: dict[str, Any]) -> dict[str, Any]:
    from lakehouse import owner, session
    from lakehouse.run import Run
    from silver.replay import rehearse

    spark = session.start(config)
    try:
        asked = owner.request("replay", **args)
        return {one.name: rehearse(spark, one, asked, Run(config).lake) for one in chosen}
    finally:
        session.stop(spark)


def _replayed(name: str, one: dict[str, Any], *, dry_run: bool) -> str:
    passed, refused = ("would pass", "would not") if dry_run else ("released", "refused again")
    why = ", ".join(f"{n} {code}" for code, n in one["reasons"].items())
    said = [f"{one['released']} {passed}", f"{one['refused_again']} {refused}"]
    said += [why] if why else []
    lines = [f"{name}: {'; '.join(said)}"]
    if one["judged_before"]:
        lines.append(f"  {one['judged_before']} more were refused by these very rules already")
    if one.get("version") is not None:
        made = f"{one['inserted']} new rows, {one['updated']} updated"
        lines.append(f"  silver.{name} version {one['version']}: {made}")
    if one.get("reloaded"):
        lines.append("  the running stream goes on under these rules")
    return "\n".join(lines)
