"""`lakehouse resume`."""

from __future__ import annotations

import click

from lakehouse.cli.output import json_option, show


@click.command()
@click.argument("stream", metavar="STREAM")
@click.option("--why", required=True, metavar="REASON", help="Why; it is kept in the commit.")
@click.option(
    "--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait."
)
@json_option
@click.pass_context
def resume(ctx: click.Context, stream: str, why: str, timeout: float, *, as_json: bool) -> None:
    """Let STREAM, such as silver.matches, go on whose circuit breaker has tripped.

    The batch that tripped it passes, and its commit says who let it pass and why; the share is
    counted anew from there. A running stream goes on at once, another one at its next start.

    Example: `lakehouse resume silver.matches --why "the producer is mended"`

    JSON: `{stream, tripped}`, where `tripped` is what the breaker said of the batch, or null.
    """
    import getpass

    from lakehouse import entities, log, owner
    from lakehouse.config import load
    from lakehouse.run import Run

    config = load(ctx.obj["conf"], ctx.obj["env"])
    log.set_up(level=config.log.level, style=config.log.format)
    layer, _, name = stream.partition(".")
    if layer != "silver" or not name:
        raise click.BadParameter(f"'{stream}' is not a silver stream, such as silver.matches")
    entities.load_all(ctx.obj["conf"], [name])

    from silver import breaker

    said = {"by": getpass.getuser(), "why": why}
    if owner.holder(config.state_dir, stream) is not None:
        answer = owner.asked(config.state_dir, stream, "resume", seconds=timeout, **said)
    else:
        run = Run(config)
        with owner.owning(config.state_dir, stream), run.alarms:
            answer = breaker.resumed(stream, run, **said)
    tripped = answer["tripped"]
    text = f"{stream}: goes on with batch {tripped['batch_id']}" if tripped else None
    show(
        {"stream": stream, "tripped": tripped},
        text or f"{stream}: its breaker has not tripped",
        as_json=as_json,
    )
