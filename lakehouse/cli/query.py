"""`lakehouse query`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from lakehouse.cli import rows
from lakehouse.cli.options import as_of, catalog, version_options

if TYPE_CHECKING:
    from pathlib import Path

# What still fits a terminal's memory, and a person's patience.
ROWS = 1_000
SECONDS = 30.0


@click.command()
@click.argument("sql")
@version_options
@click.option(
    "--limit",
    type=click.IntRange(0),
    help=f"At most so many rows; 0 for all. Without it {ROWS}, or with --output all.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    default=SECONDS,
    show_default=True,
    help="Stop the query after so many seconds; 0 for never.",
)
@rows.rows_options
@click.pass_context
def query(
    ctx: click.Context,
    *,
    sql: str,
    version: int | None,
    at: str | None,
    limit: int | None,
    timeout: float,
    form: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Answer SQL, one SELECT in DuckDB's dialect, over the tables of the lake. Needs no Spark.

    SQL is read from standard input where it is -. Tables are named as silver.matches,
    quarantine.players or audit.silver.matches. A version or a time inside the name is for that
    table alone, and takes quotes: "silver.matches@v3" or "silver.matches@2026-01-31 10:00".
    Nothing else can be read, no file and no address, and nothing can be written. JSON operators
    and time zones are there; times are UTC.

    Example: `lakehouse query "SELECT status, count(*) FROM silver.matches GROUP BY ALL"`

    JSON: `{versions: {TABLE: N}, row_count, complete, columns: [{name, type}], rows: [{COLUMN:
    VALUE}]}`. Times are ISO 8601; bytes are Base64; decimals with a fraction are text. CSV on
    standard output has control characters written out; in a file it has them as they are.
    """
    from lakehouse.reading.query import query as answered

    rows.spare_pandas()
    form = rows.chosen(form, output, as_json=as_json)
    most = limit if limit is not None else 0 if output else ROWS
    found = answered(
        catalog(ctx),
        sys.stdin.read() if sql == "-" else sql,
        as_of=as_of(version, at),
        limit=most or None,
        seconds=timeout or None,
    )
    count = found.rows.num_rows
    facts = {"versions": found.versions, "row_count": count, "complete": found.whole}
    rows.put(found.rows, form, output, facts)
    if not found.whole:
        click.echo(f"only the first {count} rows; --limit 0 gives all", err=True)
    elif form == "table" or output:
        read = ", ".join(f"{name} version {n}" for name, n in found.versions.items())
        click.echo(f"{count} rows" + (f" of {rows.text(read)}" if read else ""), err=True)
