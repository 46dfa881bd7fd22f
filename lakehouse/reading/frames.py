"""Rows that were read, in the form that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from lakehouse.errors import MachineError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, repr=False)
class Rows:
    """Rows of a table or of a query. Its own text shows how many there are, and no value."""

    table: pa.Table

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {', '.join(map(repr, self.table.column_names))}>"

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        return self.table

    def pandas(self) -> pd.DataFrame:
        """Return the rows as pandas has them; whole numbers stay whole where some are NULL.

        Raises:
            MachineError: PACKAGE_MISSING.
        """
        import pyarrow as pa

        frames = installed("pandas")
        kinds = {pa.bool_(): frames.BooleanDtype()}
        for bits in (8, 16, 32, 64):
            kinds[getattr(pa, f"int{bits}")()] = getattr(frames, f"Int{bits}Dtype")()
        found: pd.DataFrame = self.table.to_pandas(types_mapper=kinds.get)
        return found

    def polars(self) -> pl.DataFrame:
        """Return the rows as Polars has them.

        Raises:
            MachineError: PACKAGE_MISSING.
        """
        found: pl.DataFrame = installed("polars").from_arrow(self.table)
        return found

    def duckdb(self) -> duckdb.DuckDBPyRelation:
        """Return the rows as a relation, of a DuckDB of its own."""
        from lakehouse.reading import engine

        return engine.connect().from_arrow(self.table)


def installed(package: str) -> Any:
    """Return the *package*, which the product does without unless it is asked for.

    Raises:
        MachineError: PACKAGE_MISSING.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MachineError("PACKAGE_MISSING", package=package, reason=str(error)) from error
