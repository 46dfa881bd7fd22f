"""What a suite of ten row expectations adds to a silver batch: ours, and GX run on the batch.

Contestants, interleaved in one session, each on the same rows:

    none        parse, triage and count, without a suite
    ours        the same with the suite compiled into the parse, and GX's results from the counts
    complete    none, and then GX on the cached batch with result_format COMPLETE
    boolean     the same with BOOLEAN_ONLY: in the full benchmark alone

No time counts before the results are equal: success of each expectation everywhere, and its
unexpected rows where GX counts them. Published are the medians of what each adds to `none`, and
the ratios of GX's to ours.
"""

from __future__ import annotations

import json
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from benchmarks.outputs import UnequalError
from benchmarks.place import matches
from benchmarks.rounds import Report, Series, ratio
from lakehouse.audit import suites
from lakehouse.audit.conditions import conditions
from lakehouse.audit.expectations import results
from silver.counts import count
from silver.parse import parse
from silver.triage import triage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from benchmarks.workers import Worker
    from lakehouse.entities import Entity

SIZES = (1_000, 200_000)
# What ours adds is a small difference of two times that each vary more. So a round has several
# batches of both, and its figure is their median; and the JVM has to have compiled first.
WARM, BATCHES = 1, 3
BETWEEN = "expect_column_values_to_be_between"
SUITE: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_not_be_null", {"column": "match_id"}),
    ("expect_column_values_to_not_be_null", {"column": "status"}),
    (
        "expect_column_values_to_be_in_set",
        {"column": "status", "value_set": ["finished", "live", "scheduled"]},
    ),
    (BETWEEN, {"column": "team_1_towers", "min_value": 0, "max_value": 11}),
    (BETWEEN, {"column": "team_2_towers", "min_value": 0, "max_value": 11}),
    (BETWEEN, {"column": "match_duration", "min_value": 0, "max_value": 10800}),
    (BETWEEN, {"column": "game_number", "min_value": 1, "max_value": 7}),
    ("expect_column_values_to_match_regex", {"column": "patch", "regex": "^[0-9]+\\.[0-9]+$"}),
    ("expect_column_value_lengths_to_be_between", {"column": "match_id", "min_value": 1}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {
            "column_A": "finished_at",
            "column_B": "started_at",
            "or_equal": True,
            "ignore_row_if": "either_value_is_missing",
        },
    ),
]
FORMS = {"complete": "COMPLETE", "boolean": "BOOLEAN_ONLY"}
RULES = [{"type": kind, "kwargs": kwargs, "severity": "warning"} for kind, kwargs in SUITE]


def messages(spark: SparkSession, rows: int) -> DataFrame:
    """Return cached bronze rows of about 250 bytes, one in a hundred with a tower too many."""
    value = F.to_json(
        F.struct(
            F.format_string("m-%s", "id").alias("match_id"),
            F.element_at(
                F.array(*map(F.lit, ("finished", "live", "scheduled"))),
                (F.col("id") % 3 + 1).cast("int"),
            ).alias("status"),
            F.when(F.col("id") % 100 == 0, 12).otherwise(F.col("id") % 12).alias("team_1_towers"),
            (F.col("id") % 12).alias("team_2_towers"),
            (F.col("id") % 4000).alias("match_duration"),
            (F.col("id") % 5 + 1).alias("game_number"),
            F.lit("26.1").alias("patch"),
            F.lit("2026-01-31T10:00").alias("started_at"),
            F.lit("2026-01-31T10:40").alias("finished_at"),
            F.col("id").alias("ingestion_timestamp"),
        )
    )
    landed = spark.range(rows).select(
        value.alias("value"),
        F.lit(None).cast("binary").alias("value_raw"),
        F.lit("t").alias("topic"),
        F.lit("id").alias("topic_id"),
        F.lit(0).alias("partition"),
        F.col("id").alias("offset"),
        F.current_timestamp().alias("timestamp"),
        F.current_timestamp().alias("_landed_at"),
    )  # fmt: skip
    cached = landed.persist()
    cached.count()
    return cached


def batch(rows: DataFrame, of: Entity, then: Callable[[DataFrame], Any] | None = None) -> Any:
    """Judge *rows* as a silver batch does, up to its record, and *then* what GX is to do."""
    triaged = triage(parse(rows, of), of).persist()
    try:
        counts = count(triaged, of)
        if then is not None:
            return then(triaged)
        return results(conditions(rows.sparkSession, of), counts.tallies)
    finally:
        triaged.unpersist()


def judged_by_gx(form: str) -> Callable[[DataFrame], Any]:
    """Return what has GX judge a batch as its own documentation does, with one context."""
    suites.load_gx()
    import great_expectations
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    context: Any = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_spark(form, persist=False)
    whole = source.add_dataframe_asset(form).add_batch_definition_whole_dataframe("batch")
    made = [ExpectationConfiguration(type=k, kwargs=v).to_domain_obj() for k, v in SUITE]
    suite = context.suites.add(ExpectationSuite(name=form, expectations=made))

    def judge(triaged: DataFrame) -> Any:
        found = whole.get_batch(batch_parameters={"dataframe": triaged}).validate(
            suite, result_format=form
        )
        return found.results

    return judge


def unequal(ours: Sequence[Any], gx: Sequence[Any], *, counted: bool) -> list[str]:
    """Return the expectations whose results differ."""

    def name(config: Any) -> str:
        kwargs = {k: v for k, v in config.kwargs.items() if k != "batch_id"}
        return f"{config.type} {json.dumps(kwargs, sort_keys=True, default=str)}"

    told = {name(one.expectation_config): one for one in gx}
    found = []
    for (kind, kwargs), one in zip(SUITE, ours, strict=True):
        other = next(
            r for r in told.values() if r.expectation_config.type == kind and _same(r, kwargs)
        )
        same = bool(one.success) == bool(other.success)
        if counted:
            same &= one.result["unexpected_count"] == other.result["unexpected_count"]
            same &= one.result["element_count"] == other.result["element_count"]
        found += [] if same else [kind]
    return found


def _same(one: Any, kwargs: dict[str, Any]) -> bool:
    return all(one.expectation_config.kwargs.get(key) == value for key, value in kwargs.items())


def seconds_of(
    spark: SparkSession, rows: int, repeats: int, forms: Sequence[str]
) -> dict[str, list[float]]:
    """Return the seconds of each contestant, interleaved, after rounds that do not count.

    GX is a contestant in each of *forms*, by the names of FORMS, with one batch a round.
    """
    landed, plain, judged = messages(spark, rows), matches("t", []), matches("t", RULES)
    batches: dict[str, Callable[[], Any]] = {
        "none": lambda: batch(landed, plain),
        "ours": lambda: batch(landed, judged),
    }
    gx: dict[str, Callable[[], Any]] = {
        form: partial(batch, landed, plain, judged_by_gx(FORMS[form])) for form in forms
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*batches, *gx)}
    for number in range(WARM + repeats):
        said: dict[str, Any] = {}
        took: dict[str, list[float]] = {name: [] for name in seconds}
        for contestants in (*[batches] * BATCHES, gx):
            for name, run in contestants.items():
                began = time.perf_counter()
                said[name] = run()
                took[name].append(time.perf_counter() - began)
        for name in gx:
            differ = unequal(said["ours"], said[name], counted=name == "complete")
            if differ:
                raise UnequalError(f"{name} and ours differ in {', '.join(differ)}")
        for name, own in took.items() if number >= WARM else ():
            seconds[name].append(median(own))
    landed.unpersist()
    return seconds


def measure(worker: Worker, report: Report, *, full: bool) -> None:
    """Measure what expectations add to a batch of either size, and report.

    The ratio that bears a name of its own is that of the larger batch, where ours has most to do.
    With *full* also a small batch, and GX that tells no more than success.
    """
    forms = tuple(FORMS) if full else ("complete",)
    for rows in SIZES if full else SIZES[-1:]:
        found = worker.run(seconds_of, rows, report.repeats, forms)
        report.add(
            f"a batch of {rows} rows judged by ten expectations",
            *(Series(name, tuple(own)) for name, own in found.items()),
        )
        added = {
            name: [one - base for one, base in zip(own, found["none"], strict=True)]
            for name, own in found.items()
        }
        report.ratios[f"dq_raw_gx_over_ours_{rows}"] = ratio(added["complete"], added["ours"])
    report.ratios["dq_raw_gx_over_ours"] = report.ratios[f"dq_raw_gx_over_ours_{SIZES[-1]}"]
