"""The key of a message as its JSON has it, and the messages of a key: read, not judged.

That a message is valid is silver's verdict and stands in its tables. Of a valid one the key is
certain: no field is named twice, and a text is a JSON string. Of a refused one it is what the
message says, where it can be read at all.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakehouse import layout
from lakehouse.errors import TableError
from lakehouse.reading.rows import ask
from lakehouse.reading.sql import literal, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TypeAlias

    from deltalake import DeltaTable

    from lakehouse.entities import Entity

    # The type of a column of a key; None where there is no table yet that says it.
    Kind: TypeAlias = pa.DataType | None
    # The value of each column of a key, in the order of the entity.
    Key = tuple[Any, ...]

# What JSON may write with a backslash before it, beside its code.
SHORT = {'"': r'\\"', "\\": r"\\\\", "/": r"\\?/"}


def kinds(silver: DeltaTable | None, entity: Entity) -> list[Kind]:
    """Return the types that the key of *entity* has in *silver*; None of each before it is there.

    Raises:
        TableError: ENTITY_CONFLICT, where *silver* was made with another key.
    """
    if silver is None:
        return [None for _ in entity.keys]
    columns = pa.schema(silver.schema())
    said = silver.metadata().configuration.get(layout.IDENTITY)
    there = [name for name in entity.keys if name in columns.names]
    before = json.loads(said)["keys"] if said else there
    if before != list(entity.keys):
        now = list(entity.keys)
        raise TableError("ENTITY_CONFLICT", key="keys", entity=entity.name, before=before, now=now)
    return [columns.field(name).type for name in entity.keys]


def written(texts: Sequence[str], types: Sequence[Kind]) -> Key | None:
    """Return the key that a person wrote as *texts*; None where one cannot be of its type."""
    try:
        return tuple(_cast(text, kind) for text, kind in zip(texts, types, strict=True))
    except (ValueError, pa.ArrowInvalid):
        return None


def told(value: str | None, keys: Sequence[str], types: Sequence[Kind]) -> Key | None:
    """Return the key in *value*, a message; None where it has none that can be read.

    What has no type yet is the text of whatever is there, without quotes.
    """
    try:
        said = json.loads(value or "", parse_float=_fraction)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    found = tuple(_typed(said.get(k), kind) for k, kind in zip(keys, types, strict=True))
    return None if None in found else found


def same(key: Mapping[str, Any]) -> str:
    """Return the SQL condition of silver rows that have *key*."""
    return " AND ".join(f"{quoted(name)} = {literal(value)}" for name, value in key.items())


def messages(
    table: DeltaTable, key: Mapping[str, Any], types: Sequence[Kind]
) -> list[dict[str, Any]]:
    """Return position, timestamp and value of each message in *table* that has *key*.

    All values are looked through for the text of the key, and those that hold it are read as JSON.
    """
    near = " AND ".join(map(_near, key.values(), types))
    columns = 'topic, topic_id, "partition", "offset", "timestamp", value'
    rows = ask(f"SELECT {columns} FROM t WHERE {near}", t=table)  # noqa: S608 - literals
    wanted = tuple(key.values())
    return [row for row in rows if told(row["value"], tuple(key), types) == wanted]


def _fraction(text: str) -> Decimal | None:
    """Return the number that *text* is; None of one beyond all bounds, which is of no key."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


def _typed(said: Any, kind: Kind) -> Any:
    if said is None or isinstance(said, (dict, list)):
        return None
    if kind is None:
        return json.dumps(said) if isinstance(said, bool) else str(said)
    if pa.types.is_string(kind):
        return said if isinstance(said, str) else None
    if isinstance(said, bool) or pa.types.is_boolean(kind):
        return said if isinstance(said, bool) and pa.types.is_boolean(kind) else None
    if pa.types.is_integer(kind):
        return said if isinstance(said, int) else None
    try:
        return _cast(str(said), kind)
    except (ValueError, pa.ArrowInvalid):
        return None


def _cast(text: str, kind: Kind) -> Any:
    if kind is None or pa.types.is_string(kind):
        return text
    return int(text) if pa.types.is_integer(kind) else pa.scalar(text).cast(kind).as_py()


def _near(value: Any, kind: Kind) -> str:
    """Return an SQL condition that every message with *value* in its key meets, and few others."""
    if isinstance(value, str):
        quote = "" if kind is None else '"'  # without a type it may be a number
        plain = literal(f"{quote}{value}{quote}")
        escaped = literal(f"{quote}{''.join(map(_character, value))}{quote}")
        return (
            f"CASE WHEN strpos(value, {plain}) > 0 THEN TRUE WHEN strpos(value, '\\') > 0 "
            f"THEN regexp_like(value, {escaped}) ELSE FALSE END"
        )
    if isinstance(value, int):  # or a boolean, whose names have no capital in JSON
        return f"strpos(value, {literal(json.dumps(value))}) > 0"
    return "value IS NOT NULL"  # a time or a fraction can be written in many ways


def _character(one: str) -> str:
    """Return a regular expression of all the ways in which JSON can write the character."""
    units = one.encode("utf-16-be", "surrogatepass").hex(" ", 2).split()
    code = "".join(rf"\\u(?i:{unit})" for unit in units)
    # Not re.escape, which is for Python's expressions: a code is one in any dialect.
    plain = SHORT.get(one) or (one if one.isalnum() else rf"\x{{{ord(one):x}}}")
    return f"(?:{plain}|{code})"
