"""Rules of rows as Spark columns, made by Great Expectations' own engine.

GX would run several Spark jobs for each suite and batch. Instead its engine is asked once for the
condition of each expectation, on an empty frame of the entity's columns. The conditions become
part of the parse; `lakehouse.audit.expectations` makes GX's results of what is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType, TimestampType

from lakehouse import schemas
from lakehouse.audit import suites
from lakehouse.errors import ConfigError, first_line
from lakehouse.tables import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from great_expectations.execution_engine.sparkdf_execution_engine import (
        SparkDFExecutionEngine,
    )
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from pyspark.sql import Column, DataFrame

    from lakehouse.audit.suites import Rule
    from lakehouse.entities import Entity

# Counts and percentages, and no sample of values: those stay in the tables.
FORMAT = {"result_format": {"result_format": "BASIC", "partial_unexpected_count": 0}}
FRAME = "rows"


@dataclass(frozen=True)
class Condition:
    """A rule of rows as columns over the entity's own.

    `among`: the rows that its row_condition selects. `judged`: those of them that it does not leave
    out for a NULL. `unmet`: those that it does not expect. None of them is ever NULL. `columns` are
    all that it looks at.
    """

    rule: Rule
    among: Column
    judged: Column
    unmet: Column
    columns: tuple[str, ...]
    expected: str


def conditions(spark: SparkSession, entity: Entity) -> tuple[Condition, ...]:
    """Return the rules of rows of *entity*'s suite as columns, in the suite's order.

    They may name the entity's columns, and `_timestamp` and `_landed_at` of the message.

    Raises:
        ConfigError: BAD_SUITE, or BAD_EXPECTATION for one that GX or Spark cannot apply.
    """
    if suites.FILE not in entity.contents:
        return ()
    return _conditions(entity, spark.sparkContext.applicationId)


def check(spark: SparkSession, entity: Entity) -> tuple[Rule, ...]:
    """Return every rule of *entity*'s suite, those of rows proven to be columns.

    Raises:
        ConfigError: as `conditions`.
    """
    conditions(spark, entity)
    return suites.rules(entity, tuple(schemas.columns(spark, entity).fieldNames()))


@lru_cache(maxsize=32)
def _conditions(entity: Entity, application: str) -> tuple[Condition, ...]:  # noqa: ARG001 - part of the key
    spark = SparkSession.active()
    columns = schemas.columns(spark, entity)
    rules = [rule for rule in suites.rules(entity, tuple(columns.fieldNames())) if rule.by_row]
    moments = [StructField(name, TimestampType()) for name in suites.MOMENTS]
    empty = spark.createDataFrame([], StructType([*columns, *moments]))
    if not rules:
        return ()
    engine = _engine(empty)
    file = f"{entity.source}/{suites.FILE}"
    made = tuple(_condition(engine, rule, empty, file) for rule in rules)
    _try(made, _sample(empty), file)
    return made


def _try(made: Sequence[Condition], sample: DataFrame, file: str) -> None:
    """Judge *sample* by what was *made*: all at once, and one by one only to name what breaks.

    What no row can be judged by, such as a pattern that is none, is not seen by Spark's analysis,
    and would stop the stream at its first batch.
    """
    try:
        sample.select(*(one.unmet for one in made)).collect()
    except PySparkException:
        for one in made:
            try:
                sample.select(one.unmet).collect()
            except PySparkException as error:
                raise _unusable(one.rule, file, first_line(error)) from error
        raise


def _unusable(rule: Rule, file: str, reason: str) -> ConfigError:
    return ConfigError(
        "BAD_EXPECTATION",
        file=file,
        expectation=rule.type,
        number=rule.number,
        reason=reason,
    )


def _condition(
    engine: SparkDFExecutionEngine, rule: Rule, empty: DataFrame, file: str
) -> Condition:
    from great_expectations.exceptions.exceptions import GreatExpectationsError

    try:
        made = _from_sql(engine, rule, empty) if rule.where else _from_metric(engine, rule)
        columns = [F.coalesce(one, F.lit(False)) for one in made]
        unusable = (schemas.unusable(empty.sparkSession, empty, one) for one in columns)
        reason = next((said for said in unusable if said), None)
    except (PySparkException, GreatExpectationsError) as error:
        raise _unusable(rule, file, first_line(error)) from error
    if reason:
        raise _unusable(rule, file, reason)
    among, judged, unexpected = columns
    named = rule.columns or schemas.references(empty.select(unexpected))
    return Condition(
        rule, among, among & judged, among & judged & unexpected, named, _expected(rule)
    )


def _sample(empty: DataFrame) -> DataFrame:
    """Return one row with a value in each column of *empty* that is of a simple type."""
    columns = []
    for field in empty.schema:
        texts = ("0", "2000-01-01") if isinstance(field.dataType, schemas.ATOMIC) else (None,)
        values = (F.lit(text).cast(field.dataType) for text in texts)
        columns.append(F.coalesce(*values).alias(field.name))
    return empty.sparkSession.range(1).select(*columns)


def _engine(empty: DataFrame) -> SparkDFExecutionEngine:
    """Return GX's Spark engine over *empty*; `persist=False`, or it would cache every frame.

    On its way to a condition GX counts the rows of the frame, by a Spark job for each expectation.
    They are none, so it is told.
    """
    suites.load_gx()
    from great_expectations.execution_engine.sparkdf_execution_engine import (
        SparkDFExecutionEngine,
    )

    class Empty(SparkDFExecutionEngine):
        def resolve_metric_bundle(self, metric_fn_bundle: Iterable[Any]) -> dict[Any, Any]:
            return {one.metric_configuration.id: 0 for one in metric_fn_bundle}

    engine = Empty(persist=False)
    engine.load_batch_data(FRAME, empty)
    return engine


def _from_metric(engine: SparkDFExecutionEngine, rule: Rule) -> tuple[Column, Column, Column]:
    """Return which rows a map expectation is among, judges and does not expect."""
    expectation: Any = rule.expectation
    needed = expectation.get_validation_dependencies(engine, dict(FORMAT)).metric_configurations
    counted = needed[f"{expectation.map_metric}.unexpected_count"]
    unexpected = _resolve(engine, f"{expectation.map_metric}.condition", counted)
    among = _domain(engine, needed["table.row_count"].metric_domain_kwargs)
    domain = counted.metric_domain_kwargs
    if "column" in domain:
        judged = F.col(quoted(domain["column"])).isNotNull()
        # Of these two alone GX does not leave out what is NULL.
        if expectation.map_metric in {"column_values.nonnull", "column_values.null"}:
            judged = F.lit(True)
        return among, judged, unexpected
    return among, _domain(engine, domain), unexpected


def _from_sql(
    engine: SparkDFExecutionEngine, rule: Rule, empty: DataFrame
) -> tuple[Column, Column, Column]:
    """Return the same for `SELECT * FROM {batch} WHERE ...`, which selects what is not expected."""
    empty.where(str(rule.where))  # says best what is no condition
    (needed, *_) = rule.expectation.get_validation_dependencies(
        engine, dict(FORMAT)
    ).metric_configurations.values()
    return _domain(engine, needed.metric_domain_kwargs), F.lit(True), F.expr(str(rule.where))


def _resolve(engine: SparkDFExecutionEngine, metric: str, like: MetricConfiguration) -> Column:
    """Return the column that *engine* makes of the condition *metric*."""
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.validation_graph import ValidationGraph

    wanted = MetricConfiguration(metric, like.metric_domain_kwargs, like.metric_value_kwargs)
    graph = ValidationGraph(execution_engine=engine)
    graph.build_metric_dependency_graph(metric_configuration=wanted, runtime_configuration={})
    resolved, _ = graph.resolve(
        runtime_configuration={"catch_exceptions": False},
        min_graph_edges_pbar_enable=0,
        show_progress_bars=False,
    )
    condition: Column = resolved[wanted.id][0]
    return condition


class _Filters:
    """Stands for a frame and keeps what it is filtered by, so that GX says which rows it takes."""

    def __init__(self, schema: StructType) -> None:
        self.schema = schema
        self.conditions: list[Column] = []

    def filter(self, condition: Column | str) -> _Filters:
        """Keep *condition*."""
        self.conditions.append(F.expr(condition) if isinstance(condition, str) else condition)
        return self


def _domain(engine: SparkDFExecutionEngine, domain: dict[str, Any]) -> Column:
    """Return the condition by which *engine* selects the rows of *domain*."""
    frames: dict[str, Any] = engine.batch_manager.batch_data_cache
    filters = _Filters(frames[FRAME].dataframe.schema)
    frames["filters"] = SimpleNamespace(dataframe=filters)
    engine.get_domain_records({**domain, "batch_id": "filters"})
    del frames["filters"]
    return reduce(lambda one, other: one & other, filters.conditions, F.lit(True))


def _expected(rule: Rule) -> str:
    """Return what the rule expects, in GX's own words."""
    if rule.where:
        return f"not ({rule.where})"
    plain = rule.expectation.copy(update={"description": None, "rendered_content": None})
    plain.render()
    shown = next(iter(plain.rendered_content or ()), None)
    if shown is None or not shown.value.template:
        return rule.type
    text = shown.value.template
    for name, param in sorted((shown.value.params or {}).items(), key=lambda p: -len(p[0])):
        text = text.replace(f"${name}", str(param["value"]))
    return str(text)
