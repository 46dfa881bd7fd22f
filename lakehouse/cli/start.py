"""`lakehouse start`."""

from __future__ import annotations

import click


@click.command()
@click.argument("what", type=click.Choice(["bronze", "silver", "all"]), metavar="bronze|silver|all")
@click.option(
    "--entity", "names", multiple=True, metavar="NAME", help="Only this entity; repeatable."
)
@click.option("--once", is_flag=True, help="Take all that is there, then end. `all`: bronze first.")
@click.option("--trigger", metavar="TIME", help="Time between micro-batches, such as 10s.")
@click.pass_context
def start(
    ctx: click.Context, what: str, names: tuple[str, ...], *, once: bool, trigger: str | None
) -> None:
    """Start the bronze streams, the silver streams, or all of them, in the foreground.

    Ctrl-C, SIGTERM or `lakehouse stop` ends them after the batch in hand; a second signal ends
    them now. Either way nothing is lost and nothing is there twice.

    Example: `lakehouse start all --entity matches --trigger 10s`
    """
    from lakehouse import config as settings
    from lakehouse import destinations, entities, kafka, log
    from lakehouse.signals import Asked

    asked = Asked()
    asked.listen()
    config = settings.load(ctx.obj["conf"], ctx.obj["env"])
    if trigger is not None:
        config = settings.with_trigger(config, trigger)
    log.set_up(level="debug" if ctx.obj["debug"] else config.log.level, style=config.log.format)
    chosen = entities.load_all(ctx.obj["conf"], names)
    kafka.client_options(config.kafka)  # refused now, not once Spark has started
    destinations.read(config.alarms)

    from lakehouse import pipeline
    from lakehouse.run import Run

    layers = pipeline.LAYERS if what == "all" else (what,)
    pipeline.run(Run(config, once=once), chosen, layers, asked)
