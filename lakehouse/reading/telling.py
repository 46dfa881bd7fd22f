"""What is told of messages and keys, in the lines that people read: none can drive a terminal."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

from lakehouse.layout import DESK
from lakehouse.log import escaped
from lakehouse.reading.messages import decided, reason, stamp, started

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.reading.batches import Batch
    from lakehouse.reading.story import Story, Told, Whereabouts
    from lakehouse.reading.trace import Absent, Row, Trace

FATES = {
    "current": "is the row of its key in silver",
    "superseded": "is valid, and a newer row of its key is in silver",
    "quarantined": "is in quarantine",
    "discarded": "was discarded by a decision",
    "unread": "is in bronze, and silver has yet to read it",
    "unknown": "is in bronze, and of the commit that may have taken it nothing is known any more",
    "none": "was taken by silver, and no table says more: run `lakehouse audit verify`",
    "several": "is in more than one place: run `lakehouse audit verify`",
}


def trace_lines(one: Told, *, several: bool = False, alone: bool = False) -> list[str]:
    """Return a trace as lines; *alone*, with a word on what it leaves out."""
    found, row = one.trace, one.trace.message
    of = f" of topic id {found.position.topic_id}" if several else ""
    key = ", ".join(f"{name} {value}" for name, value in (found.key or {}).items())
    untaken = "no commit holds it" if found.fate == "unread" else "no commit that is known holds it"
    lines = [
        f"{found.position}{of} {FATES[found.fate]}",
        f"  bronze     {_batch(found.landed)}, Kafka's time {stamp(row['timestamp'])}",
        f"  value      {started(row)}",
        f"  silver     {_batch(found.taken) if found.taken else untaken}",
        *_made(found),
        *_verdict(found),
    ]
    if key:
        lines.append(f"  key        {key}")
    if key and found.fate in {"superseded", "unknown"}:
        lines.append(f"  row now    {_row(found.now)}")
        lines += _beaten(one)
    lines += [
        f"  later      {t.row} since version {t.batch.version}" for t in (one.later or ()) if t.row
    ]
    lines += [f"  decision   {decided(said)}" for said in found.decisions]
    if one.later is None and alone:
        words = shlex.join(map(str, (found.key or {}).values()))
        lines.append(f"  more       `lakehouse trace {found.entity} {words}` shows the whole key")
    return [escaped(line) for line in lines]


def _made(found: Trace) -> list[str]:
    """Return what wrote the row of a message, where it is not the batch that read the message."""
    if found.fate != "current" or found.now is None:
        return []
    own = found.now.batch
    if own and found.taken and own.version == found.taken.version:
        return []
    return [f"  row        written by {_batch(own) if own else 'a version not known'}"]


def _verdict(found: Trace) -> list[str]:
    refused = found.refused
    if refused is None:
        own = found.now.batch if found.fate == "current" and found.now else None
        by = ", by the rules of that rebuild" if own and own.verb == "rebuild" else ""
        return [f"  verdict    valid{by}"] if found.fate in {"current", "superseded"} else []
    at = stamp(refused["_quarantined_at"])
    under = f"{number_of(refused)}, rules {refused['_rules']}"
    told = [f"             {reason(one)}" for one in refused["reasons"]]
    return [f"  verdict    refused at {at} in {under}", *told]


def _beaten(one: Told) -> list[str]:
    if one.beaten is None:
        return []
    first, last, by = one.beaten.first, one.beaten.last, one.beaten.by
    when = f"in version {last}" if first == last else f"in one of versions {first} to {last}"
    never = ", the one that took it" if one.trace.taken and last == one.trace.taken.version else ""
    return [f"  beaten     {when}{never}{f', by {by}' if by else ''}"]


def _batch(batch: Batch | None) -> str:
    if batch is None:
        return "of its commit nothing is known any more"
    number = _number(batch.checkpoint, batch.batch_id)
    number = f"{batch.verb}, {number}" if batch.verb else number
    return f"version {batch.version} ({number}) at {stamp(batch.at)}"


def number_of(refused: Mapping[str, Any]) -> str:
    """Name what refused a message: a batch of a stream, or what was done at the desk."""
    return _number(refused["_checkpoint"], refused["_batch_id"])


def _number(checkpoint: str, number: int) -> str:
    """Name a batch of a stream, or what was done at the desk: each counts for itself."""
    return f"request {number} of the desk" if checkpoint == DESK else f"batch {number}"


def _row(row: Row | None) -> str:
    if row is None:
        return "none"
    batch = _batch(row.batch) if row.batch else "a version not known"
    # A rebuild writes rows again that were there before.
    return f"{row.position} {'written by' if row.batch and row.batch.verb else 'since'} {batch}"


def whereabouts_lines(found: Whereabouts) -> list[str]:
    """Return where a position is and where it is not, as lines."""
    times = Counter(one.trace.entity for one in found.told)
    lines = []
    for one in found.told:
        lines += trace_lines(one, several=times[one.trace.entity] > 1, alone=True)
    for absent in found.absent:
        lines += absent_lines(absent)
    return lines


def story_lines(story: Story, *, brief: bool = False) -> list[str]:
    """Return what there is to tell of a key, as lines; *brief*, a line for each message."""
    key = ", ".join(f"{name} {value}" for name, value in story.key.items())
    shown = len(story.told)
    more = f", of which the newest {shown}" if shown < story.messages else ""
    lines = [
        escaped(f"{story.entity}, {key}"),
        f"  row now    {_row(story.now)}",
        f"  messages   {story.messages} in bronze{more}",
    ]
    if brief:
        said = (f"  {one.trace.position} {FATES[one.trace.fate]}" for one in story.told)
        return [*lines, *map(escaped, said)]
    for one in story.told:
        lines += trace_lines(one)
    return lines


def absent_lines(found: Absent) -> list[str]:
    """Return why bronze does not hold a position, as lines."""
    at = found.position
    why = {
        "empty": "no message has landed yet",
        "partition": f"no message of partition {at.partition} has landed yet",
        "before": f"the oldest offset of partition {at.partition} is {found.oldest}",
        "after": f"the newest offset of partition {at.partition} is {found.newest}; "
        "it has not landed yet, or Kafka does not have it",
        "gap": f"offsets {found.oldest} to {found.newest} of partition {at.partition} have landed, "
        "and Kafka handed out nothing for this one: compacted away, or part of a transaction",
    }
    lines = [f"{at} is not in bronze.{found.entity}", f"  {why[found.why]}"]
    if found.stray:
        there = " and ".join(found.stray)
        lines.append(f"  yet {there} hold it, which is a fault: run `lakehouse audit verify`")
    return lines
