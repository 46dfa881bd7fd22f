"""Rows as people and programs read them: a table of text, JSON, CSV or Parquet."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import shutil
import sys
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lakehouse.errors import ConfigError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

F = TypeVar("F", bound="Callable[..., Any]")

FORMATS = ("table", "json", "csv", "parquet")
# Rows that are turned into Python's values at a time, to write them to a file.
CHUNK = 10_000


def rows_options(command: F) -> F:
    """Give *command* `--format`, `--output` and `--json`, as every command has that gives rows."""
    for option in (
        click.option(
            "--json", "as_json", is_flag=True, help="Print JSON: short for --format json."
        ),
        click.option(
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write to this file instead; the rows in it are exactly those of the table.",
        ),
        click.option(
            "--format",
            "form",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="What the rows are written as; parquet needs --output.",
        ),
    ):
        command = option(command)
    return command


def chosen(form: str, output: Path | None, *, as_json: bool) -> str:
    """Return the format that is meant; a usage error where it cannot go where it should."""
    form = "json" if as_json else form
    if form == "parquet" and output is None:
        raise click.UsageError("Parquet is not for a terminal: name a file with --output")
    return form


class NoPandas:
    """Finds that pandas is not installed."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        """Refuse pandas, and leave each other module to the next finder."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def spare_pandas() -> None:
    """Have pyarrow do without pandas, which it looks for as it is loaded: a quarter of the answer.

    For commands, whose process ends with them; where pandas is loaded already nothing happens.
    """
    if "pandas" in sys.modules:
        return
    finder = NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        import_module("pyarrow.dataset")
    finally:
        sys.meta_path.remove(finder)


def put(rows: pa.Table, form: str, output: Path | None, facts: dict[str, Any]) -> None:
    """Print *rows*, or have the file *output* hold them, whole or not at all.

    As JSON they stand in *facts*, under `columns` and `rows`. On standard output control
    characters are written out, so that no value can drive a terminal.
    """
    if output is None:
        click.echo(_shown(rows, form, facts), nl=form != "csv")
        return
    with _replaced(output) as scratch:
        if form == "parquet":
            _write_parquet(rows, scratch)
        else:
            with scratch.open("w", encoding="utf-8", newline="") as file:
                _write(rows, form, file, facts)


def _write_parquet(rows: pa.Table, file: Path) -> None:
    from pyarrow import ArrowException, parquet

    try:
        parquet.write_table(rows, file)
    except ArrowException as error:
        reason = f"Parquet cannot hold it ({first_line(error)}): cast it to VARCHAR"
        raise ConfigError("BAD_QUERY", reason=reason) from error


def write(shown: str, output: Path | None) -> None:
    """Print a text, or have the file *output* hold it."""
    if output is None:
        click.echo(shown)
        return
    with _replaced(output) as scratch:
        scratch.write_text(shown + "\n", encoding="utf-8")


@contextmanager
def _replaced(output: Path) -> Iterator[Path]:
    """Yield a file beside *output* that takes its place at the end of the block."""
    scratch = output.with_name(f".{output.name}.part")
    try:
        yield scratch
        scratch.replace(output)
    except OSError as error:
        raise click.BadParameter(str(error), param_hint="--output") from error
    finally:
        scratch.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """Return *value* as JSON has it.

    Times are ISO 8601, those with a zone in UTC; bytes are Base64; decimals with a fraction, and
    numbers that JSON has not, are text.
    """
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, (date, time)):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Decimal):
        whole = value.is_finite() and value.as_tuple().exponent == 0
        return int(value) if whole else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def text(value: Any) -> str:
    """Return *value* as one line for a person, with its control characters written out."""
    from lakehouse.log import escaped

    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (bytes, bytearray)):
        return escaped(value.decode("utf-8", "backslashreplace"))
    found = plain(value)
    return escaped(found if isinstance(found, str) else json.dumps(found, ensure_ascii=False))


def records(rows: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield each of *rows* in Python's values.

    Raises:
        ConfigError: BAD_QUERY where a value is none of Python's, such as a date of year 20000.
    """
    for batch in rows.to_batches(max_chunksize=CHUNK):
        columns = [_values(batch.column(n), name) for n, name in enumerate(rows.column_names)]
        for row in zip(*columns, strict=True):
            yield dict(zip(rows.column_names, row, strict=True))


def table(names: Sequence[str], lines: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Return *lines* of cells as an aligned table; row by row where it is wider than *width*."""
    from rich.cells import cell_len, set_cell_size

    wide = [max(map(cell_len, column)) for column in zip(names, *lines, strict=True)]
    if width is not None and sum(wide) + 2 * (len(wide) - 1) > width:
        longest = max(map(cell_len, names))
        return "\n".join(
            "\n".join(
                [f"-- {number} --"]
                + [f"{set_cell_size(n, longest)}  {c}" for n, c in zip(names, cells, strict=True)]
            )
            for number, cells in enumerate(lines, 1)
        )
    ruled = [names, ["-" * n for n in wide], *lines]
    return "\n".join(
        "  ".join(set_cell_size(c, n) for c, n in zip(cells, wide, strict=True)).rstrip()
        for cells in ruled
    )


def _shown(rows: pa.Table, form: str, facts: dict[str, Any]) -> str:
    if form == "table":
        lines = [[text(value) for value in row.values()] for row in records(rows)]
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        return table([text(name) for name in rows.column_names], lines, width=width)
    buffer = io.StringIO(newline="")
    _write(rows, form, buffer, facts, shown=True)
    return buffer.getvalue()


def _write(
    rows: pa.Table, form: str, file: Any, facts: dict[str, Any], *, shown: bool = False
) -> None:
    from lakehouse.log import escaped

    if form == "json":
        columns = [{"name": field.name, "type": str(field.type)} for field in rows.schema]
        found = [plain(row) for row in records(rows)]
        # In ASCII, as `lakehouse.cli.output.show` has it: no control character is left.
        file.write(json.dumps({**facts, "columns": columns, "rows": found}))
        return
    if form == "table":
        file.write(_shown(rows, form, facts) + "\n")
        return
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([escaped(name) for name in rows.column_names] if shown else rows.column_names)
    for row in records(rows):
        cells = map(_cell, row.values())
        writer.writerow([escaped(one) for one in cells] if shown else cells)


def _cell(value: Any) -> str:
    """Return *value* as CSV has it: nothing for NULL, JSON for what has parts."""
    if value is None:
        return ""
    found = plain(value)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _values(column: Any, name: str) -> list[Any]:
    try:
        return list(column.to_pylist(maps_as_pydicts="lossy"))
    except (ValueError, OverflowError) as error:
        reason = f"column {name} holds what Python cannot hold ({error}): cast it to VARCHAR"
        raise ConfigError("BAD_QUERY", reason=reason) from error
