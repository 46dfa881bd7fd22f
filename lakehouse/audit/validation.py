"""Expectations of a whole table, checked by Great Expectations on one committed version of it."""

from __future__ import annotations

import json
import threading
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lakehouse import schemas, tables
from lakehouse.audit import suites

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from great_expectations.core.expectation_validation_result import ExpectationValidationResult
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.audit.suites import Rule
    from lakehouse.entities import Entity
    from lakehouse.tables import Lake, Table

VALIDATIONS = (
    "version LONG, suite STRING, at TIMESTAMP, rule STRING, severity STRING, success BOOLEAN, "
    "error STRING, observed STRING, result STRING"
)
SITE = "lakehouse"
# One context serves the process, and GX changes what is global in it.
ALONE = threading.Lock()


@dataclass(frozen=True)
class Finding:
    """What GX found of one expectation.

    `success` is None, and `error` says why, where GX could not evaluate it: a column that is not
    there, a type that it cannot compare. That is not the same as an expectation that fails.
    `result` is GX's own, as JSON.
    """

    rule: str
    severity: str
    meaning: str
    success: bool | None
    error: str | None
    observed: str
    result: str


@dataclass(frozen=True)
class Validation:
    """What GX found of one version of a table, by the suite of that fingerprint."""

    table: str
    version: int
    suite: str
    at: datetime
    findings: tuple[Finding, ...]

    def failed(self, *severities: str) -> list[Finding]:
        """Return what does not hold, of these severities."""
        return [f for f in self.findings if f.success is False and f.severity in severities]

    @property
    def errors(self) -> list[Finding]:
        """What GX could not evaluate."""
        return [f for f in self.findings if f.success is None]


def validate(
    spark: SparkSession, entity: Entity, table: Table, version: int, docs: Path | None = None
) -> Validation:
    """Return what GX finds of *version* of *table*, by the table rules of *entity*'s suite.

    Nothing is written, except GX's Data Docs into the folder *docs* where one is named. Data Docs
    are static pages; their styles come from outside, so they look plain without a network.

    Raises:
        ConfigError: BAD_SUITE or BAD_EXPECTATION.
    """
    columns = tuple(schemas.columns(spark, entity).fieldNames())
    rules = [rule for rule in suites.rules(entity, columns) if not rule.by_row]
    found: list[ExpectationValidationResult] = []
    if rules:
        with ALONE, _views_dropped(spark):
            found = _run(rules, table, version, table.read(spark, version), docs)
    by_name = {one.expectation_config.meta["name"]: one for one in found if one.expectation_config}
    findings = tuple(_finding(rule, by_name[rule.name]) for rule in rules)
    return Validation(table.name, version, str(entity.suite), datetime.now(UTC), findings)


def keep(spark: SparkSession, found: Validation, lake: Lake) -> None:
    """Append *found* to the table `audit/<layer>.<entity>.validations`.

    Only the owner of the table's stream may call it.
    """
    table = validations(lake, found.table)
    rows = [
        {**asdict(f), "version": found.version, "suite": found.suite, "at": found.at.isoformat()}
        for f in found.findings
    ]
    frame = tables.frame(spark, rows, VALIDATIONS)
    tables.create(spark, table, frame.schema, lake)
    frame.coalesce(1).write.format("delta").mode("append").save(table.path)


def validations(lake: Lake, table: str) -> Table:
    """Return the table that keeps what was found of *table*, such as `silver.matches`."""
    return lake.table("audit", f"{table}.validations")


def _run(
    rules: Sequence[Rule], table: Table, version: int, rows: DataFrame, docs: Path | None
) -> list[ExpectationValidationResult]:
    """Have GX judge *rows*, and build its Data Docs of that where *docs* is a folder."""
    context = _context()
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.core.validation_definition import ValidationDefinition

    name = f"{table.name} version {version}"
    source = context.data_sources.add_or_update_spark(name, persist=False)
    try:
        asset = source.add_dataframe_asset(table.name)
        batch = asset.add_batch_definition_whole_dataframe(f"version {version}")
        named = [rule.expectation.copy(update={"meta": {"name": rule.name}}) for rule in rules]
        suite = context.suites.add_or_update(ExpectationSuite(name=name, expectations=named))
        definition = context.validation_definitions.add_or_update(
            ValidationDefinition(name=name, data=batch, suite=suite)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GX and pandas about themselves
            judged = definition.run(
                batch_parameters={"dataframe": rows}, result_format={"result_format": "SUMMARY"}
            )
            if docs is not None:
                _build(context, docs)
        return list(judged.results)
    finally:
        for kept in (context.validation_definitions, context.suites):
            if any(one.name == name for one in kept.all()):
                kept.delete(name)
        context.data_sources.delete(name)


@lru_cache(maxsize=1)
def _context() -> Any:
    """Return the one context of the process; it keeps nothing on disk and sends nothing."""
    suites.load_gx()
    import great_expectations

    context: Any = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    return context


def _build(context: Any, folder: Path) -> None:
    site = {
        "class_name": "SiteBuilder",
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder.absolute()),
        },
    }
    context.add_data_docs_site(SITE, site)
    try:
        context.build_data_docs(site_names=[SITE])
    finally:
        context.delete_data_docs_site(SITE)


@contextmanager
def _views_dropped(spark: SparkSession) -> Iterator[None]:
    """Drop the temporary views that GX leaves of SQL expectations."""

    def views() -> set[str]:
        return {one.name for one in spark.catalog.listTables() if one.isTemporary}

    before = views()
    try:
        yield
    finally:
        for name in views() - before:
            spark.catalog.dropTempView(name)


def _finding(rule: Rule, one: ExpectationValidationResult) -> Finding:
    error = _error(one.exception_info or {})
    facts: dict[str, Any] = one.to_json_dict()
    result = facts.get("result") or {}
    observed = result.get("observed_value", result.get("unexpected_count", ""))
    return Finding(
        rule.name,
        rule.severity,
        rule.meaning,
        None if error else bool(one.success),
        error,
        json.dumps(observed) if not isinstance(observed, str) else observed,
        json.dumps(facts),
    )


def _error(info: dict[str, Any]) -> str | None:
    """Return what GX says it could not do, if it raised anything: once, or for each metric."""
    several = info.values() if all(isinstance(one, dict) for one in info.values()) else [info]
    said = (one.get("exception_message") for one in several if one.get("raised_exception"))
    return next((str(one).strip().partition("\n")[0] for one in said), None)
