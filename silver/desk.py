"""What a person can ask of the owner of a silver stream, and what a kill left of it.

Only the owner of the stream may do any of it, and only while no batch is at work. What was asked
before is finished first, so that there is never more than one thing to finish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lakehouse import log
from lakehouse.audit import deeds
from quarantine import decisions
from silver.rebuild import install, rebuild
from silver.replay import release, replay

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.owner import Request
    from lakehouse.run import Run
    from lakehouse.tables import Lake

VERBS = {"replay": replay, "discard": decisions.discard, "rebuild": rebuild}
# Judge by the rules of today; what is discarded is not judged.
JUDGING = ("replay", "rebuild")


def serve(spark: SparkSession, entity: Entity, request: Request, run: Run) -> dict[str, Any]:
    """Do what *request* asks, under the rules of *entity*, and return what is to be answered.

    In a session of its own: its transactions are no other's.

    Raises:
        LakehouseError: what the verb fails with.
    """
    finish(spark, entity.name, run.lake)
    return VERBS[request.verb](spark.newSession(), entity, request, run)


def finish(spark: SparkSession, entity: str, lake: Lake) -> None:
    """Have the last deed on *entity* be done to its end, if a kill came between two of its commits.

    Silver's is always the last of them. Nothing happens where there is nothing to finish. In a
    session of its own, as `serve` does it.
    """
    silver = deeds.number(spark, lake.table("silver", entity))
    for table, rest in (
        (decisions.table(lake, entity), release),
        (lake.table("quarantine", entity), install),
    ):
        deed = deeds.last(spark, table) if deeds.number(spark, table) > silver else None
        # Of what released nothing, or only discarded, silver knows nothing.
        if deed is not None and (deed.verb == "rebuild" or deed.done.get("released")):
            rest(spark.newSession(), deed, lake)
            log.get(deed.stream).info("Finished what a kill cut short", verb=deed.verb, by=deed.by)
