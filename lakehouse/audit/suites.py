"""An entity's suite of expectations: plain Great Expectations JSON, sound or refused by name.

GX itself is lenient: it drops an expectation whose type it does not know, takes an argument that
none of its types has, and calls each one critical that does not say. A rule that is silently not
applied is worse than none, so all of these are refused here.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from lakehouse.audit import kinds
from lakehouse.config import nearest
from lakehouse.errors import ConfigError, first_line
from lakehouse.tables import SILVER_MARKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from great_expectations.expectations.expectation import Expectation

    from lakehouse.entities import Entity

FILE = "expectations.json"
SUITE_KEYS = {"name", "expectations", "meta", "notes", "id", "suite_parameters"}
KEYS = {"type", "kwargs", "severity", "description", "notes", "meta", "id"}
SEVERITIES = ("critical", "warning", "info")
ROW_QUERY = re.compile(
    r"\s*SELECT\s+\*\s+FROM\s+\{batch\}\s+WHERE\s+(.+)", re.IGNORECASE | re.DOTALL
)
# What a rule may look at beside the entity's own columns: both stand in bronze, so that a message
# is judged the same whenever it is read.
MOMENTS = ("_timestamp", "_landed_at")


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite, the *number*-th.

    `name` is its `meta.name`, or its type with its columns. `where` is the condition of the rows
    that an SQL rule does not expect. `by_row`: judged for each row, else on a version of a table.
    """

    name: str
    number: int
    type: str
    severity: str
    columns: tuple[str, ...]
    by_row: bool
    where: str | None
    expectation: Expectation

    @property
    def meaning(self) -> str:
        """The sentence that the suite gives it, if it gives one."""
        return self.expectation.description or ""


@lru_cache(maxsize=32)
def rules(entity: Entity, columns: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules of *entity*'s suite in its order; none where it has no suite.

    *columns* are the entity's own; a rule of rows may also name MOMENTS, one of the table also
    the marks of silver.

    Raises:
        ConfigError: BAD_SUITE where the file is not a suite, BAD_EXPECTATION for one of its
            expectations, each naming the file.
    """
    text = entity.contents.get(FILE)
    if text is None:
        return ()
    file = f"{entity.source}/{FILE}"
    known = frozenset(columns)
    found = tuple(_rule(entry, number, file, known) for number, entry in _entries(text, file))
    names = [rule.name for rule in found]
    for number, name in enumerate(names, 1):
        if names.count(name) > 1:
            reason = f"the name '{name}' is there twice; give each a meta.name of its own"
            raise ConfigError(
                "BAD_EXPECTATION", file=file, expectation=name, number=number, reason=reason
            )
    return found


def _entries(text: str, file: str) -> Iterator[tuple[int, Any]]:
    try:
        suite = json.loads(text)
    except ValueError as error:
        raise ConfigError("BAD_SUITE", file=file, reason=f"it is not JSON: {error}") from error
    if not isinstance(suite, dict) or not isinstance(suite.get("expectations"), list):
        reason = "it is an object whose 'expectations' is a list"
        raise ConfigError("BAD_SUITE", file=file, reason=reason)
    unknown = sorted(set(suite) - SUITE_KEYS)
    if unknown:
        reason = f"unknown key '{unknown[0]}'; {nearest(unknown[0], SUITE_KEYS)}"
        raise ConfigError("BAD_SUITE", file=file, reason=reason)
    yield from enumerate(suite["expectations"], 1)


def _rule(entry: Any, number: int, file: str, columns: frozenset[str]) -> Rule:
    """Return the rule that *entry* describes, or say what is wrong with it."""

    def refused(reason: str) -> ConfigError:
        named = entry.get("type") if isinstance(entry, dict) else entry
        return ConfigError(
            "BAD_EXPECTATION", file=file, expectation=named, number=number, reason=reason
        )

    reason = _unusable_form(entry)
    if reason:
        raise refused(reason)
    kind, kwargs, severity = entry["type"], entry["kwargs"], entry["severity"]
    expectation, reason = _made(entry)
    if expectation is None:
        raise refused(reason)
    try:
        where = _where(kwargs.get("unexpected_rows_query")) if kind == kinds.SQL else None
    except (KeyError, IndexError, ValueError):
        raise refused(
            "a row is judged alone, so its condition has no placeholder; write {{ and }} for braces"
        ) from None
    by_row = kind in kinds.ROW or where is not None
    named = () if kind.startswith("expect_table_") else _columns(kwargs)
    if severity == "critical" and by_row and kwargs.get("mostly", 1) < 1:
        raise refused(
            "a critical one decides about each row, so 'mostly' cannot be below 1; "
            "make it a warning, or drop 'mostly'"
        )
    if kind in kinds.UNCONDITIONAL and kwargs.get("row_condition"):
        raise refused("GX does not keep to a row_condition in it; say it as an SQL rule")
    usable = columns.union(MOMENTS if by_row else SILVER_MARKS.fieldNames())
    for name in named:
        if name not in usable:
            raise refused(f"there is no column '{name}'; {nearest(name, usable)}")
    name = (entry.get("meta") or {}).get("name") or f"{kind}({', '.join(named)})"
    return Rule(str(name), number, kind, severity, named, by_row, where, expectation)


def _unusable_form(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        return "it is an object with 'type', 'kwargs' and 'severity'"
    kind, kwargs = entry["type"], entry.get("kwargs")
    known = {*kinds.ROW, *kinds.TABLE, kinds.SQL}
    if kind in kinds.REFUSED:
        return kinds.REFUSED[kind]
    if kind not in known:
        return f"there is no such type; {nearest(kind, known)}"
    unknown = sorted(set(entry) - KEYS)
    if unknown:
        return f"unknown key '{unknown[0]}'; {nearest(unknown[0], KEYS)}"
    if entry.get("severity") not in SEVERITIES:
        return (
            f"it needs a severity, one of {', '.join(SEVERITIES)}: critical quarantines a row, "
            "the others count"
        )
    if not isinstance(kwargs, dict):
        return "it needs 'kwargs', an object"
    if "$PARAMETER" in json.dumps(kwargs):
        return "suite parameters are not known here; write the value"
    return None


def _made(entry: dict[str, Any]) -> tuple[Expectation | None, str]:
    """Return GX's own object for *entry*, or the reason why GX makes none."""
    load_gx()
    from great_expectations.exceptions.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.registry import get_expectation_impl

    fields = set(get_expectation_impl(entry["type"]).__fields__) - KEYS - {"rendered_content"}
    unknown = sorted(set(entry["kwargs"]) - fields)
    if unknown:
        return None, f"unknown argument '{unknown[0]}'; {nearest(unknown[0], fields)}"
    try:
        return ExpectationConfiguration(**entry).to_domain_obj(), ""
    # ValueError: GX's own model of arguments raises pydantic's, which is one.
    except (GreatExpectationsError, ValueError, TypeError) as error:
        return None, _said(error)


def load_gx() -> None:
    """Have GX imported such that it sends nothing about its use anywhere, and quietly.

    It takes two seconds, so it is done where a suite is first used. What its own imports warn of
    is not for our users to mend.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("great_expectations")


def _said(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if callable(errors) and (first := next(iter(errors()), None)):
        where = ".".join(str(part) for part in first["loc"] if part != "__root__")
        return f"{where}: {first['msg']}" if where else str(first["msg"])
    return first_line(error)


def _columns(kwargs: dict[str, Any]) -> tuple[str, ...]:
    """Return the columns that an expectation's domain names."""
    listed = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return (*listed, *kwargs.get("column_list", ()))


def _where(query: Any) -> str | None:
    """Return the condition of a query of rows, with single braces as GX would run it."""
    found = ROW_QUERY.fullmatch(query) if isinstance(query, str) else None
    return found[1].rstrip("; \t\r\n").format() if found else None
