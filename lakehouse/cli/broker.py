"""`lakehouse broker start|stop|status`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.broker import Broker

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".lakehouse/broker"),
    show_default=True,
    help="The folder of the broker: its records, its log, its state.",
)


@click.group()
def broker() -> None:
    """Run a Kafka broker on this machine, for development and tests.

    It is Apache Kafka, one node, and listens on 127.0.0.1 only.
    """


def _pairs(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    for pair in given:
        if not pair.partition("=")[0].strip() or "=" not in pair:
            raise click.BadParameter(f"'{pair}' is not KEY=VALUE", ctx=ctx, param=option)
    return {key.strip(): value for key, _, value in (pair.partition("=") for pair in given)}


@broker.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9092,
    show_default=True,
    help="The port on 127.0.0.1; 0 takes any free one.",
)
@data_option
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_pairs,
    help="A broker setting, by Kafka's own name; may be given again.",
)
@json_option
@click.pass_context
def start(
    ctx: click.Context, port: int, data: Path, settings: dict[str, str], *, as_json: bool
) -> None:
    """Start the broker in the background, and return once it answers.

    Example: `lakehouse broker start --port 0 --set message.max.bytes=20000000`

    JSON: `{running, bootstrap, pid, port, data}`.
    """
    from lakehouse.broker import start as bring_up
    from lakehouse.config import load

    jars_folder = load(ctx.obj["conf"], ctx.obj["env"]).jars.dir
    started = bring_up(data, jars_folder, port=port, settings=settings)
    _show(started, data, as_json=as_json)


@broker.command()
@data_option
@json_option
def stop(data: Path, *, as_json: bool) -> None:
    """Stop the broker and keep its records; without one, nothing happens.

    Example: `lakehouse broker stop`

    JSON: `{stopped, pid, data}`.
    """
    from lakehouse.broker import stop as shut_down

    stopped = shut_down(data)
    text = f"stopped pid {stopped.pid}" if stopped else f"no broker runs on {data}"
    pid = stopped.pid if stopped else None
    show(
        {"stopped": stopped is not None, "pid": pid, "data": data.resolve()}, text, as_json=as_json
    )


@broker.command()
@data_option
@json_option
@click.pass_context
def status(ctx: click.Context, data: Path, *, as_json: bool) -> None:
    """Tell where the broker answers; the exit code is 1 when none runs.

    Example: `lakehouse broker status --json`

    JSON: `{running, bootstrap, pid, port, data}`; all but `running` and `data` are null when none
    runs.
    """
    from lakehouse.broker import status as look

    found = look(data)
    _show(found, data, as_json=as_json)
    ctx.exit(0 if found else 1)


def _show(found: Broker | None, data: Path, *, as_json: bool) -> None:
    facts = {
        "running": found is not None,
        "bootstrap": found.bootstrap if found else None,
        "pid": found.pid if found else None,
        "port": found.port if found else None,
        "data": data.resolve(),
    }
    running = f"the broker answers at {found.bootstrap} (pid {found.pid})" if found else ""
    show(facts, running or f"no broker runs on {data}", as_json=as_json)
