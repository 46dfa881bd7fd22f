"""Write from the code what the pages say of it, so that they cannot differ; a test compares.

docs/cli.md: the commands as click knows them, the errors as their tree does. The table in
docs/expectations.md: what becomes of each type. Run it as `python docs/generate.py` after a change
to any of them.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

import click

from lakehouse.audit import kinds
from lakehouse.cli import lakehouse
from lakehouse.errors import LakehouseError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).with_name("cli.md")
EXPECTATIONS = Path(__file__).with_name("expectations.md")
BEGIN = "<!-- Written by docs/generate.py from lakehouse/audit/kinds.py: change that. -->\n"
END = "<!-- End of what docs/generate.py writes. -->\n"

TOP = """\
# Command line

<!-- Written by docs/generate.py from the code: change the code, then run it again. -->

Facts go to standard output, as text or with `--json` as one JSON object; everything else goes to
standard error. Every command has `-h` and `--help`.
"""

# The codes with several meanings.
ONE = (
    "An error that nobody foresaw; its trace is shown. `lakehouse broker status`: none runs. "
    "`lakehouse audit verify`: there are differences. `lakehouse doctor`: something warns."
)
TWO = "`lakehouse doctor`: something fails."
CODES = f"""\
## Exit codes

| code | what it means |
|---|---|
| 0 | All went well. |
| 1 | {ONE} |
"""

ERRORS = """\
## Errors

An error prints three lines: what happened with its code, why, and what to do. Codes stay the same
when their wording improves. Words in capitals stand for values.

| exit | code | what happened | what to do |
|---|---|---|---|
"""

TYPES = """\
| type | what it judges |
|---|---|
"""


def page() -> str:
    """Return docs/cli.md as the code of today has it."""
    return "\n".join([TOP, *map(_section, commands()), _exit_codes(), _errors()])


def expectations(text: str) -> str:
    """Return docs/expectations.md, which is *text* now, with the types as the code has them."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{types()}\n{END}{after}"


def types() -> str:
    """Return the table of all types of expectations."""
    found = dict.fromkeys(kinds.ROW, "each row") | dict.fromkeys(kinds.TABLE, "the table")
    found |= dict.fromkeys(kinds.UNCONDITIONAL, "each row, without a `row_condition`")
    found[kinds.SQL] = "each row, or the table: see [SQL rules](#sql-rules)"
    found |= {kind: f"refused: {reason}" for kind, reason in kinds.REFUSED.items()}
    rows = [f"| `{kind}` | {_cell(found[kind])} |\n" for kind in sorted(found)]
    return TYPES + "".join(rows)


def commands(
    command: click.Command = lakehouse, name: str = "lakehouse", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Yield *command* and all under it, each in a context that knows its path."""
    ctx = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield ctx
    if isinstance(command, click.Group):
        for below in command.list_commands(ctx):
            found = command.get_command(ctx, below)
            if found is not None:
                yield from commands(found, below, ctx)


def _section(ctx: click.Context) -> str:
    usage = " ".join([ctx.command_path, *ctx.command.collect_usage_pieces(ctx)])
    records = (p.get_help_record(ctx) for p in ctx.command.params if isinstance(p, click.Option))
    rows = [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in filter(None, records)]
    options = ["", "| option | what it does |", "|---|---|", *rows] if rows else []
    text = inspect.cleandoc(ctx.command.help or "")
    lines = [f"## `{ctx.command_path}`", "", text, "", "```", usage, "```", *options, ""]
    return "\n".join(lines)


def _exit_codes() -> str:
    kinds = LakehouseError.__subclasses__()
    told = {kind.exit_code: inspect.getdoc(kind) or "" for kind in kinds}
    told[2] += f" {TWO}"
    rows = [f"| {code} | {_cell(text)} |\n" for code, text in told.items()]
    return CODES + "".join(rows)


def _errors() -> str:
    rows = [
        f"| {kind.exit_code} | `{code}` | {_words(message.what)} | {_words(message.cure)} |\n"
        for kind in LakehouseError.__subclasses__()
        for code, message in kind.catalogue.items()
    ]
    return ERRORS + "".join(rows)


def _words(line: str) -> str:
    """Return *line* of a catalogue with the names of its values in capitals."""
    parts = [(text, name or "") for text, name, _, _ in Formatter().parse(line)]
    if not any(text for text, _ in parts):
        return "what the message says"
    return _cell("".join(text + name.upper() for text, name in parts))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    text = EXPECTATIONS.read_text(encoding="utf-8")
    EXPECTATIONS.write_text(expectations(text), encoding="utf-8")
