"""`lakehouse demo`."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.output import json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lakehouse.demo.story import Ending, Progress
    from lakehouse.proof.account import Account

ROOT = "LAKEHOUSE__LAKE__ROOT"
EVERY_SECONDS = 2.0


@click.command()
@click.option(
    "--messages",
    default=20_000,
    show_default=True,
    type=click.IntRange(1),
    help="How many to send.",
)
@click.option(
    "--bad-rate",
    default=0.05,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of bad ones.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed sends the same messages.")
@click.option("--keep", is_flag=True, help="Keep the lake, to look at it.")
@json_option
@click.pass_context
def demo(
    ctx: click.Context, messages: int, bad_rate: float, seed: int, *, keep: bool, as_json: bool
) -> None:
    """Run the whole pipeline on a broker of its own, and prove where every message went.

    Sends matches and players through Kafka, good and bad, runs bronze and silver until they are
    caught up, and checks the sums; exits with 5 if they do not add up. The lake is a folder of its
    own, removed at the end unless --keep; or LAKEHOUSE__LAKE__ROOT, which must be empty or absent
    and is never deleted.

    Example: `lakehouse demo --messages 2000 --keep`

    JSON: `{root, entities: {ENTITY: {produced, bronze, FATE: messages, without_sequence, missing,
    unknown, balances, reasons: [{reason, rows, ...}], versions: [{version, at, operation, inserted,
    updated}]}}}`.
    """
    from lakehouse import entities, log
    from lakehouse.config import load
    from lakehouse.demo import story
    from lakehouse.proof.account import demand

    log.set_up(level="debug" if ctx.obj["debug"] else "error", style="text")
    named = os.environ.get(ROOT)
    with story.lake_root(named, keep=keep) as root:
        config = load(ctx.obj["conf"], ctx.obj["env"])
        config = config.model_copy(update={"lake": config.lake.model_copy(update={"root": root})})
        chosen = entities.load_all(ctx.obj["conf"], ["matches", "players"])
        dials = story.Dials(messages, bad_rate, seed)
        with _shown(messages) as show:
            ending = story.play(config, chosen, dials, show)
        if ending is None:
            click.echo("stopped before the end; nothing is left running", err=True)
            return
        kept = keep or named is not None or not all(one.balances for one in ending.accounts)
        click.echo(json.dumps(_facts(ending), default=str) if as_json else _text(ending, kept=kept))
        demand(ending.accounts)


@contextmanager
def _shown(total: int) -> Iterator[Callable[[Progress, dict[str, int]], None]]:
    """Lend a function that shows the progress: bars on a terminal, lines elsewhere."""
    if sys.stderr.isatty():
        with _bars(total) as show:
            yield show
        return
    began = last = time.monotonic()

    def line(progress: Progress, rows: dict[str, int]) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_SECONDS:
            last = time.monotonic()
            said = [f"{layer} {_rows(rows, layer)}" for layer in ("bronze", "silver")]
            parts = ", ".join([f"produced {progress.count()} of {total}", *said])
            click.echo(f"{last - began:4.0f} s: {parts}", err=True)

    yield line


@contextmanager
def _bars(total: int) -> Iterator[Callable[[Progress, dict[str, int]], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks = {
            name: bars.add_task(name, total=total) for name in ("produced", "bronze", "silver")
        }

        def show(progress: Progress, rows: dict[str, int]) -> None:
            bars.update(tasks["produced"], completed=progress.count())
            for layer in ("bronze", "silver"):
                bars.update(tasks[layer], completed=_rows(rows, layer))

        yield show


def _rows(rows: dict[str, int], layer: str) -> int:
    return sum(n for name, n in rows.items() if name.startswith(f"{layer}."))


def _facts(ending: Ending) -> dict[str, Any]:
    return {
        "root": ending.root,
        "entities": {
            one.entity: {
                "produced": one.produced,
                "bronze": one.proof.bronze,
                **{str(fate): n for fate, n in one.proof.counts.items()},
                "without_sequence": one.proof.without_sequence,
                "missing": one.missing,
                "unknown": one.unknown,
                "balances": one.balances,
                "reasons": ending.reasons[one.entity],
                "versions": ending.versions[one.entity],
            }
            for one in ending.accounts
        },
    }


def _text(ending: Ending, *, kept: bool) -> str:
    lines: list[str] = []
    for one in ending.accounts:
        lines += ["", one.entity, "  " + _sum(one), "", "  refused, by reason:"]
        for r in ending.reasons[one.entity]:
            lines.append(f"    {r['rows']:>6}  {r['reason']:<16} {_example(r)}")
        lines += ["", "  newest silver versions:"]
        for v in ending.versions[one.entity]:
            rows = f"{v['inserted'] or 0} inserted, {v['updated'] or 0} updated"
            lines.append(f"    version {v['version']:>3}  {v['at']}  {v['operation']:<12} {rows}")
    lines += ["", *_next(ending, kept=kept)]
    return "\n".join(lines)


def _sum(one: Account) -> str:
    counts = one.proof.counts
    terms = [
        f"{counts[fate]} {fate}"
        for fate in counts
        if counts[fate] or fate in ("current", "superseded", "quarantined")
    ]
    sign = "=" if one.balances else "≠"
    bare = (
        f" ({one.proof.without_sequence} of the superseded without a sequence)"
        if one.proof.without_sequence
        else ""
    )
    fates = " + ".join(terms)
    return f"{one.produced} produced {sign} {one.proof.bronze} in bronze {sign} {fates}{bare}"


def _example(reason: dict[str, Any]) -> str:
    from lakehouse.log import escaped

    if reason["column"]:
        got = f", got {reason['got']}" if reason["got"] else ""
        said = f"{reason['column']}: expected {reason['expected']}{got}"
    else:
        said = "no value" if reason["value"] is None else repr(reason["value"])
    said = escaped(said)
    return f"{reason['position']}  {said[:60]}{'...' if len(said) > 60 else ''}"


def _next(ending: Ending, *, kept: bool) -> list[str]:
    if not kept:
        return [
            "Run it again with --keep to look at the lake, or with another --seed or --bad-rate."
        ]
    return [
        f"The lake is {ending.root}. What to try next:",
        "  open notebooks/tour.ipynb # a tour with plots, with this in its environment:",
        f"                            LAKEHOUSE_DEMO={ending.root}",
        "  lakehouse check           # your own entities: a folder each under conf/entities",
        "  lakehouse broker start    # a broker to develop against",
        "  lakehouse start all       # the streams, on the broker and lake of conf/lakehouse.toml",
    ]
