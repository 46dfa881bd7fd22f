"""Options that several commands have, so that they are named and explained alike everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from lakehouse.reading.tables import Catalog
    from lakehouse.reading.versions import AsOf

F = TypeVar("F", bound="Callable[..., Any]")


def version_options(command: F) -> F:
    """Give *command* `--version` and `--at`; `as_of` reads them."""
    command = click.option(
        "--at",
        metavar="TIME",
        help="As it was at this time, UTC unless it says otherwise: 2026-01-31, 2026-01-31 10:00.",
    )(command)
    return click.option("--version", type=click.IntRange(0), help="This version.")(command)


def as_of(version: int | None, at: str | None) -> AsOf:
    """Return what `--version` or `--at` means; both are a usage error."""
    from lakehouse.reading import versions

    if at is not None and version is not None:
        raise click.UsageError("name a --version or a time, not both")
    return version if at is None else versions.at(at)


def catalog(ctx: click.Context) -> Catalog:
    """Return the tables of the lake that the command line names."""
    from lakehouse.config import load
    from lakehouse.reading import tables

    return tables.catalog(load(ctx.obj["conf"], ctx.obj["env"]))
