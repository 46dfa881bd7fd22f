"""Refused messages written to a file, a batch at a time; nothing of them is lost."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.cli.refusals import row_facts
from lakehouse.reading.quarantine import export
from lakehouse.reading.rows import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lakehouse.reading.quarantine import Desk, Wanted

# Of a record of CSV, in the order of `row_facts`; those that hold lists are JSON.
COLUMNS = (
    "entity", "topic", "topic_id", "partition", "offset", "value", "value_raw", "key", "headers",
    "timestamp", "timestamp_type", "landed_at", "reasons", "quarantined_at", "batch_id", "rules",
    "status", "attempts",
)  # fmt: skip
LISTS = ("headers", "reasons")


def write_jsonl(desks: Sequence[Desk], wanted: Wanted, to: BinaryIO) -> int:
    """Write a line of JSON for each message, and return how many there are."""
    rows = 0
    for facts in _facts(desks, wanted):
        to.write(json.dumps(facts).encode() + b"\n")
        rows += 1
    return rows


def write_csv(desks: Sequence[Desk], wanted: Wanted, to: BinaryIO) -> int:
    """Write a header and a record for each message, and return how many there are.

    No value and an empty one look alike; their reasons tell them apart.
    """
    rows = 0
    text = io.TextIOWrapper(to, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for facts in _facts(desks, wanted):
        writer.writerow({n: json.dumps(v) if n in LISTS else v for n, v in facts.items()})
        rows += 1
    text.detach()  # closing it is not ours
    return rows


def write_parquet(desks: Sequence[Desk], wanted: Wanted, to: BinaryIO) -> int:
    """Write the columns of the table, with entity, status and attempts; return how many rows."""
    rows = 0
    writer = None
    for desk in desks:
        found = export(desk, wanted)
        if found is None:
            continue
        columns, batches = found
        schema = pa.schema([("entity", pa.string()), *((f.name, _plain(f.type)) for f in columns)])
        writer = writer or pq.ParquetWriter(to, schema, compression="zstd")
        for batch in batches:
            names = pa.array([desk.entity] * batch.num_rows, pa.string())
            table = pa.Table.from_batches([batch]).add_column(0, "entity", names)
            writer.write_table(table.cast(schema))
            rows += batch.num_rows
    if writer is None:
        writer = pq.ParquetWriter(to, pa.schema([("entity", pa.string())]))
    writer.close()
    return rows


WRITERS: dict[str, Callable[[Sequence[Desk], Wanted, BinaryIO], int]] = {
    "jsonl": write_jsonl,
    "csv": write_csv,
    "parquet": write_parquet,
}


def _facts(desks: Sequence[Desk], wanted: Wanted) -> Iterator[dict[str, Any]]:
    for desk in desks:
        _, batches = export(desk, wanted) or (None, ())
        for batch in batches:
            for row in listed(batch):
                yield row_facts(desk.entity, row, row["status"], row["attempts"])


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return *kind* without the views of Arrow, which not every reader of Parquet knows."""
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _plain(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(pa.field(kind.value_field.name, _plain(kind.value_type)))
    views = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return views.get(kind, kind)
