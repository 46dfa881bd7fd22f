"""Silver and quarantine against the messages they came from, and against their commits."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.audit.conditions import conditions
from lakehouse.audit.expectations import verdict
from lakehouse.audit.records import Record
from lakehouse.proof.view import held, span
from lakehouse.reading.positions import COLUMNS
from lakehouse.schemas import comparable, schema
from lakehouse.tables import BRONZE, quoted
from silver.counts import PARTITION, figures, summed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import DataFrame

    from lakehouse.audit.commits import Commit
    from lakehouse.proof.judged import Judged
    from lakehouse.proof.view import View
    from silver.counts import Counts

EXAMPLES = 5


def record_differences(seen: View, judged: Sequence[Judged]) -> Iterator[str]:
    """Say how the records of silver and quarantine differ from their rows, counted again."""
    batches = {one.version: one for one in seen.commits["silver"] if one.is_batch}
    entities = {one.entity.fingerprint: one.entity for one in judged}
    again = _recount(seen, judged)
    refused = _by_batch(seen.commits["quarantine"])
    name = f"silver.{seen.entity}"
    for version, commit in batches.items():
        record = _record(commit)
        if record is None:
            yield f"{name} version {version}: its record cannot be read"
            continue
        under = entities.get(record.rules)
        rules = conditions(seen.spark, under) if under else ()
        counted = again.get(version, summed([], len(rules)))
        where = f"{name} version {version}"
        yield from _unlike(f"{where}: rows", record.rows, counted.rows)
        yield from _unlike(f"{where}: ranges", record.ranges, counted.ranges)
        if under is not None:
            said = record.expectations
            if under.suite != (said and said.suite):
                yield f"{where}: the suite of its rules is {under.suite}"
            if said is not None and under.suite is not None:
                told = verdict(said.suite, rules, counted.tallies)
                yield from _unlike(f"{where}: expectations", said, told)
        yield from _of_quarantine(
            seen, record, refused.pop((commit.checkpoint, commit.batch_id), [])
        )
    last = max((one.batch_id or 0 for one in batches.values()), default=-1)
    for (_, batch_id), commits in refused.items():
        # One that silver has yet to finish is not looked at.
        if batch_id is not None and batch_id <= last:
            yield f"quarantine.{seen.entity} version {commits[0].version}: silver has no such batch"


def _recount(seen: View, judged: Sequence[Judged]) -> dict[int, Counts]:
    """Return the counts of each silver version's messages, judged again."""
    found: dict[int, Counts] = {}
    for one in judged:
        rules = conditions(seen.spark, one.entity)
        placed = held(one.rows, seen.consumed, span(seen.commits["silver"]), "_")
        rows = placed.groupBy("_version", *PARTITION).agg(*figures(one.entity, rules)).collect()
        for version in {row["_version"] for row in rows}:
            own = [row for row in rows if row["_version"] == version]
            found[version] = summed(own, len(rules))
    return found


def _by_batch(commits: Sequence[Commit]) -> dict[tuple[str | None, int | None], list[Commit]]:
    found: dict[tuple[str | None, int | None], list[Commit]] = {}
    for one in commits:
        if one.is_batch:
            found.setdefault((one.checkpoint, one.batch_id), []).append(one)
    return found


def _of_quarantine(seen: View, record: Record, commits: Sequence[Commit]) -> Iterator[str]:
    """Say how the batch's commit of quarantine differs from that of silver."""
    where = f"quarantine.{seen.entity} batch {record.batch_id}"
    if len(commits) != (1 if record.rows.quarantined else 0):
        yield f"{where}: {record.rows.quarantined} rows refused, and {len(commits)} commits"
    for commit in commits:
        own = _record(commit)
        if own is None:
            yield f"{where}: the record of version {commit.version} cannot be read"
            continue
        for part in ("rows", "ranges", "source_from", "source_to", "expectations", "rules"):
            yield from _unlike(f"{where}: {part}", getattr(own, part), getattr(record, part))
        if commit.rows_added not in (None, record.rows.quarantined):
            yield f"{where}: {commit.rows_added} rows added, {record.rows.quarantined} refused"


def _unlike(what: str, said: Any, found: Any) -> Iterator[str]:
    """Say in which parts, each by its name, *said* differs from *found*."""
    if is_dataclass(said) and type(said) is type(found):
        for part in fields(said):
            yield from _unlike(
                f"{what}.{part.name}", getattr(said, part.name), getattr(found, part.name)
            )
    elif isinstance(said, dict) and isinstance(found, dict):
        for key in sorted({*said, *found}):
            yield from _unlike(f"{what}.{key}", said.get(key), found.get(key))
    elif isinstance(said, tuple) and isinstance(found, tuple) and len(said) == len(found):
        for number, (one, other) in enumerate(zip(said, found, strict=True)):
            yield from _unlike(f"{what}[{number}]", one, other)
    elif said != found:
        yield f"{what} is said to be {said}, and is {found}"


def _record(commit: Commit) -> Record | None:
    try:
        return Record.from_json(commit.record or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def row_differences(seen: View, judged: Sequence[Judged]) -> Iterator[str]:
    """Say which rows of silver and quarantine are not what their messages make, and in what."""
    batches = {
        (one.checkpoint, one.batch_id): one.facts.get("rules") for one in seen.commits["silver"]
    }
    for one in judged:
        valid = one.rows.where(F.size("_reasons") == 0)
        names = [*schema(one.entity).fieldNames(), *one.entity.derived, "_timestamp"]
        yield from _unequal(f"silver.{seen.entity}", valid, seen.silver, names, prefix="_")
        corrupt = one.rows.where(F.size("_reasons") > 0).select("_message.*", "_reasons")
        corrupt = corrupt.withColumnRenamed("_reasons", "reasons")
        kept = [*BRONZE.fieldNames(), "reasons"]
        yield from _unequal(f"quarantine.{seen.entity}", corrupt, seen.refused, kept, prefix="")
    for layer, rows in (("silver", seen.silver), ("quarantine", seen.refused)):
        marks = rows.groupBy("_checkpoint", "_batch_id", "_rules").count().collect()
        for mark in marks:
            if batches.get((mark["_checkpoint"], mark["_batch_id"]), "") != mark["_rules"]:
                yield (
                    f"{layer}.{seen.entity}: {mark['count']} rows say batch {mark['_batch_id']} "
                    f"under rules {mark['_rules']}, which no commit of silver does"
                )


def _unequal(
    name: str, made: DataFrame, rows: DataFrame, columns: Sequence[str], *, prefix: str
) -> Iterator[str]:
    """Say which *rows* differ from those *made* of the message at the same position."""
    same = reduce(
        lambda a, b: a & b,
        (F.col(f"m.{prefix}{p}").eqNullSafe(F.col(f"r.{prefix}{p}")) for p in COLUMNS),
    )
    types = {field.name: field.dataType for field in rows.schema}
    differ = F.array_compact(
        F.array(
            *(
                F.when(
                    ~comparable(f"m.{quoted(c)}", types[c]).eqNullSafe(
                        comparable(f"r.{quoted(c)}", types[c])
                    ),
                    F.lit(c),
                )
                for c in columns
            )
        )
    )
    joined = made.alias("m").join(rows.alias("r"), same)
    place = F.concat_ws(":", *(F.col(f"r.{prefix}{p}") for p in ("topic", "partition", "offset")))
    found = joined.select(place.alias("place"), differ.alias("differ")).where(F.size("differ") > 0)
    for row in found.orderBy("place").limit(EXAMPLES).collect():
        where = ", ".join(row["differ"])
        yield f"{name}: the row of {row['place']} is not its message's in {where}"
