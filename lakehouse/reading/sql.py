"""Values and names as SQL writes them, whatever characters they hold."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any


def literal(value: Any) -> str:
    """Return *value*, of a type that a key can have, as SQL writes it."""
    if isinstance(value, datetime):
        return f"arrow_cast('{value.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def quoted(name: str) -> str:
    """Return *name* as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
