"""`lakehouse quarantine`: the commands that read; `lakehouse.cli.desk` has those that decide."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.desk import discard, replay
from lakehouse.cli.filters import filters
from lakehouse.cli.output import json_option, show
from quarantine.reasons import Reason

if TYPE_CHECKING:
    from lakehouse.reading.quarantine import Desk, Stats, Wanted

# The newest days of which people are told; programs are told of all.
DAYS = 14


@click.group()
def quarantine() -> None:
    """Look at the messages that were refused, and decide about them: replay or discard.

    Looking needs no Spark. Example: `lakehouse quarantine ls`.
    """


quarantine.add_command(replay)
quarantine.add_command(discard)


@quarantine.command()
@filters
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=20, show_default=True,
    help="Messages on a page, the last refused first.",
)  # fmt: skip
@click.option(
    "--page", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Which page."
)
@json_option
@click.pass_context
def ls(
    ctx: click.Context,
    names: tuple[str, ...],
    wanted: Wanted,
    limit: int,
    page: int,
    *,
    as_json: bool,
) -> None:
    """List refused messages, a line for each: when, where, its status and why.

    Example: `lakehouse quarantine ls --entity matches --reason wrong_type --status open`

    JSON: `{total, page, pages, messages: [{entity, topic, topic_id, partition, offset, value,
    value_raw, key, headers, timestamp, timestamp_type, landed_at, reasons, quarantined_at,
    batch_id, rules, status, attempts, decisions}]}`; bytes are Base64.
    """
    from lakehouse.cli.refusals import facts, line
    from lakehouse.reading.quarantine import count
    from lakehouse.reading.quarantine import page as newest

    desks = _desks(ctx, names)
    total = sum(count(one, wanted) for one in desks)
    found = [one for desk in desks for one in newest(desk, wanted, limit * page)]
    found.sort(key=lambda one: one.row["_quarantined_at"], reverse=True)
    shown = found[limit * (page - 1) : limit * page]
    pages = max(1, -(-total // limit))
    more = f"; --page {page + 1} shows more" if page < pages else ""
    lines = [*map(line, shown), f"{total} refused, page {page} of {pages}{more}"]
    said = {"total": total, "page": page, "pages": pages, "messages": [facts(one) for one in shown]}
    show(said, "\n".join(lines), as_json=as_json)


@quarantine.command(name="show")
@click.argument("position", metavar="TOPIC:PARTITION:OFFSET")
@click.option("--hex", "as_hex", is_flag=True, help="Show the bytes of the value in hexadecimal.")
@json_option
@click.pass_context
def show_one(ctx: click.Context, position: str, *, as_hex: bool, as_json: bool) -> None:
    """Show all of a refused message: its bytes, every reason, and every decision on it.

    Control characters, and those that turn the direction of text, are written out.

    Example: `lakehouse quarantine show esports-matches:3:51`

    JSON: `{messages: [...]}`, each as `ls` has it.
    """
    from lakehouse.cli.refusals import facts, report
    from lakehouse.reading.positions import parse
    from lakehouse.reading.quarantine import at_position

    at = parse(position)
    found = [one for desk in _desks(ctx, (), at.topic) for one in at_position(desk, at)]
    if not found:
        raise click.BadParameter(
            f"{at} is not in quarantine; `lakehouse trace {at}` tells where it is"
        )
    lines = [line for one in found for line in report(one, as_hex=as_hex)]
    show({"messages": [facts(one) for one in found]}, "\n".join(lines), as_json=as_json)


@quarantine.command()
@filters
@json_option
@click.pass_context
def stats(ctx: click.Context, names: tuple[str, ...], wanted: Wanted, *, as_json: bool) -> None:
    """Count refused messages: by status, reason, rule and day.

    A message with two reasons counts under both.

    Example: `lakehouse quarantine stats --since 2026-01-31`

    Unsettled are those that were neither released nor discarded.

    JSON: `{entities: {ENTITY: {total, statuses, reasons: [{code, messages, unsettled}],
    rules: [{rule, messages, unsettled}], days: [{day, messages}]}}}`.
    """
    from lakehouse.reading.quarantine import stats as counted

    found = [counted(one, wanted) for one in _desks(ctx, names)]
    said = {"entities": {one.entity: _counts(one) for one in found}}
    show(said, "\n".join(line for one in found for line in _counted(one)), as_json=as_json)


@quarantine.command()
@click.argument(
    "reason", required=False, type=click.Choice([str(one) for one in Reason]), metavar="[REASON]"
)
@json_option
def explain(reason: str | None, *, as_json: bool) -> None:
    """Explain REASON: what it means, how messages come by it, and how to mend them.

    Without one, list all there are.

    Example: `lakehouse quarantine explain not_json`

    JSON: `{reasons: {CODE: {meaning, causes, cures}}}`.
    """
    from quarantine.advice import ADVICE

    chosen = [Reason(reason)] if reason else list(Reason)
    facts = {str(one): {"meaning": one.meaning, **ADVICE[one]._asdict()} for one in chosen}
    lines = [f"{one:<18} {one.meaning}" for one in chosen]
    if reason:
        causes, cures = ADVICE[chosen[0]]
        lines += ["", "How it comes about:", *(f"  - {cause}" for cause in causes)]
        lines += ["", "How to mend it:", *(f"  - {cure}" for cure in cures)]
    show({"reasons": facts}, "\n".join(lines), as_json=as_json)


@quarantine.command()
@filters
@click.option(
    "--format", "kind", type=click.Choice(["jsonl", "csv", "parquet"]), default="jsonl",
    show_default=True, help="JSON lines, CSV with a header, or Parquet.",
)  # fmt: skip
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="A new file; standard output if not given.",
)  # fmt: skip
@click.pass_context
def export(
    ctx: click.Context, names: tuple[str, ...], wanted: Wanted, kind: str, output: Path | None
) -> None:
    """Write refused messages with their reasons and status, so that every byte can be had back.

    `value` is text; where the bytes were not UTF-8 it is repaired and `value_raw` has them. Bytes
    are binary in Parquet, and in base64 otherwise. A file that is there is never overwritten.

    Example: `lakehouse quarantine export --format parquet --output refused.parquet`
    """
    from lakehouse.cli.exports import WRITERS

    if output is None and kind != "jsonl" and sys.stdout.isatty():
        raise click.UsageError(f"{kind} is not for a terminal: name a file with --output")
    desks = _desks(ctx, names)
    if output is None:
        WRITERS[kind](desks, wanted, sys.stdout.buffer)
        return
    try:
        file = output.open("xb")
    except OSError as error:
        raise click.BadParameter(f"{output}: {error.strerror}", param_hint="--output") from error
    try:
        with file:
            rows = WRITERS[kind](desks, wanted, file)
    except BaseException:  # half of them would be taken for all
        output.unlink()
        raise
    click.echo(f"{rows} messages in {output}", err=True)


def _desks(ctx: click.Context, names: tuple[str, ...], topic: str | None = None) -> list[Desk]:
    """Return the quarantines of the entities that are meant."""
    from lakehouse import entities
    from lakehouse.config import load
    from lakehouse.reading.quarantine import desk

    config = load(ctx.obj["conf"], ctx.obj["env"])
    chosen = entities.load_all(ctx.obj["conf"], names)
    return [desk(config.lake, one.name) for one in chosen if topic in (None, one.topic)]


def _counts(one: Stats) -> dict[str, Any]:
    return {
        "total": one.total,
        "statuses": one.statuses,
        "reasons": one.reasons,
        "rules": one.rules,
        "days": one.days,
    }


def _counted(one: Stats) -> list[str]:
    from lakehouse.log import escaped

    statuses = ", ".join(f"{n} {status}" for status, n in one.statuses.items())
    lines = [f"{one.entity}: {one.total} refused{f': {statuses}' if statuses else ''}"]
    for head, key, rows in (("reason", "code", one.reasons), ("rule", "rule", one.rules)):
        lines += [
            f"  {head:<7} {row['messages']:>8}  {row['unsettled']:>8} unsettled  {row[key]}"
            for row in rows
        ]
    lines += [f"  {row['day']} {row['messages']:>5}" for row in one.days[-DAYS:]]
    return [escaped(line) for line in lines]
