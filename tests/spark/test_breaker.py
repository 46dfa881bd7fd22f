"""The circuit breaker around real batches: nothing is written until a person lets it be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.errors import ExpectationError
from lakehouse.run import Run
from silver import breaker
from tests.messages import plant, proven, rows, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config

pytestmark = pytest.mark.unruled
SETTINGS = {"share": 0.5, "window_rows": 8, "least_rows": 8}


def test_a_batch_that_trips_it_writes_nothing_and_passes_once_it_is_resumed(
    spark: SparkSession, config: Config, matches: Entity
) -> None:
    limit = config.breaker.model_copy(update=SETTINGS)
    config = config.model_copy(update={"breaker": limit})
    lake = Run(config).lake
    silver = lake.table("silver", "matches")
    plant(spark, lake, matches, [{"match_id": str(i)} for i in range(8)])
    run_once(spark, config, [matches], "silver")
    plant(spark, lake, matches, ["junk"] * 10 + [{"match_id": "last"}], 8)
    version = silver.version(spark)
    for _ in range(2):  # the second time it does not even begin
        with pytest.raises(ExpectationError) as found:
            run_once(spark, config, [matches], "silver")
        assert found.value.code == "BREAKER_TRIPPED"
        assert "in this batch: 10 not_json" in found.value.message.why
        assert silver.version(spark) == version
        assert rows(spark, lake, "quarantine", "matches") == []

    file = config.state_dir / silver.name / "breaker.json"
    assert breaker.resume(file, by="me", why="mended") is not None
    run_once(spark, config, [matches], "silver")
    assert len(rows(spark, lake, "silver", "matches")) == 9
    assert len(rows(spark, lake, "quarantine", "matches")) == 10
    assert proven(spark, matches, lake).holds

    again = breaker.breaker(spark, silver, limit, config.state_dir)
    assert list(again.window) == []  # counted anew since the batch that was let pass
    plant(spark, lake, matches, ["junk"] * 8, 19)
    with pytest.raises(ExpectationError):
        run_once(spark, config, [matches], "silver")
