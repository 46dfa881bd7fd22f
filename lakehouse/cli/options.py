"""Options that several commands have, so that they are named and explained alike everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lakehouse.reading.tables import Catalog, Table
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


def timeout_option(command: F) -> F:
    """Give *command* `--timeout`: how long it waits for the owner of a running stream."""
    return click.option(
        "--timeout",
        type=click.FloatRange(0),
        default=600.0,
        show_default=True,
        help="Seconds to wait for the owner of a running stream.",
    )(command)


def chosen_tables(ctx: click.Context, names: Sequence[str]) -> list[Table]:
    """Return the tables of those *names*, or all that there are."""
    known = catalog(ctx)
    return [known.table(name) for name in names] if names else known.existing()


def by_owner(tables: Sequence[Table]) -> dict[str, list[str]]:
    """Return the names of *tables* by the stream whose owner writes them."""
    found: dict[str, list[str]] = {}
    for one in tables:
        found.setdefault(one.stream, []).append(one.name)
    return found
