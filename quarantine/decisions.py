"""Decisions on refused messages: who released or discarded what, why, and under which rules.

A table beside quarantine, to which only the owner of silver's stream adds. What a decision means is
said in `lakehouse.reading.decisions`, which reads the table without Spark.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from lakehouse import log, tables
from lakehouse.audit import deeds
from lakehouse.audit.deeds import begun
from lakehouse.audit.records import recorded
from lakehouse.reading.decisions import DECISIONS as SCHEMA
from lakehouse.reading.decisions import OPEN, SETTLED, Decided, table_of
from lakehouse.reading.positions import COLUMNS as PLACE
from lakehouse.reading.quarantine import Wanted
from quarantine.table import QUARANTINE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.audit.deeds import Deed
    from lakehouse.entities import Entity
    from lakehouse.owner import Request
    from lakehouse.run import Run
    from lakehouse.tables import Lake, Table

DECISIONS: StructType = StructType.fromJson(json.loads(SCHEMA.to_json()))


def table(lake: Lake, entity: str) -> Table:
    """Return the table of decisions on the quarantine of *entity*."""
    return lake.table("quarantine", table_of(entity))


def decided(spark: SparkSession, entity: str, lake: Lake) -> DataFrame:
    """Return the rows of *entity*'s quarantine as `standing` does, with all decisions there are.

    None, where its silver stream has never run.
    """
    made, refused = table(lake, entity), lake.table("quarantine", entity)
    said = made.read(spark) if made.exists(spark) else None
    if not refused.exists(spark):
        return standing(spark.createDataFrame([], QUARANTINE), said)
    return standing(refused.read(spark), said)


def standing(refused: DataFrame, said: DataFrame | None) -> DataFrame:
    """Return the *refused*, with `_status` and the rules that they were `_judged` by last.

    Those are the rules of the last decision that is *said* of it, or else of the refusal.
    """
    if said is None:
        return refused.withColumns({"_status": F.lit(OPEN), "_judged": F.col("_rules")})
    stands = F.expr(f"d.at >= q._quarantined_at OR d.decision = '{Decided.DISCARDED}'")
    last = F.max(F.struct("d.at", "d.request_id", "d.decision", "d.rules")).alias("_last")
    last_of = (
        refused.alias("q")
        .join(said.alias("d"), same("q", "d") & stands)
        .groupBy(*(F.col(f"q.{name}").alias(name) for name in PLACE))
        .agg(last)
    )
    joined = refused.alias("q").join(last_of.alias("l"), same("q", "l"), "left")
    return joined.select(
        "q.*",
        F.coalesce("l._last.decision", F.lit(OPEN)).alias("_status"),
        F.coalesce("l._last.rules", "q._rules").alias("_judged"),
    )


def unsettled(rows: DataFrame) -> DataFrame:
    """Return those of the rows of `standing` that are neither released nor discarded."""
    return rows.where(~F.col("_status").isin(*SETTLED))


def chosen(rows: DataFrame, wanted: Wanted) -> DataFrame:
    """Return those of the rows of `standing` that are *wanted*."""
    told = {"code": wanted.reasons, "rule": wanted.rules}
    asked = [
        F.arrays_overlap(F.col("reasons")[name], F.array(*map(F.lit, some)))
        for name, some in told.items()
        if some
    ]
    asked += [F.col("_status").isin(*wanted.statuses)] if wanted.statuses else []
    asked += [F.col("_quarantined_at") >= wanted.since] if wanted.since else []
    asked += [F.col("_quarantined_at") < wanted.until] if wanted.until else []
    asked += [F.col("partition") == wanted.partition] if wanted.partition is not None else []
    asked += [F.col("offset").between(*wanted.offsets)] if wanted.offsets else []
    return reduce(lambda found, one: found.where(one), asked, rows)


def discard(spark: SparkSession, entity: Entity, request: Request, run: Run) -> dict[str, Any]:
    """Have each message that *request* wants, and that is not settled, be discarded.

    It stays refused, whatever the rules become. In one commit, and in none where there is nothing
    to decide. Returns how many were discarded.
    """
    name, lake = entity.name, run.lake
    rows = unsettled(chosen(decided(spark, name, lake), Wanted.of(request.args["wanted"])))
    count = rows.count()
    if count:
        prepare(spark, name, lake)
        facts = {"rules": None, "at": clock(spark, name, lake), "done": {"discarded": count}}
        deed = begun(request, run.id, next_number(spark, name, lake), **facts)
        with recorded(spark, deed):
            append(rows, deed, F.lit(Decided.DISCARDED), to=table(lake, name))
        log.get(deed.stream).info("Messages discarded", messages=count, by=deed.by, why=deed.note)
    return {"discarded": count}


def append(rows: DataFrame, deed: Deed, decision: Column, *, to: Table) -> None:
    """Append the *decision* on each of *rows*, which have a message's position, in one commit."""
    said = {
        "request_id": F.lit(deed.request),
        "decision": decision,
        "by": F.lit(deed.by),
        "note": F.lit(deed.note).cast("string"),
        "rules": F.lit(deed.rules).cast("string"),
        "at": F.lit(deed.at).cast("timestamp"),
    }
    made = rows.withColumns(said).select(DECISIONS.fieldNames())
    made.write.format("delta").mode("append").save(to.path)


def prepare(spark: SparkSession, entity: str, lake: Lake) -> None:
    """Have the table of decisions exist and fit. It is append-only."""
    made = table(lake, entity)
    tables.create(spark, made, DECISIONS, lake)
    tables.fit(spark, made, DECISIONS, lake)


def next_number(spark: SparkSession, entity: str, lake: Lake) -> int:
    """Return the number of the next deed on *entity*."""
    written = (lake.table("silver", entity), lake.table("quarantine", entity), table(lake, entity))
    return 1 + max(deeds.number(spark, one) for one in written)


def clock(spark: SparkSession, entity: str, lake: Lake) -> str:
    """Return the time of a deed on *entity*: now, or right after what was said last of a message.

    Which decisions stand is told by their times, so they never go back, whatever the clock does.
    """
    said = [lake.table("quarantine", entity).read(spark).agg(F.max("_quarantined_at"))]
    if table(lake, entity).exists(spark):
        said.append(table(lake, entity).read(spark).agg(F.max("at")))
    times = [frame.select(F.unix_micros(frame[0])).collect()[0][0] or 0 for frame in said]
    after = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=max(times) + 1)
    return max(after, datetime.now(UTC)).isoformat()


def same(one: str, other: str) -> Column:
    """Say whether rows of two aliases have the same position; older brokers give no topic id."""
    pairs = ((F.col(f"{one}.{name}"), F.col(f"{other}.{name}")) for name in PLACE)
    return reduce(lambda a, b: a & b, (left.eqNullSafe(right) for left, right in pairs))
