"""What is done to tables when someone asks for it, and now and then: optimize and vacuum."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import owner
from lakehouse.audit.trail import logged
from lakehouse.errors import TableError
from lakehouse.reading import versions
from lakehouse.reading.tables import Table as Named
from lakehouse.reading.vacuum import plan
from lakehouse.run import Run
from lakehouse.turns import Turn
from lakehouse.upkeep import Upkeep
from tests.messages import plant, proven, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from lakehouse.tables import Table

pytestmark = pytest.mark.unruled
BATCHES: list[list[Any]] = [[{"match_id": "a"}, "junk"], [{"match_id": "a"}], [{"match_id": "a"}]]


@pytest.fixture
def short(config: Config) -> Config:
    """Settings by which versions stay readable for a second."""
    lake = config.lake.model_copy(update={"time_travel": "1 second"})
    return config.model_copy(update={"lake": lake})


def test_a_vacuum_takes_what_it_said_and_leaves_the_proof_whole(
    spark: SparkSession, short: Config, matches: Entity
) -> None:
    lake = Run(short).lake
    silver, bronze = (lake.table(layer, matches.name) for layer in ("silver", "bronze"))
    for number, values in enumerate(BATCHES):
        plant(spark, lake, matches, values, 2 * number)
        run_once(spark, short, [matches], "silver")
    written = [silver, lake.table("quarantine", matches.name)]
    kept = Upkeep(spark, Run(short), matches, written)
    found = until_due(silver, lake.root, 3)
    assert (found.files, found.remaining, found.newest) == (2, 3, 3)

    done = kept.asked(owner.request("vacuum", tables=[silver.name]))
    assert done["tables"][silver.name]["files"] == 2
    log = versions.log(Named(silver.name, silver.path))
    assert versions.vacuumed(log, log.newest, 0) == found.remaining
    told = [one for one in logged(spark, silver) if one.facts.get("verb") == "vacuum"]
    assert [one.operation for one in told] == ["VACUUM START", "VACUUM END"]
    assert proven(spark, matches, lake).bronze == 4

    # Files of bronze go once a compaction has put them together, and silver has read them.
    plant(spark, lake, matches, [{"match_id": "b"}], 9)
    of_bronze = Upkeep(spark, Run(short), matches, [bronze])
    done = of_bronze.asked(owner.request("optimize", tables=[bronze.name]))
    assert done["tables"][bronze.name]["files"] == 4
    assert "silver.matches has read" in str(until_due(bronze, lake.root, 5).needed)
    with pytest.raises(TableError) as refused:
        of_bronze.asked(owner.request("vacuum", tables=[bronze.name]))
    assert refused.value.code == "VACUUM_REFUSED"
    run_once(spark, short, [matches], "silver")
    # On its schedule, in the stream's turn.
    often = short.upkeep.model_copy(update={"vacuum_hours": 1e-6})
    scheduled = Run(short.model_copy(update={"upkeep": often}))
    Upkeep(spark, scheduled, matches, [bronze], vacuumed_at=0.0).after(0, Turn())
    assert plan(Named(bronze.name, bronze.path), lake.root).files == 0
    assert proven(spark, matches, lake).bronze == 5


def until_due(table: Table, root: str, remaining: int) -> Any:
    """Return what a vacuum of *table* would do, once only versions from that one on would stay."""
    deadline = time.monotonic() + 20
    while (found := plan(Named(table.name, table.path), root)).remaining < remaining:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)  # only time has to pass
    return found
