"""Valid or corrupt, with every reason. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.audit.conditions import conditions
from lakehouse.schemas import schema
from lakehouse.tables import POSITION, quoted
from silver import expectations
from silver.parse import STRICT
from silver.verdicts import verdicts

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

    A row is looked at a second time, field by field, only where the parse leaves a doubt: it is
    then read as a map of VARIANT, which keeps the JSON kind of each field, and as a map of text.
    """
    judge = verdicts(entity, parsed.sparkSession.sparkContext.applicationId)
    looked = parsed.withColumn("_first", judge.first).withColumn("_doubt", judge.doubt)
    again = F.when(F.col("_sound") & F.col("_doubt"), F.col("_message.value"))
    reread = looked.select(
        "*",
        F.from_json(again, "map<string,variant>", STRICT).alias("_tokens"),
        F.from_json(again, "map<string,string>", STRICT).alias("_texts"),
    )
    judged = reread.withColumn("_fields", judge.fields).withColumn("_codes", judge.codes)
    placed = judged.withColumns(
        {f"_{name}": F.col("_message")[name] for name in POSITION}
        | {"_landed_at": F.col("_message._landed_at")}
    )
    rules = conditions(parsed.sparkSession, entity)
    held = placed.withColumn("_unmet", F.when(F.col("_sound"), expectations.unmet(rules)))
    reasoned = held.withColumn("_reasons", judge.reasons)
    kept = (*schema(entity).fieldNames(), *entity.derived)
    return _sealed(
        reasoned.withColumn("_reasons", expectations.with_refusals(rules)).select(
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
