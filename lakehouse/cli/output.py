"""Facts go to stdout, as text for people or JSON for programs; words go to stderr."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")


def json_option(command: F) -> F:
    """Give *command* the `--json` flag that every command which prints facts has."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def show(facts: Mapping[str, object], text: str, *, as_json: bool) -> None:
    """Print *facts* as one JSON object, or *text* for a person."""
    click.echo(json.dumps(facts, default=str) if as_json else text)
