"""Valid or corrupt, with every reason. Pure."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.audit.conditions import conditions
from lakehouse.schemas import schema
from lakehouse.tables import POSITION, quoted
from quarantine.table import REASONS
from silver import expectations
from silver.verdicts import let, verdicts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.entities import Entity


def triage(parsed: DataFrame, entity: Entity) -> DataFrame:
    """Return the parsed rows, each with its `_reasons`: none means valid, and never NULL.

    Columns: `_message` (only where there is a reason, so that a cached batch stays small), the
    message's position (`_topic`, `_topic_id`, `_partition`, `_offset`, `_timestamp`), when it
    landed (`_landed_at`), the schema's and the derived columns, `_unmet` (which
    expectations the row does not meet, as bits; NULL where there was no JSON object to judge),
    `_reasons`.

    Most rows are sound, and a few cheap questions say so of each: only of the suspect ones is all
    asked that can be wrong.
    """
    judge = verdicts(entity, parsed.sparkSession.sparkContext.applicationId)
    rules = conditions(parsed.sparkSession, entity)
    none = F.array().cast(REASONS)
    placed = {f"_{name}": F.col("_message")[name] for name in POSITION}
    looked = parsed.withColumns(
        {**placed, "_landed_at": F.col("_message._landed_at"), "_suspect": judge.suspect}
    ).withColumn("_unmet", F.when(F.col("_sound"), expectations.unmet(rules)))
    refused = F.col("_suspect") | expectations.is_refused(rules)
    reasons = F.when(F.col("_suspect"), judge.reasons).otherwise(none)
    judged = looked.withColumn(
        "_reasons",
        F.when(refused, let(reasons, partial(expectations.with_refusals, rules))).otherwise(none),
    )
    kept = (*schema(entity).fieldNames(), *entity.derived)
    return _sealed(
        judged.select(
            F.when(F.size("_reasons") > 0, F.col("_message")).alias("_message"),
            *(f"_{name}" for name in POSITION),
            "_landed_at",
            *map(quoted, kept),
            "_unmet",
            "_reasons",
        )
    )


def _sealed(rows: DataFrame) -> DataFrame:
    """Return *rows* behind a generator, through which the optimizer pushes no filter.

    A filter on `_reasons` pushed below the projections would hold the whole parse once for each
    time a column is named: such a plan grows without bound before it even runs.
    """
    return rows.select(F.inline(F.array(F.struct("*"))))
