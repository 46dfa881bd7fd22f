"""Refused messages as people and programs are shown them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakehouse.log import escaped
from lakehouse.reading.decisions import attempts, status
from lakehouse.reading.messages import SHOWN, decided, message_facts, reason, stamp
from lakehouse.reading.telling import number_of
from quarantine.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lakehouse.reading.quarantine import Refused

WIDTH = 16


def facts(one: Refused) -> dict[str, Any]:
    """Return a refused message as JSON has it, with every decision on it."""
    said = [decision.facts for decision in one.decisions]
    own = row_facts(one.entity, one.row, status(one.standing), attempts(one.standing))
    return {**own, "decisions": said}


def row_facts(entity: str, row: Mapping[str, Any], said: str, tried: int) -> dict[str, Any]:
    """Return a *row* of quarantine as JSON has it, with its status and attempts."""
    return {
        "entity": entity,
        "topic": row["topic"],
        "topic_id": row["topic_id"],
        "partition": row["partition"],
        "offset": row["offset"],
        **message_facts(row),
        "reasons": row["reasons"],
        "quarantined_at": row["_quarantined_at"].isoformat(),
        "batch_id": row["_batch_id"],
        "rules": row["_rules"],
        "status": said,
        "attempts": tried,
    }


def line(one: Refused) -> str:
    """Return a refused message on one line."""
    first, *others = one.row["reasons"]
    more = f" (+{len(others)})" if others else ""
    told = status(one.standing)
    tried = f" ({attempts(one.standing)} tried)" if attempts(one.standing) else ""
    at = stamp(one.row["_quarantined_at"])
    why = reason(first)
    short = f"{why[:SHOWN]}..." if len(why) > SHOWN else why
    return escaped(f"{at}  {one.position!s:<24}  {told}{tried}  {short}{more}")


def report(one: Refused, *, as_hex: bool) -> list[str]:
    """Return all of a refused message, as lines."""
    row = one.row
    codes = dict.fromkeys(said["code"] for said in row["reasons"])
    tried = attempts(one.standing)
    lines = [
        f"{one.position} is {status(one.standing)}{f', replayed {tried} times' if tried else ''}",
        f"  entity     {one.entity}, topic id {row['topic_id']}",
        f"  refused    {stamp(row['_quarantined_at'])} in {number_of(row)}, rules {row['_rules']}",
        *(f"  reason     {reason(said)}" for said in row["reasons"]),
        *(f"             {code}: {Reason(code).meaning}" for code in codes if code in set(Reason)),
        f"  landed     {stamp(row['_landed_at'])}, Kafka's time {stamp(row['timestamp'])}",
        f"  key        {_text(row['key'])}",
        *(f"  header     {h['key']}: {_text(h['value'])}" for h in row["headers"] or ()),
    ]
    data = _bytes(row)
    lines.append(f"  value      {'none' if data is None else f'{len(data)} bytes'}")
    if data is not None:
        lines += dump(data) if as_hex else [f"  {_text(data)}"]
    lines += [f"  decision   {decided(said)}" for said in one.decisions]
    lines += [f"  mend       `lakehouse quarantine explain {code}`" for code in codes]
    return [escaped(text) for text in lines]


def dump(data: bytes) -> Iterator[str]:
    """Yield *data* as lines of hexadecimal, with the printable ASCII beside it."""
    for start in range(0, len(data), WIDTH):
        part = data[start : start + WIDTH]
        plain = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"  {start:08x}  {part.hex(' '):<{WIDTH * 3}} {plain}"


def _bytes(row: Mapping[str, Any]) -> bytes | None:
    """Return the value as it came from Kafka."""
    raw, value = row["value_raw"], row["value"]
    if raw is not None:
        return bytes(raw)
    return None if value is None else str(value).encode()


def _text(data: bytes | None) -> str:
    return "none" if data is None else data.decode("utf-8", "backslashreplace")
