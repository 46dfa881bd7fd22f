"""`lakehouse doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.doctor.finding import Finding


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Look for what is wrong with this machine, Kafka and the lake, and say what to do about it.

    Java, Python, the versions of packages and jars, the configuration, brokers and topics, the
    root, disk, clock, locks, checkpoints and the properties of tables. It needs no Spark, changes
    nothing, and may run beside streams. Each line is ok, warn or fail; it ends with 0 when all are
    ok, with 1 when some warn, with 2 when one fails.

    Example: `lakehouse --env prod doctor`

    JSON: `{verdict, findings: [{check, about, verdict, found, cure}]}`, all of them
    texts; the first `verdict` is the worst, and `cure` is empty where all is well.
    """
    from lakehouse.doctor.examination import examine
    from lakehouse.doctor.finding import Verdict, worst

    found = list(examine(ctx.obj["conf"], ctx.obj["env"]))
    verdict = worst(found)
    facts = {
        "verdict": verdict,
        "findings": [
            {
                "check": one.check,
                "about": one.about,
                "verdict": one.verdict,
                "found": one.found,
                "cure": one.cure,
            }
            for one in found
        ],
    }
    show(facts, "\n".join([*map(_line, found), _sum(found)]), as_json=as_json)
    ctx.exit(list(Verdict).index(verdict))


def _line(one: Finding) -> str:
    from lakehouse.log import escaped

    about = f"{one.about}: " if one.about else ""
    line = escaped(f"{one.verdict:<4}  {one.check:<13}  {about}{one.found}")
    return f"{line}\n{'do:':>17}    {escaped(one.cure)}" if one.cure else line


def _sum(found: list[Finding]) -> str:
    from lakehouse.doctor.finding import Verdict

    counts = [(sum(one.verdict is verdict for one in found), verdict) for verdict in Verdict]
    return ", ".join(f"{count} {verdict}" for count, verdict in counts if count)
