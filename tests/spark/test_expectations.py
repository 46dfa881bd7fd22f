"""What the row path says of expectations is what Great Expectations itself says of the same rows."""

from __future__ import annotations

import gc
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyspark.sql import functions as F

from lakehouse import checkpoints, entities
from lakehouse.audit import expectations, kinds, suites, validation
from lakehouse.audit.trail import trail
from lakehouse.cli import lakehouse
from lakehouse.entities import from_contents
from lakehouse.errors import ConfigError
from lakehouse.run import Run
from quarantine.reasons import REASONS, Reason
from silver.batch import Batch
from silver.breaker import breaker
from silver.counts import PARTITION, count
from silver.expectations import unmet
from silver.parse import parse
from silver.stream import refine
from tests.conftest import CONF, settings_for
from tests.messages import TOPIC_ID, landed, plant, rows, run_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.entities import Entity
    from lakehouse.settings import Config

# GX says that row conditions as text are on their way out. Suites that have them still run.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*row_condition.*:DeprecationWarning", "ignore:.*condition_parser.*:DeprecationWarning"
)

DDL = (
    "id STRING NOT NULL, i INT, j INT, l BIGINT, x DOUBLE, y DOUBLE, s STRING, u STRING, "
    "d DATE, e DATE, t TIMESTAMP, p DECIMAL(10,2), q DECIMAL(10,2), f BOOLEAN, g BOOLEAN"
)
NAN, INF = float("nan"), float("inf")


def suited(*written: dict[str, Any], ddl: str = DDL, name: str = "things") -> Entity:
    """Return an entity whose suite holds *written*."""
    contents = {
        "entity.toml": f'topic = "esports-{name}"\nkeys = ["id"]',
        "schema.ddl": ddl,
        suites.FILE: json.dumps({"name": name, "expectations": list(written)}),
    }
    return from_contents(name, contents, f"conf/entities/{name}")


def expect(kind: str, severity: str = "warning", **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "severity": severity}


def column(kind: str, name: str, **kwargs: Any) -> dict[str, Any]:
    return expect(f"expect_column_{kind}", column=name, **kwargs)


def pair(kind: str, a: str, b: str, **kwargs: Any) -> dict[str, Any]:
    return expect(f"expect_column_pair_values_{kind}", column_A=a, column_B=b, **kwargs)


def several(kind: str, *names: str, **kwargs: Any) -> dict[str, Any]:
    return expect(f"expect_{kind}", column_list=list(names), **kwargs)


def sql(condition: str) -> dict[str, Any]:
    return expect(kinds.SQL, unexpected_rows_query=f"SELECT * FROM {{batch}} WHERE {condition}")


def where(name: str, operator: str, value: Any) -> dict[str, Any]:
    return {
        "type": "comparison", "column": {"name": name}, "operator": operator, "parameter": value
    }  # fmt: skip


def is_null(name: str, said: bool) -> dict[str, Any]:  # noqa: FBT001
    return {"type": "nullity", "column": {"name": name}, "is_null": said}


# Every form in which GX takes a row_condition.
ROW_CONDITIONS: dict[str, dict[str, Any]] = {
    "compared": {"row_condition": where("s", "==", "live")},
    "less": {"row_condition": where("x", "<", 1.5)},
    "among": {"row_condition": where("s", "IN", ["live", "Ünï ✓"])},
    "not among": {"row_condition": where("i", "NOT_IN", [1, 2])},
    "null": {"row_condition": is_null("u", True)},
    "not null": {"row_condition": is_null("u", False)},
    "and": {
        "row_condition": {
            "type": "and",
            "conditions": [where("i", ">=", 0), is_null("s", False)],
        }
    },
    "or": {
        "row_condition": {"type": "or", "conditions": [where("i", ">", 5), is_null("i", True)]}
    },
    "passed through": {
        "row_condition": {"type": "pass_through", "pass_through_filter": "i % 2 = 0 OR f"}
    },
    "spark": {"row_condition": "i > 0 AND s IS NOT NULL", "condition_parser": "spark"},
    "gx": {"row_condition": 'col("i") > 0', "condition_parser": "great_expectations"},
    "gx not null": {
        "row_condition": 'col("s").notNull()', "condition_parser": "great_expectations"
    },
}  # fmt: skip

BETWEEN, IN_SET, NOT_IN_SET = "values_to_be_between", "values_to_be_in_set", "values_to_not_be_in_set"
A_GREATER, PAIR_EQUAL, PAIR_IN_SET = "a_to_be_greater_than_b", "to_be_equal", "to_be_in_set"
SUM, ALIKE = "multicolumn_sum_to_equal", "multicolumn_values_to_be_equal"
UNIQUE = "select_column_values_to_be_unique_within_record"
PAIR_IGNORED = ("both_values_are_missing", "either_value_is_missing", "neither")
LIST_IGNORED = ("all_values_are_missing", "any_value_is_missing", "never")

CASES: list[dict[str, Any]] = [
    column(BETWEEN, "i", min_value=0, max_value=10),
    column(BETWEEN, "i", min_value=0, max_value=10, strict_min=True),
    column(BETWEEN, "i", min_value=0, max_value=10, strict_max=True),
    column(BETWEEN, "i", min_value=0, max_value=10, strict_min=True, strict_max=True),
    column(BETWEEN, "i", min_value=1),
    column(BETWEEN, "i", max_value=1, strict_max=True),
    column(BETWEEN, "i", min_value=0.5, max_value=1.5),
    column(BETWEEN, "i", min_value=0, max_value=10, mostly=0.5),
    column(BETWEEN, "i", min_value=0, max_value=10, mostly=0),
    column(BETWEEN, "l", min_value=-(2**63) + 1, max_value=2**53 + 1),
    column(BETWEEN, "x", min_value=0, max_value=1),
    column(BETWEEN, "x", min_value=-1.5, strict_min=True, mostly=0.6),
    column(BETWEEN, "p", min_value=0, max_value=9.99),
    column(BETWEEN, "p", max_value=9.99, strict_max=True),
    column(BETWEEN, "d", min_value="2026-01-01", max_value="2026-12-31"),
    column(BETWEEN, "t", min_value="2026-01-31T10:00:00", strict_min=True),
    column(BETWEEN, "t", max_value="2026-01-31 10:00:00+00:00"),
    column(BETWEEN, "_landed_at", min_value="2026-01-01"),
    column(IN_SET, "s", value_set=["live", "Ünï ✓"]),
    column(IN_SET, "s", value_set=["LIVE"]),
    column(IN_SET, "s", value_set=["live", None]),
    column(IN_SET, "s", value_set=[]),
    column(IN_SET, "s", value_set=[1, 2]),
    column(IN_SET, "i", value_set=[0, 1, 10]),
    column(IN_SET, "i", value_set=["0", "1"]),
    column(IN_SET, "x", value_set=[0.0, 1.0]),
    column(IN_SET, "p", value_set=[9.99, 0]),
    column(IN_SET, "d", value_set=["2026-01-01"]),
    column(IN_SET, "f", value_set=[True]),
    column(IN_SET, "s", value_set=["live"], mostly=0.25),
    column(NOT_IN_SET, "s", value_set=["live", "Ünï ✓"]),
    column(NOT_IN_SET, "s", value_set=["x", None]),
    column(NOT_IN_SET, "i", value_set=[0, 10]),
    column(NOT_IN_SET, "f", value_set=[False]),
    column("values_to_be_null", "s"),
    column("values_to_be_null", "x", mostly=0.2),
    column("values_to_not_be_null", "s"),
    column("values_to_not_be_null", "x"),
    column("values_to_not_be_null", "d", mostly=0.5),
    column("value_lengths_to_be_between", "s", min_value=1, max_value=4),
    column("value_lengths_to_be_between", "s", min_value=0, strict_min=True),
    column("value_lengths_to_be_between", "s", max_value=5, strict_max=True, mostly=0.5),
    column("value_lengths_to_be_between", "i", min_value=2),
    column("value_lengths_to_equal", "s", value=4),
    column("value_lengths_to_equal", "s", value=5, mostly=0.3),
    column("values_to_match_regex", "s", regex="^[a-z]+$"),
    column("values_to_match_regex", "s", regex="(?i)^LIVE$"),
    column("values_to_match_regex", "s", regex="✓", mostly=0.1),
    column("values_to_match_regex", "i", regex="^1"),
    column("values_to_not_match_regex", "s", regex="^[A-Z]"),
    column("values_to_not_match_regex", "u", regex="e$", mostly=0.5),
    column("values_to_match_regex_list", "s", regex_list=["^l", "✓$"], match_on="any"),
    column("values_to_match_regex_list", "s", regex_list=["^l", "e$"], match_on="all"),
    column("values_to_match_regex_list", "s", regex_list=["^l", "e$"]),
    column("values_to_not_match_regex_list", "s", regex_list=["^l", "✓$"]),
    *(pair(A_GREATER, "i", "j", or_equal=equal, ignore_row_if=ignored)
      for equal in (True, False) for ignored in PAIR_IGNORED),
    pair(A_GREATER, "x", "y"),
    pair(A_GREATER, "d", "e", or_equal=True, mostly=0.5),
    pair(A_GREATER, "p", "i"),
    pair(A_GREATER, "_landed_at", "t"),
    *(pair(PAIR_EQUAL, "i", "j", ignore_row_if=ignored) for ignored in PAIR_IGNORED),
    pair(PAIR_EQUAL, "x", "y", mostly=0.4),
    pair(PAIR_EQUAL, "s", "u"),
    pair(PAIR_EQUAL, "f", "g"),
    *(pair(PAIR_IN_SET, "s", "i", value_pairs_set=[["live", 1], ["Ünï ✓", None]],
           ignore_row_if=ignored) for ignored in PAIR_IGNORED),
    pair(PAIR_IN_SET, "f", "g", value_pairs_set=[[True, False]], mostly=0.3),
    *(several(SUM, "i", "j", sum_total=11, ignore_row_if=ignored) for ignored in LIST_IGNORED),
    several(SUM, "x", "y", sum_total=1.5),
    several(SUM, "p", "q", sum_total=10, mostly=0.5),
    several(SUM, "l", "i", sum_total=2**31),
    *(several(ALIKE, "i", "j", "l", ignore_row_if=ignored) for ignored in LIST_IGNORED),
    several(ALIKE, "s", "u", mostly=0.5),
    *(several(UNIQUE, "i", "j", "l", ignore_row_if=ignored) for ignored in LIST_IGNORED),
    several(UNIQUE, "x", "y", mostly=0.5),
    sql("i > j"),
    sql("x > 1 OR s = 'live'"),
    sql("i / j > 1"),
    sql("t > _landed_at - INTERVAL 1 DAY;"),
    sql("_timestamp > _landed_at"),
    sql("length(s) > 4 AND NOT f"),
    *(column(BETWEEN, "i", min_value=1, max_value=10, mostly=0.5, **form)
      for form in ROW_CONDITIONS.values()),
    column("values_to_not_be_null", "s", **ROW_CONDITIONS["null"]),
    column("values_to_be_null", "i", **ROW_CONDITIONS["spark"]),
    pair(A_GREATER, "i", "j", **ROW_CONDITIONS["compared"]),
    pair(PAIR_EQUAL, "i", "j", ignore_row_if="either_value_is_missing", **ROW_CONDITIONS["or"]),
    several(SUM, "i", "j", sum_total=11, **ROW_CONDITIONS["passed through"]),
    several(ALIKE, "i", "j", **ROW_CONDITIONS["gx"]),
    several(UNIQUE, "i", "j", ignore_row_if="never", **ROW_CONDITIONS["and"]),
]  # fmt: skip
for _number, _case in enumerate(CASES):
    _case["meta"] = {"name": f"case {_number}"}

NAMES = [part.split()[0] for part in DDL.split(", ")]
KINDS = {
    "id": pa.string(), "i": pa.int32(), "j": pa.int32(), "l": pa.int64(), "x": pa.float64(),
    "y": pa.float64(), "s": pa.string(), "u": pa.string(), "d": pa.date32(), "e": pa.date32(),
    "t": pa.timestamp("us", "UTC"), "p": pa.decimal128(10, 2), "q": pa.decimal128(10, 2),
    "f": pa.bool_(), "g": pa.bool_(), "_timestamp": pa.timestamp("us", "UTC"),
    "_landed_at": pa.timestamp("us", "UTC"),
}  # fmt: skip
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
TEN = datetime(2026, 1, 31, 10, tzinfo=UTC)
NEW_YEAR, LAST_DAY = date(2026, 1, 1), date(2026, 12, 31)
CENT = Decimal("0.01")
# In the order of the DDL, without the id.
DATASETS: dict[str, list[tuple[Any, ...]]] = {
    "ordinary, with NULLs": [
        (1, 2, 3, 0.5, 1.0, "live", "live", NEW_YEAR, LAST_DAY, TEN, 5 + CENT, 5 - CENT, True, True),
        (2, 2, 2, 1.5, 0.0, "dead", "Live", LAST_DAY, NEW_YEAR, NOON, 5 + CENT, 5 + CENT, True, False),
        (None, 4, 4, None, 1.5, None, "x", None, NEW_YEAR, None, None, 10 + 0 * CENT, None, False),
        (5, None, 6, 2.5, None, "x", None, NEW_YEAR, None, NOON, 3 + CENT, None, False, None),
        (6, 5, None, 0.75, 0.75, "gone", "gone", date(2025, 12, 31), NEW_YEAR, TEN, CENT, CENT, False,
         False),
        (None,) * 14,
    ],
    "edges: bounds hit, NaN, infinity, unicode, case": [
        (0, 11, 2**53 + 1, NAN, NAN, "Ünï ✓", "ünï ✓", NEW_YEAR, NEW_YEAR, TEN, 10 - CENT, CENT, True,
         False),
        (10, 1, -(2**63), INF, INF, "LIVE", "live", LAST_DAY, LAST_DAY, TEN, -CENT, CENT, False, True),
        (-1, 12, 2**63 - 1, -INF, INF, "", "", date(1, 1, 1), date(9999, 12, 31), NOON, 10 - CENT,
         10 - CENT, None, None),
        (11, 0, 2**31 - 11, 0.0, -0.0, "live\n", "li've", date(9999, 12, 31), date(1, 1, 1),
         datetime(1970, 1, 1, tzinfo=UTC), Decimal("99999999.99"), Decimal("-99999999.99"), True,
         True),
        (2**31 - 1, -(2**31), 1, 1.0, 0.5, "𝔩ive", "𝔩ive", NEW_YEAR, None, None, 0 * CENT, None, True,
         False),
        (1, 1, 1, 1e308, 1e308, "live", "live", None, None, None, None, None, None, True),
    ],
    "all NULL": [(None,) * 14] * 3,
    "empty": [],
}  # fmt: skip


def frame(spark: SparkSession, values: Sequence[tuple[Any, ...]]) -> DataFrame:
    """Return *values* as parsed rows, with the moments of their messages."""
    whole = [(str(i), *row, TEN, NOON) for i, row in enumerate(values)]
    table = pa.table(
        {
            name: pa.array([row[i] for row in whole], kind)
            for i, (name, kind) in enumerate(KINDS.items())
        }
    )
    # Arrow, because rows of Python objects would start Python workers for each table.
    return spark.createDataFrame(table).coalesce(1)


def ours(rows_: DataFrame, entity: Entity) -> dict[str, dict[str, Any]]:
    """Return GX's results as the row path makes them, counted as a batch is counted."""
    rules = expectations.conditions(rows_.sparkSession, entity)
    triaged = rows_.withColumns(
        {name: F.lit("t" if name != "_partition" else 0) for name in PARTITION}
        | {"_offset": F.lit(0), "_reasons": F.array().cast(REASONS), "_unmet": unmet(rules)}
    )
    found = expectations.results(rules, count(triaged, entity).tallies)
    return {rule.rule.name: facts(one) for rule, one in zip(rules, found, strict=True)}


def raw(rows_: DataFrame, entity: Entity) -> dict[str, dict[str, Any]]:
    """Return what GX itself says of *rows_*, by all rules of rows of the suite."""
    from great_expectations.core.expectation_suite import ExpectationSuite

    rules = [
        rule
        for rule in suites.rules(entity, tuple(c for c in rows_.columns if c not in suites.MOMENTS))
        if rule.by_row
    ]
    named = [rule.expectation.copy(update={"meta": {"name": rule.name}}) for rule in rules]
    with validation._views_dropped(rows_.sparkSession):
        context = validation._context()
        source = context.data_sources.add_or_update_spark("raw", persist=False)
        asset = source.add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows_})
        judged = batch.validate(
            ExpectationSuite(name="raw", expectations=named),
            result_format=expectations.FORMAT["result_format"],
        )
    return {one.expectation_config.meta["name"]: facts(one) for one in judged.results}


def facts(result: Any) -> dict[str, Any]:
    """Return success and every count and percentage of a result; what GX raised, where it did."""
    said = result.to_json_dict()
    info = said.get("exception_info") or {}
    several_ = info.values() if all(isinstance(one, dict) for one in info.values()) else [info]
    raised = [one["exception_message"] for one in several_ if one.get("raised_exception")]
    figures = {k: v for k, v in said["result"].items() if k != "partial_unexpected_list"}
    return {"success": said["success"], **figures, **({"raised": raised} if raised else {})}


@lru_cache(maxsize=1)
def things() -> Entity:
    return suited(*CASES)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_row_path_says_what_gx_says(spark: SparkSession, dataset: str) -> None:
    rows_ = frame(spark, DATASETS[dataset]).cache()
    try:
        mine, theirs = ours(rows_, things()), raw(rows_, things())
    finally:
        rows_.unpersist()
    assert mine.keys() == theirs.keys()
    differ = {
        json.dumps({**case["kwargs"], "type": case["type"]}): (mine[name], theirs[name])
        for case in CASES
        if mine[name := case["meta"]["name"]] != theirs[name]
    }
    assert differ == {}
