"""The command line. Every command is loaded only when it is called, so `--help` stays instant."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

import click

from lakehouse import __version__
from lakehouse.errors import LakehouseError

COMMANDS = {
    "init": "Make a new project: settings, sample entities, notebooks; overwrites nothing.",
    "start": "Start the bronze and silver streams.",
    "status": "Show how the streams are doing, and what is in quarantine.",
    "query": "Answer SQL over the tables, now or as they were.",
    "history": "Show the versions of a table, and until when each can be read.",
    "diff": "Show which rows differ between two versions of a table.",
    "schema": "Show the columns of a table.",
    "trace": "Show where a message went: to silver, to quarantine, or to a newer row.",
    "quarantine": "Look at the messages that were refused, and decide about them.",
    "rebuild": "Derive silver and quarantine afresh from bronze, by the rules of today.",
    "audit": "Show what each commit said, and prove that the tables hold it.",
    "validate": "Check a version of a silver table against its suite of expectations.",
    "resume": "Let a silver stream go on whose circuit breaker has tripped.",
    "optimize": "Put the small files of tables together.",
    "vacuum": "Delete the files that no readable version needs.",
    "stop": "Stop running streams after the batch in hand.",
    "check": "Validate the whole configuration; needs no Kafka and writes nothing.",
    "doctor": "Look for what is wrong with this machine, Kafka and the lake, and how to mend it.",
    "demo": "Run the whole pipeline on a broker of its own and prove the sums.",
    "broker": "Run a Kafka broker on this machine, for development and tests.",
    "jars": "Fetch and verify the jars that Spark and the broker need.",
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of the same name, imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order a new user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None when there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"lakehouse.cli.{cmd_name}"), cmd_name)
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, and name the nearest command when there is none."""
        near = difflib.get_close_matches(args[0], COMMANDS, n=1)
        if args[0] not in COMMANDS and near:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, so that help imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lakehouse")
@click.option(
    "--conf",
    type=click.Path(path_type=Path),
    default=Path("conf"),
    show_default=True,
    help="The folder with lakehouse.toml and entities/.",
)
@click.option(
    "--env",
    envvar="LAKEHOUSE_ENV",
    metavar="NAME",
    help="Apply conf/env/NAME.toml over the defaults.  [env var: LAKEHOUSE_ENV]",
)
@click.option("--debug", is_flag=True, help="Show the trace of an error, and debug log lines.")
@click.pass_context
def lakehouse(ctx: click.Context, conf: Path, env: str | None, *, debug: bool) -> None:
    """Kafka to bronze, silver and quarantine in Delta Lake; every message has exactly one fate."""
    ctx.obj = {"conf": conf, "env": env, "debug": debug}


def main() -> None:
    """Run the command line and exit with the code of docs/cli.md."""
    try:
        lakehouse(prog_name="lakehouse")
    except LakehouseError as error:
        if "--debug" in sys.argv or os.environ.get("LAKEHOUSE_DEBUG"):
            traceback.print_exc()
        from lakehouse.log import escaped

        what, why, cure = map(escaped, error.message)
        click.echo(f"Error: {what} [{error.code}]\n  why: {why}\n  do:  {cure}", err=True)
        sys.exit(error.exit_code)
