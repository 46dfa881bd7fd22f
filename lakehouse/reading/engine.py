"""A DuckDB that reads what it is given and nothing else: no file, no network, no setting.

It lives in memory and is closed with the block, so whatever a statement would write is gone.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError, MachineError
from lakehouse.reading import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb
    from deltalake import DeltaTable
    from pyarrow.dataset import Dataset

    from lakehouse.reading.tables import Table
    from lakehouse.reading.vectors import Marked

# Without external access no variable of the calling Python code is taken for a table either.
# JSON and time zones are built into DuckDB's wheel; nothing is ever looked for elsewhere.
CLOSED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "temp_directory": "",
}


def connect() -> duckdb.DuckDBPyConnection:
    """Return a new engine, its time zone UTC. `lock` it once it has what it may read."""
    import duckdb

    engine = duckdb.connect(":memory:", config=dict(CLOSED))
    engine.execute("SET TimeZone = 'UTC'")
    return engine


def lock(engine: duckdb.DuckDBPyConnection) -> None:
    """Have no statement change a setting of *engine* any more."""
    engine.execute("SET lock_configuration = true")


def dataset(table: Table, opened: DeltaTable) -> Dataset | Marked:
    """Return the rows of a version as Arrow reads them: columns and files are skipped if unneeded.

    By Arrow's own file systems and not by that of delta-rs, which calls back into Python from
    threads that can outlive the interpreter, and then crash it. Where files can have deletion
    vectors, which Arrow does not know, delta-rs reads them and streams the rows.
    """
    from lakehouse.reading import vectors

    if vectors.possible(opened):
        return vectors.Marked(opened)
    return opened.to_pyarrow_dataset(filesystem=files.system(table.path))


@contextmanager
def limited(engine: duckdb.DuckDBPyConnection, seconds: float | None) -> Iterator[None]:
    """Interrupt what *engine* does in the block after so many *seconds*; say why it fails.

    Raises:
        ConfigError: BAD_QUERY.
        MachineError: QUERY_STOPPED, for time or for memory.
    """
    import duckdb

    clock = threading.Timer(seconds or 0, engine.interrupt)
    if seconds:
        clock.start()
    try:
        yield
    except duckdb.InterruptException as error:
        reason = f"it had not ended after {seconds:g} s" if seconds else "it was interrupted"
        raise MachineError("QUERY_STOPPED", reason=reason) from error
    except duckdb.OutOfMemoryException as error:
        raise MachineError("QUERY_STOPPED", reason=told(error)) from error
    except (duckdb.Error, UnicodeDecodeError) as error:  # DuckDB cuts a message within a letter
        raise ConfigError("BAD_QUERY", reason=told(error)) from error
    finally:
        clock.cancel()


@contextmanager
def over(**datasets: Dataset | Marked) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an engine in which each of the *datasets* is a table of its name; closed at the end.

    Raises:
        ConfigError, MachineError: as `limited`.
    """
    engine = connect()
    try:
        for name, one in datasets.items():
            engine.register(name, one)
        lock(engine)
        with limited(engine, None):
            yield engine
    finally:
        engine.close()


def told(error: Exception) -> str:
    """Return what DuckDB says of an *error*, without the place in the statement that it draws."""
    said = str(error).partition("\nLINE ")[0].split("\n")
    return " ".join(line.strip() for line in said if line.strip())[:500]
