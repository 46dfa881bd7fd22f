"""A message as people and programs are shown it: whatever it holds, it drives no terminal."""

from __future__ import annotations

import base64
from datetime import UTC
from typing import TYPE_CHECKING, Any

from lakehouse.log import escaped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lakehouse.reading.decisions import Decision

# A line of a terminal, less what stands before it.
SHOWN = 120


def stamp(at: datetime) -> str:
    """Return *at* as every command writes a time: UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def message_facts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message in *row* of bronze or quarantine as JSON has it; bytes in base64."""
    return {
        "value": row["value"],
        "value_raw": in_base64(row["value_raw"]),
        "key": in_base64(row["key"]),
        "headers": [
            {"key": one["key"], "value": in_base64(one["value"])} for one in row["headers"] or ()
        ],
        "timestamp": row["timestamp"].isoformat(),
        "timestamp_type": row["timestamp_type"],
        "landed_at": row["_landed_at"].isoformat(),
    }


def in_base64(data: bytes | None) -> str | None:
    """Return *data* in base64; None where there is none."""
    return None if data is None else base64.b64encode(data).decode()


def started(row: Mapping[str, Any]) -> str:
    """Return how the value in *row* begins, on one line, and how long it is."""
    value, raw = row["value"], row["value_raw"]
    if value is None:
        return "none"
    size = len(raw if raw is not None else value.encode())
    more = "..." if len(value) > SHOWN else ""
    repaired = ", not UTF-8 and repaired" if raw is not None else ""
    return f"{escaped(value[:SHOWN])}{more} ({size} bytes{repaired})"


def reason(one: Mapping[str, Any]) -> str:
    """Return a reason on one line."""
    rule = f" {one['rule']}" if one["rule"] else ""
    column = f" {one['column']}:" if one["column"] else ""
    parts = [f"{name} {one[name]}" for name in ("expected", "got") if one[name] is not None]
    return escaped(f"{one['code']}{rule}{column} {', '.join(parts)}".rstrip(": "))


def decided(one: Decision) -> str:
    """Return a decision on one line."""
    by = f" by {one.by}" if one.by else ""
    note = f": {one.note}" if one.note else ""
    return escaped(f"{stamp(one.at)} {one.decision}{by}{note} (request {one.request_id})")
