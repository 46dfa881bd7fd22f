"""Refused messages judged once more, under the rules of today: those that pass are released.

The decisions are written first, in one commit, and then the released messages are merged, in one
commit with the same number. If the process dies in between they are merged later: what a decision
released is in silver before any batch or any other request goes on.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import log, tables
from lakehouse.audit.deeds import begun
from lakehouse.audit.records import recorded
from lakehouse.layout import DESK
from lakehouse.reading.decisions import Decided
from lakehouse.reading.positions import COLUMNS as PLACE
from lakehouse.reading.quarantine import Wanted
from lakehouse.tables import BRONZE
from quarantine import decisions
from silver import rules
from silver.batch import Judgement
from silver.counts import count
from silver.merge import merge
from silver.newest import newest
from silver.parse import parse
from silver.table import columns, prepare
from silver.triage import triage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.audit.deeds import Deed
    from lakehouse.entities import Entity
    from lakehouse.owner import Request
    from lakehouse.run import Run
    from lakehouse.tables import Lake
    from silver.counts import Counts


def replay(spark: SparkSession, entity: Entity, request: Request, run: Run) -> dict[str, Any]:
    """Have each message that *request* wants decided again, under the rules of *entity*.

    Those that pass are released, and merged in their original order, so that none overwrites a
    newer row; those that do not are refused again. Messages that these rules have judged before
    are left alone, and so a second replay changes nothing. Returns what became of the messages.

    Raises:
        LakehouseError: as `silver.table.prepare` does, for rules that do not fit the table.
    """
    lake = run.lake
    prepare(spark, entity, lake)
    rules.archive(spark, entity, lake)
    decisions.prepare(spark, entity.name, lake)
    wanted = picked(spark, entity, request, lake)
    triaged = judged_again(wanted, entity).persist()
    try:
        counts = count(triaged, entity)
        answer = said(wanted, counts, entity)
        if counts.rows.read:
            deed = _begun(spark, entity, request, counts, run)
            released = F.size("_reasons") == 0
            decision = F.when(released, Decided.RELEASED).otherwise(Decided.REFUSED_AGAIN)
            with recorded(spark, deed):
                to = decisions.table(lake, entity.name)
                decisions.append(_placed(triaged), deed, decision, to=to)
            if counts.rows.valid:
                answer |= release(spark, deed, lake)
            log.get(deed.stream).info("Messages replayed", by=deed.by, note=deed.note, **answer)
    finally:
        triaged.unpersist()
    return answer


def rehearse(spark: SparkSession, entity: Entity, request: Request, lake: Lake) -> dict[str, Any]:
    """Return what `replay` would say now, and change nothing.

    Raises:
        TableError: SCHEMA_CONFLICT or ENTITY_CONFLICT, as `replay` would.
    """
    silver = lake.table("silver", entity.name)
    if silver.exists(spark):
        tables.compare(spark, silver, columns(spark, entity))
        tables.keep_identity(spark, silver, entity)
    wanted = picked(spark, entity, request, lake)
    triaged = judged_again(wanted, entity).persist()
    try:
        return said(wanted, count(triaged, entity), entity)
    finally:
        triaged.unpersist()


def picked(spark: SparkSession, entity: Entity, request: Request, lake: Lake) -> DataFrame:
    """Return the messages that *request* wants and that are neither released nor discarded.

    Columns: those of `decisions.standing`.
    """
    standing = decisions.decided(spark, entity.name, lake)
    wanted = Wanted.of(request.args["wanted"])
    return decisions.unsettled(decisions.chosen(standing, wanted))


def judged_again(refused: DataFrame, entity: Entity) -> DataFrame:
    """Return what triage says of those *refused* that *entity*'s rules have not judged yet."""
    other = refused.where(F.col("_judged") != entity.fingerprint)
    return triage(parse(other.select(BRONZE.fieldNames()), entity), entity)


def said(wanted: DataFrame, counts: Counts, entity: Entity) -> dict[str, Any]:
    """Return what is told of a replay: how many messages pass, and why others do not."""
    return {
        "rules": entity.fingerprint,
        "judged": counts.rows.read,
        "released": counts.rows.valid,
        "refused_again": counts.rows.quarantined,
        "reasons": dict(counts.rows.reasons),
        "judged_before": wanted.where(F.col("_judged") == entity.fingerprint).count(),
    }


def release(spark: SparkSession, deed: Deed, lake: Lake) -> dict[str, Any]:
    """Merge the messages that *deed* released, read from quarantine; return which version did.

    Safe to repeat: the deed is one transaction.
    """
    entity = rules.recall(spark, str(deed.rules), lake)
    made = decisions.table(lake, entity.name).read(spark)
    own = (F.col("request_id") == deed.request) & (F.col("decision") == Decided.RELEASED)
    released = made.where(own)
    refused = lake.table("quarantine", entity.name).read(spark).alias("q")
    messages = refused.join(released.alias("d"), decisions.same("q", "d"), "left_semi")
    at = datetime.fromisoformat(deed.at)
    judgement = Judgement(entity, lake, DESK, deed.number, at)
    triaged = triage(parse(messages.select(BRONZE.fieldNames()), entity), entity)
    with recorded(spark, deed):
        rows = newest(judgement.valid(triaged), entity)
        merged = merge(rows, entity, into=judgement.silver)
    version = judgement.silver.version(spark)
    return {"inserted": merged.inserted, "updated": merged.updated, "version": version}


def _begun(spark: SparkSession, entity: Entity, request: Request, counts: Counts, run: Run) -> Deed:
    rows = counts.rows
    return begun(
        request,
        run.id,
        decisions.next_number(spark, entity.name, run.lake),
        rules=entity.fingerprint,
        at=decisions.clock(spark, entity.name, run.lake),
        done={"judged": rows.read, "released": rows.valid, "refused_again": rows.quarantined},
    )


def _placed(triaged: DataFrame) -> DataFrame:
    return triaged.select(*(F.col(f"_{name}").alias(name) for name in PLACE), "_reasons")
