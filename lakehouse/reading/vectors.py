"""The rows of a version whose files can have deletion vectors, which Arrow does not know.

Such a vector says which rows of a file are gone. The queries of delta-rs leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lakehouse.reading.sql import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deltalake import DeltaTable

FEATURE = "deletionVectors"


@dataclass(frozen=True)
class Marked:
    """The rows of a version, *opened* by delta-rs, that no deletion vector marks as gone.

    They are streamed, and read anew each time. What asks for them, DuckDB too, has no file left
    out for its statistics, and no column.
    """

    opened: DeltaTable

    @property
    def schema(self) -> pa.Schema:
        """The columns, of the types that Arrow has them in without deletion vectors."""
        return pa.schema(self.opened.schema().to_arrow())

    def to_table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows, all *columns* or those that are named.

        Raises:
            OSError, pyarrow.ArrowException: a file is not there or cannot be read.
        """
        return self._reader(columns or self.schema.names).read_all()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the rows as a stream in Arrow's C interface, by which DuckDB takes them."""
        return self._reader(self.schema.names).__arrow_c_stream__(requested_schema)

    def _reader(self, columns: Sequence[str]) -> pa.RecordBatchReader:
        from deltalake import QueryBuilder
        from deltalake.exceptions import DeltaError

        sql = f"SELECT {', '.join(map(quoted, columns))} FROM t"  # noqa: S608 - names are quoted
        try:
            found = QueryBuilder().register("t", self.opened).execute(sql)
        except DeltaError as error:
            raise OSError(str(error)) from error
        # delta-rs has texts as views, which not all who read Arrow know.
        kinds = pa.schema([self.schema.field(name) for name in columns])
        return pa.RecordBatchReader.from_stream(found).cast(kinds)


def possible(opened: DeltaTable) -> bool:
    """Say whether files of the version can have deletion vectors, as its protocol says."""
    return FEATURE in (opened.protocol().reader_features or ())
