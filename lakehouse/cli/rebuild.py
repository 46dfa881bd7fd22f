"""`lakehouse rebuild`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.options import timeout_option
from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.entities import Entity
    from lakehouse.settings import Config

TOLD = {
    "added": "rows are new",
    "changed": "rows differ",
    "removed": "rows are gone",
    "newly_refused": "messages are newly refused",
    "other_reasons": "messages are refused for other reasons",
    "rescued": "messages are no longer refused",
}


@click.command()
@click.argument("layer", type=click.Choice(["silver"]), metavar="silver")
@click.argument("entity", metavar="ENTITY")
@click.option("--apply", is_flag=True, help="Have the tables be so; otherwise only show it.")
@click.option("--note", metavar="TEXT", help="Why; it is kept in the commits.")
@timeout_option
@json_option
@click.pass_context
def rebuild(
    ctx: click.Context,
    layer: str,
    entity: str,
    note: str | None,
    timeout: float,
    *,
    apply: bool,
    as_json: bool,
) -> None:
    """Derive silver and quarantine of ENTITY afresh from bronze, by the rules of today.

    Shows how they would differ. With --apply either is overwritten in one commit: older versions
    stay readable, decisions stay, and what was discarded stays discarded. Killed at any point it is
    finished at the next start. A running stream pauses meanwhile, and goes on where
    it was, under these rules. This is the way to change keys, order, partitions or column types.

    Example: `lakehouse rebuild silver matches --apply --note "towers go to 12 now"`

    JSON: `{applied, rules, rows: {silver, quarantine}, silver: {added, changed, removed,
    examples}, quarantine: {newly_refused, other_reasons, rescued, examples}, versions, reloaded}`;
    examples are `{KIND: [{where, columns}]}`. `versions` and `reloaded` only when applied.
    """
    from lakehouse import entities, log
    from lakehouse.config import load

    config = load(ctx.obj["conf"], ctx.obj["env"])
    log.set_up(level=config.log.level, style=config.log.format)
    (one,) = entities.load_all(ctx.obj["conf"], [entity])
    args = {"entity": entity, "by": getpass.getuser(), "note": note}
    found = _applied(config, one, timeout, args) if apply else _previewed(config, one, args)
    facts = {"applied": apply, **found}
    show(facts, "\n".join(_lines(f"{layer}.{entity}", facts)), as_json=as_json)


def _applied(
    config: Config, entity: Entity, seconds: float, args: dict[str, Any]
) -> dict[str, Any]:
    from lakehouse import pipeline

    return pipeline.ask(config, f"silver.{entity.name}", "rebuild", seconds=seconds, **args)


def _previewed(config: Config, entity: Entity, args: dict[str, Any]) -> dict[str, Any]:
    from lakehouse import owner, session
    from lakehouse.run import Run
    from silver.rebuild import preview

    spark = session.start(config)
    try:
        return preview(spark, entity, owner.request("rebuild", **args), Run(config))
    finally:
        session.stop(spark)


def _lines(name: str, facts: dict[str, Any]) -> list[str]:
    from lakehouse.log import escaped

    rows = facts["rows"]
    lines = [
        f"{name} by rules {facts['rules']}: {rows['silver']} rows, {rows['quarantine']} refused"
    ]
    differs = [*facts["silver"].items(), *facts["quarantine"].items()]
    examples = {**facts["silver"]["examples"], **facts["quarantine"]["examples"]}
    for kind, count in differs:
        if kind != "examples" and count:
            lines.append(f"  {count} {TOLD[kind]}")
            for one in examples[kind]:
                columns = f": {', '.join(one['columns'])}" if one["columns"] else ""
                lines.append(f"    {one['where']}{columns}")
    if len(lines) == 1:
        lines.append("  no difference")
    if facts["applied"]:
        made = ", ".join(f"{table} version {n}" for table, n in facts["versions"].items())
        lines.append(f"  applied: {made}")
    else:
        lines.append("  nothing was changed; --apply does it")
    return [escaped(line) for line in lines]
