"""What the row path says of expectations is what GX itself says of the same rows."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from lakehouse import entities, schemas
from lakehouse.audit import conditions, expectations, kinds, suites, validation
from lakehouse.audit.trail import trail
from lakehouse.entities import from_contents
from lakehouse.errors import ConfigError
from lakehouse.run import Run
from quarantine.reasons import Reason
from quarantine.table import REASONS
from silver.counts import PARTITION, count
from silver.expectations import unmet
from silver.parse import parse
from silver.triage import triage
from tests.conftest import CONF
from tests.messages import judged, landed, plant, rows, run_once

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

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

BETWEEN, IN_SET, NOT_IN_SET = (
    "values_to_be_between",
    "values_to_be_in_set",
    "values_to_not_be_in_set",
)
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
        (1, 2, 3, 0.5, 1.0, "live", "live", NEW_YEAR, LAST_DAY, TEN, 5 + CENT, 5 - CENT, True,
         True),
        (2, 2, 2, 1.5, 0.0, "dead", "Live", LAST_DAY, NEW_YEAR, NOON, 5 + CENT, 5 + CENT, True,
         False),
        (None, 4, 4, None, 1.5, None, "x", None, NEW_YEAR, None, None, 10 + 0 * CENT, None, False),
        (5, None, 6, 2.5, None, "x", None, NEW_YEAR, None, NOON, 3 + CENT, None, False, None),
        (6, 5, None, 0.75, 0.75, "gone", "gone", date(2025, 12, 31), NEW_YEAR, TEN, CENT, CENT,
         False, False),
        (None,) * 14,
    ],
    "edges: bounds hit, NaN, infinity, unicode, case": [
        (0, 11, 2**53 + 1, NAN, NAN, "Ünï ✓", "ünï ✓", NEW_YEAR, NEW_YEAR, TEN, 10 - CENT, CENT,
         True, False),
        (10, 1, -(2**63), INF, INF, "LIVE", "live", LAST_DAY, LAST_DAY, TEN, -CENT, CENT, False,
         True),
        (-1, 12, 2**63 - 1, -INF, INF, "", "", date(1, 1, 1), date(9999, 12, 31), NOON, 10 - CENT,
         10 - CENT, None, None),
        (11, 0, 2**31 - 11, 0.0, -0.0, "live\n", "li've", date(9999, 12, 31), date(1, 1, 1),
         datetime(1970, 1, 1, tzinfo=UTC), Decimal("99999999.99"), Decimal("-99999999.99"), True,
         True),
        (2**31 - 1, -(2**31), 1, 1.0, 0.5, "𝔩ive", "𝔩ive", NEW_YEAR, None, None, 0 * CENT, None,
         True, False),
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
    rules = conditions.conditions(rows_.sparkSession, entity)
    triaged = rows_.withColumns(
        {name: F.lit("t" if name != "_partition" else 0) for name in PARTITION}
        | {"_offset": F.lit(0), "_reasons": F.array().cast(REASONS), "_unmet": unmet(rules)}
    )
    found = expectations.results(rules, count(triaged, entity).tallies)
    return {rule.rule.name: facts(one) for rule, one in zip(rules, found, strict=True)}


def raw(
    rows_: DataFrame, entity: Entity, only: Container[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return what GX itself says of *rows_*, by all rules of rows of the suite, or *only* some."""
    from great_expectations.core.expectation_suite import ExpectationSuite

    rules = [
        rule
        for rule in suites.rules(entity, tuple(c for c in rows_.columns if c not in suites.MOMENTS))
        if rule.by_row and (only is None or rule.name in only)
    ]
    named = [rule.expectation.copy(update={"meta": {"name": rule.name}}) for rule in rules]
    with validation._views_dropped(rows_.sparkSession):
        context = validation._context()
        source = context.data_sources.add_or_update_spark("raw", persist=False)
        asset = source.add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows_})
        judged = batch.validate(
            ExpectationSuite(name="raw", expectations=named),
            result_format=conditions.FORMAT["result_format"],
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


def kind_of(case: dict[str, Any]) -> tuple[Any, ...]:
    kwargs = case["kwargs"]
    return case["type"], kwargs.get("ignore_row_if"), "row_condition" in kwargs


# Where a column holds nothing, bounds and words do not matter: one case of each kind is enough.
KINDS_OF_CASES = list({kind_of(case): case for case in CASES}.values())


@pytest.mark.parametrize(
    ("dataset", "cases"),
    [
        ("ordinary, with NULLs", CASES),
        ("edges: bounds hit, NaN, infinity, unicode, case", CASES),
        ("all NULL", KINDS_OF_CASES),
        ("empty", KINDS_OF_CASES),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_row_path_says_what_gx_says(
    spark: SparkSession, dataset: str, cases: list[dict[str, Any]]
) -> None:
    names = {case["meta"]["name"] for case in cases}
    rows_ = frame(spark, DATASETS[dataset]).cache()
    try:
        mine, theirs = ours(rows_, suited(*CASES)), raw(rows_, suited(*CASES), names)
    finally:
        rows_.unpersist()
    assert theirs.keys() == names <= mine.keys()
    differ = {
        json.dumps({**case["kwargs"], "type": case["type"]}): (mine[name], theirs[name])
        for case in cases
        if mine[name := case["meta"]["name"]] != theirs[name]
    }
    assert differ == {}
    if dataset.startswith("ordinary"):
        # Were every rule met, or none, equality would say little.
        assert sum(one["success"] for one in mine.values()) in range(20, len(cases) - 20)


def test_each_type_that_is_judged_by_row_is_compared() -> None:
    assert {case["type"] for case in CASES} == {*kinds.ROW, kinds.SQL}


# Refused where raw GX, too, would raise or err, or where a row could not be judged alone


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (column(BETWEEN, "s", min_value=1), "type StringType()"),
        (column(BETWEEN, "f", min_value=0), "type BooleanType()"),
        (column(BETWEEN, "d", min_value=1), "DATATYPE_MISMATCH"),
        (column(BETWEEN, "i", min_value=2, max_value=1), "cannot be greater than max_value"),
        (column(IN_SET, "i", value_set=[True]), "DATATYPE_MISMATCH"),
        (pair(A_GREATER, "d", "i"), "DATATYPE_MISMATCH"),
        (pair(PAIR_IN_SET, "s", "i", value_pairs_set=[]), "empty"),
        (several(SUM, "d", "i", sum_total=1), "DATATYPE_MISMATCH"),
        (several(UNIQUE, "i", "j", ignore_row_if="maybe"), "maybe"),
        (column("values_to_match_regex", "s", regex="["), "PATTERN"),
        (column("values_to_match_regex_list", "s", regex_list=["a", "["]), "PATTERN"),
        (column("values_to_be_null", "s", row_condition=where("no", "==", 1)), "`no`"),
        (
            column("values_to_be_null", "s", row_condition="rand() > 0", condition_parser="spark"),
            "not deterministic",
        ),
        (
            column(
                "values_to_be_null",
                "s",
                row_condition="col('i') >",
                condition_parser="great_expectations",
            ),
            "unable to parse",
        ),
        (sql("no = 1"), "`no`"),
        (sql("i"), "not a boolean"),
        (sql("i = 1 ORDER BY i"), "ORDER"),
        (sql("rand() > 0.5"), "not deterministic"),
        (sql("t > current_timestamp()"), "when or where"),
        (sql("count(*) > 1"), "INVALID_WHERE_CONDITION"),
        (sql("max(i) OVER () = 1"), "window functions"),
        (sql("i IN (SELECT 1)"), "subquery"),
        (sql("s RLIKE '['"), "PATTERN"),
    ],
)
def test_what_no_row_can_be_judged_by_is_refused_before_a_stream_starts(
    spark: SparkSession, written: dict[str, Any], reason: str
) -> None:
    met = column("values_to_not_be_null", "id")
    with pytest.raises(ConfigError) as refused:
        conditions.check(spark, suited(met, written))
    said = refused.value.params
    assert refused.value.code == "BAD_EXPECTATION"
    assert (said["file"], said["number"]) == ("conf/entities/things/expectations.json", 2)
    assert said["expectation"] == written["type"]
    assert reason in str(said["reason"])


# The lists of types are GX's own


def test_each_type_of_gx_is_in_exactly_one_list() -> None:
    suites.load_gx()
    from great_expectations.expectations.registry import list_registered_expectation_implementations

    lists = [kinds.ROW, kinds.TABLE, {kinds.SQL}, kinds.REFUSED.keys()]
    listed = [kind for one in lists for kind in one]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(list_registered_expectation_implementations())
    assert kinds.UNCONDITIONAL <= kinds.ROW


@pytest.mark.parametrize("kind", kinds.REFUSED)
def test_each_type_is_refused_for_what_is_so(spark: SparkSession, kind: str) -> None:
    suites.load_gx()
    from great_expectations.expectations import registry
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    reason = kinds.REFUSED[kind]
    implementation: Any = registry.get_expectation_impl(kind)
    if reason == kinds._ELSEWHERE:
        assert {"other_table_name", "comparison_query"} & set(implementation.__fields__)
        return
    metric = registry._registered_metrics[f"{implementation.map_metric}.condition"]
    assert ("SparkDFExecutionEngine" in metric["providers"]) == (reason != kinds._NO_SPARK)
    if reason == kinds._NO_SPARK:
        return
    empty = frame(spark, [])
    arguments = {"strftime_format": "%Y", "json_schema": {"type": "object"}}
    taken = {name: arguments[name] for name in arguments if name in implementation.__fields__}
    made = ExpectationConfiguration(type=kind, kwargs={"column": "s", **taken}).to_domain_obj()
    rule: Any = SimpleNamespace(expectation=made)
    *_, unexpected = conditions._from_metric(conditions._engine(empty), rule)
    if reason == kinds._PYTHON:
        plan: Any = frame(spark, [(None,) * 14]).select(unexpected)._jdf.queryExecution()
        assert "EvalPython" in plan.executedPlan().toString()
    else:
        assert reason == kinds._ORDER
        assert "one row alone" in str(schemas.unusable(spark, empty, unexpected))


# What a stream records of a batch is what GX says of that batch

MATCH = {
    "match_id": "m", "status": "finished", "match_type": "best_of", "team_1_id": "x",
    "team_2_id": "y", "winner_id": "x", "team_1_towers": 11, "team_2_towers": 0,
    "team_1_kills": 3, "team_2_kills": 0, "team_1_gold": 9000, "team_2_gold": 0,
    "match_duration": 1800, "game_number": 1, "started_at": "2026-01-31T09:00:00Z",
    "finished_at": "2026-01-31T09:40:00Z", "ingestion_timestamp": 1769853600000,
}  # fmt: skip
PLAYER = {
    "player_id": "p", "role": "Mid", "total_games": 10, "total_wins": 6, "total_losses": 4,
    "win_rate": 0.6, "avg_kills": 1.0, "avg_deaths": 0.0, "avg_assists": 2.0, "kda_ratio": 3.0,
    "avg_cs_per_min": 7.5, "avg_gold_per_min": 400.0, "recent_form": "WWLWL",
    "last_match_date": "2026-01-30T10:00:00Z", "profile_updated_at": "2026-01-31T10:00:00Z",
}  # fmt: skip
FUTURE = "2999-01-01T00:00:00Z"
# What of a sound message has to change that a rule is not met, by the rule's name.
BREAKS: dict[str, dict[str, dict[str, Any]]] = {
    "matches": {
        "match_id_is_not_empty": {"match_id": ""},
        "status_is_known": {"status": "Finished"},
        "match_type_is_known": {"match_type": "final"},
        "team_1_towers_in_range": {"team_1_towers": 12},
        "team_2_towers_in_range": {"team_2_towers": -1},
        "team_1_kills_not_negative": {"team_1_kills": -1},
        "team_2_kills_not_negative": {"team_2_kills": -1},
        "team_1_gold_not_negative": {"team_1_gold": -1},
        "team_2_gold_not_negative": {"team_2_gold": -1},
        "duration_not_negative": {"match_duration": -1},
        "duration_is_plausible": {"match_duration": 1800000},
        "game_number_in_series": {"game_number": 0},
        "finish_after_start": {"finished_at": "2026-01-31T08:59:59Z"},
        "duration_fits_its_times": {"match_duration": 2500},
        "winner_played": {"winner_id": "z"},
        "teams_differ": {"team_2_id": "x"},
        "finished_has_a_winner": {"winner_id": None},
        "sequence_not_in_future": {"ingestion_timestamp": 32472144000000},
        "sequence_is_in_milliseconds": {"ingestion_timestamp": 1769853600},
    },
    "players": {
        "player_id_is_not_empty": {"player_id": ""},
        "role_is_known": {"role": "mid"},
        "total_games_not_negative": {"total_games": -1},
        "total_wins_not_negative": {"total_wins": -1},
        "total_losses_not_negative": {"total_losses": -1},
        "results_within_games": {"total_wins": 7},
        "win_rate_in_range": {"win_rate": 60.0},
        "win_rate_fits_wins": {"win_rate": 0.62},
        "avg_kills_not_negative": {"avg_kills": -0.1},
        "avg_deaths_not_negative": {"avg_deaths": -0.1},
        "avg_assists_not_negative": {"avg_assists": -0.1},
        "kda_ratio_not_negative": {"kda_ratio": -0.1},
        "avg_cs_per_min_not_negative": {"avg_cs_per_min": -0.1},
        "avg_gold_per_min_not_negative": {"avg_gold_per_min": -0.1},
        "recent_form_is_wins_and_losses": {"recent_form": "WWX"},
        "last_match_not_in_future": {"last_match_date": FUTURE},
        "sequence_not_in_future": {"profile_updated_at": FUTURE},
    },
}
SOUND = {"matches": MATCH, "players": PLAYER}


def shipped(name: str) -> Entity:
    return entities.load(CONF / "entities" / name)


@pytest.mark.parametrize("name", SOUND)
def test_each_shipped_rule_of_rows_is_met_by_one_message_and_not_by_another(
    spark: SparkSession, name: str
) -> None:
    entity, breaks = shipped(name), BREAKS[name]
    by_row = [rule.name for rule in conditions.check(spark, entity) if rule.by_row]
    assert list(breaks) == by_row

    sound, *broken = judged(
        spark, [SOUND[name], *(SOUND[name] | b for b in breaks.values())], entity
    )
    assert (sound["_unmet"], sound["_reasons"]) == ([0], [])
    for number, (rule, row) in enumerate(zip(breaks, broken, strict=True)):
        assert row["_unmet"][0] >> number & 1, rule
    tallies = count(
        triage(parse(landed(spark, [SOUND[name]]), entity), entity), entity
    ).tallies  # met because judged, not because left out
    assert [(one.judged, one.unmet) for one in tallies] == [(1, 0)] * len(by_row)


@pytest.mark.parametrize("name", SOUND)
def test_each_shipped_rule_has_a_severity_and_says_why_in_a_sentence(
    spark: SparkSession, name: str
) -> None:
    for rule in conditions.check(spark, shipped(name)):
        assert rule.severity in suites.SEVERITIES
        assert rule.meaning[:1].isupper(), rule.name
        assert rule.meaning.endswith("."), rule.name


def test_what_a_commit_says_of_a_batch_is_what_gx_says_of_its_rows(
    spark: SparkSession, config: Config
) -> None:
    both = [shipped(name) for name in SOUND]
    lake = Run(config).lake
    batches: dict[str, list[list[Any]]] = {}
    for name, sound in SOUND.items():
        broken = [sound | change for change in BREAKS[name].values()]
        key = shipped(name).keys[0]
        other = ["junk", "[1]", {}, {key: "only"}, {key: None}, {**sound, key: {"a": 1}}]
        wrong = {"matches": {"team_1_towers": "many"}, "players": {"win_rate": "high"}}[name]
        batches[name] = [
            [sound, *broken[::2], *other],
            [sound | wrong, *broken[1::2], *broken[:2], "", {key: "again"}],
        ]
    for number in (0, 1):
        for entity in both:
            first = len(batches[entity.name][0]) * number
            plant(spark, lake, entity, batches[entity.name][number], first)
        run_once(spark, config, both, "silver")

    for entity in both:
        commits = trail(spark, lake.table("silver", entity.name), lake)
        told = {one.batch_id: one.facts["expectations"] for one in commits if one.facts}
        assert told.keys() == {0, 1}
        for number in (0, 1):
            size = len(batches[entity.name][0])
            bronze = lake.table("bronze", entity.name).read(spark)
            own = bronze.where(f"offset {'>=' if number else '<'} {size}")
            theirs = raw(as_gx_reads(parse(own, entity).where("_sound")), entity)
            assert told[number]["suite"] == entity.suite
            assert told[number]["rules"].keys() == theirs.keys()
            assert told[number]["success"] == all(one["success"] for one in theirs.values())
            unmet_by = sum(one["unexpected"] > 0 for one in told[number]["rules"].values())
            assert unmet_by >= len(theirs) // 2
            for rule, mine in told[number]["rules"].items():
                raw_one = theirs[rule]
                assert mine["success"] == raw_one["success"], rule
                if "observed_value" in raw_one:
                    assert mine["unexpected"] == raw_one["observed_value"], rule
                    continue
                assert mine["rows"] == raw_one["element_count"], rule
                missing = raw_one.get("missing_count", 0)
                assert mine["judged"] == raw_one["element_count"] - missing, rule
                assert mine["unexpected"] == raw_one["unexpected_count"], rule


def as_gx_reads(parsed: DataFrame) -> DataFrame:
    """Return *parsed* with the moments of its messages, as plain rows: GX asks for them often."""
    moments = {"_timestamp": "_message.timestamp", "_landed_at": "_message._landed_at"}
    columns = {name: F.col(path) for name, path in moments.items()}
    working = ("_message", "_readable", "_sound", "_mistyped", "_wire")
    plain = parsed.withColumns(columns).drop(*working).toArrow()
    return parsed.sparkSession.createDataFrame(plain).coalesce(1)


# What becomes of a row that does not meet a rule


def reasons(spark: SparkSession, value: Any, *written: dict[str, Any]) -> list[dict[str, Any]]:
    (row,) = judged(spark, [value], suited(*written))
    return [one.asDict() for one in row["_reasons"]]


def named(name: str, written: dict[str, Any], severity: str = "critical") -> dict[str, Any]:
    return {**written, "severity": severity, "meta": {"name": name}}


def test_a_critical_rule_refuses_a_row_and_says_by_what_it_was_judged(spark: SparkSession) -> None:
    said = reasons(
        spark,
        {"id": "a", "i": 12, "s": 'x "y"'},
        named("in range", column(BETWEEN, "i", min_value=0, max_value=11)),
        named("there", column("values_to_not_be_null", "u")),
        named("known", column(IN_SET, "s", value_set=["live"])),
        named("greater", pair(A_GREATER, "i", "j", ignore_row_if="neither", or_equal=True)),
        named("alike", several(ALIKE, "i", "j")),
        named("small", sql("i > 10 AND u IS NULL")),
        named("met", column(BETWEEN, "i", min_value=12)),
    )
    assert {one["code"] for one in said} == {Reason.EXPECTATION_FAILED}
    assert [(one["rule"], one["column"], one["got"]) for one in said] == [
        ("in range", "i", "12"),
        ("there", "u", "null"),
        ("known", "s", '"x \\"y\\""'),
        ("alike", "i, j", '{"i":12,"j":null}'),
        ("small", "i, u", '{"i":12,"u":null}'),
    ]
    assert [one["expected"] for one in said] == [
        "i values must be greater than or equal to 0.0 and less than or equal to 11.0.",
        "u values must never be null.",
        "s values must belong to this set: live.",
        "Values across columns i j must be equal.",
        "not (i > 10 AND u IS NULL)",
    ]


def test_warnings_and_infos_count_and_the_row_lands(spark: SparkSession) -> None:
    suite = [
        named("no more", column(BETWEEN, "i", max_value=1), "warning"),
        named("mostly", column(BETWEEN, "i", max_value=1, mostly=0.5), "warning"),
        named("there", column("values_to_not_be_null", "s"), "info"),
    ]
    entity = suited(*suite)
    triaged = triage(
        parse(landed(spark, [{"id": "a", "i": 2}, {"id": "b", "i": 1}]), entity), entity
    )
    found = count(triaged, entity)
    assert (found.rows.valid, found.rows.quarantined) == (2, 0)
    assert [(one.rows, one.judged, one.unmet) for one in found.tallies] == [
        (2, 2, 1),
        (2, 2, 1),
        (2, 2, 2),
    ]
    rules = conditions.conditions(spark, entity)
    assert [one.success for one in expectations.results(rules, found.tallies)] == [
        False,
        True,
        False,
    ]


def test_a_column_that_could_not_be_read_gets_no_second_reason(spark: SparkSession) -> None:
    suite = [
        named("there", column("values_to_not_be_null", "i")),
        named("alike", several(ALIKE, "i", "j")),
        named("sql", sql("i IS NULL")),
        named("other", column("values_to_not_be_null", "u")),
    ]
    said = reasons(spark, {"id": "a", "i": "many", "j": 1}, *suite)
    assert [(one["code"], one["column"], one["rule"]) for one in said] == [
        (Reason.WRONG_TYPE, "i", None),
        (Reason.EXPECTATION_FAILED, "u", "other"),
    ]


def test_a_message_with_little_in_it_lands_with_the_shipped_suite(
    spark: SparkSession, config: Config
) -> None:
    matches, lake = shipped("matches"), Run(config).lake
    refused = {"match_id": "002", "team_1_towers": 12}
    plant(spark, lake, matches, [{"match_id": "001", "status": "finished"}, refused])
    run_once(spark, config, [matches], "silver")
    assert [row["match_id"] for row in rows(spark, lake, "silver", "matches")] == ["001"]
    (row,) = rows(spark, lake, "quarantine", "matches")
    (said,) = row["reasons"]
    assert (said["rule"], said["got"]) == ("team_1_towers_in_range", "12")
