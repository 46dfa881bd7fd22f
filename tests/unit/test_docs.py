"""The reference is what the code says, and the code says something of each."""

from __future__ import annotations

import inspect

import click
import pytest

from docs import generate
from lakehouse.audit import kinds
from lakehouse.cli import COMMANDS

CONTEXTS = list(generate.commands())
OPTIONS = [
    pytest.param(option, id=f"{ctx.command_path} {option.opts[-1]}")
    for ctx in CONTEXTS
    for option in ctx.command.params
    if isinstance(option, click.Option)
]


def path(ctx: click.Context) -> str:
    return ctx.command_path


def test_the_reference_is_what_the_code_says() -> None:
    assert generate.PAGE.read_text(encoding="utf-8") == generate.page(), (
        "run `python docs/generate.py`"
    )


def test_the_table_of_expectations_is_what_the_code_says_and_names_each_type_once() -> None:
    text = generate.EXPECTATIONS.read_text(encoding="utf-8")
    assert text == generate.expectations(text), "run `python docs/generate.py`"

    for kind in (*kinds.ROW, *kinds.TABLE, kinds.SQL, *kinds.REFUSED):
        assert text.count(f"\n| `{kind}` | ") == 1, kind
    for reason in kinds.REFUSED.values():
        assert f"| refused: {reason} |" in text


@pytest.mark.parametrize("ctx", CONTEXTS, ids=path)
def test_each_command_has_help_and_a_section(ctx: click.Context) -> None:
    help_text = inspect.cleandoc(ctx.command.help or "")

    assert help_text
    assert help_text.split("\n\n")[0].endswith(".")
    assert f"\n## `{ctx.command_path}`\n\n{help_text}" in generate.page()


@pytest.mark.parametrize("option", OPTIONS)
def test_each_option_has_help(option: click.Option) -> None:
    assert option.help
    assert option.help.rstrip("]").endswith((".", "LAKEHOUSE_ENV"))


def test_each_command_of_the_table_is_a_command() -> None:
    found = {ctx.info_name for ctx in CONTEXTS if ctx.parent is CONTEXTS[0]}

    assert found == set(COMMANDS)


def test_help_is_the_same_on_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = generate.page()
    monkeypatch.setenv("COLUMNS", "40")

    assert generate.page() == before
