"""`lakehouse stop`."""

from __future__ import annotations

import click

from lakehouse.cli.output import json_option, show


@click.command()
@click.argument("stream", required=False)
@click.option(
    "--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait."
)
@json_option
@click.pass_context
def stop(ctx: click.Context, stream: str | None, timeout: float, *, as_json: bool) -> None:
    """Stop STREAM, such as silver.matches, after the batch in hand; all streams when none is named.

    Waits until it has stopped, and until its process has ended unless that runs other streams. A
    stream that is not running is no error.

    Example: `lakehouse stop silver.matches`

    JSON: `{stopped: [STREAM], not_running: [STREAM]}`.
    """
    from lakehouse import entities, owner
    from lakehouse.config import load

    config = load(ctx.obj["conf"], ctx.obj["env"])
    folder = config.state_dir
    known = sorted(path.parent.name for path in folder.glob("*/lock"))
    if stream is not None and stream not in known:
        layer, _, name = stream.partition(".")
        if layer not in ("bronze", "silver") or not name:
            raise click.BadParameter(f"'{stream}' is not a stream, such as silver.matches")
        entities.load_all(ctx.obj["conf"], [name])
    wanted = known if stream is None else [stream]
    stopped = owner.stop_all(folder, wanted, seconds=timeout)
    idle = [name for name in wanted if name not in stopped]
    lines = [f"{name}: stopped" for name in stopped] + [f"{name}: not running" for name in idle]
    show(
        {"stopped": stopped, "not_running": idle},
        "\n".join(lines or ["no stream is running"]),
        as_json=as_json,
    )
