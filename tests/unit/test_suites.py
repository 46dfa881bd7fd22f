"""A suite is sound, or refused by the name of its file, its expectation and that one's number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lakehouse.audit import kinds, suites
from lakehouse.entities import from_contents
from lakehouse.errors import ConfigError

COLUMNS = ("id", "status", "kills", "towers")
FILE = "conf/entities/things/expectations.json"
SOUND = {
    "type": "expect_column_values_to_not_be_null",
    "kwargs": {"column": "id"},
    "severity": "critical",
}
BETWEEN = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "kills", "min_value": 0},
    "severity": "warning",
}


def rules(text: str) -> tuple[suites.Rule, ...]:
    """Return the rules of an entity whose expectations.json holds *text*."""
    contents = {
        "entity.toml": 'topic = "t"\nkeys = ["id"]',
        "schema.ddl": "id STRING NOT NULL",
        suites.FILE: text,
    }
    return suites.rules(from_contents("things", contents, "conf/entities/things"), COLUMNS)


def suite(*expectations: Any, **more: Any) -> str:
    return json.dumps({"name": "things", "expectations": list(expectations), **more})


def changed(of: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Return the expectation *of* with other arguments."""
    return {**of, "kwargs": {**of["kwargs"], **kwargs}}


def without(of: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in of.items() if name != key}


def query(text: str, severity: str = "critical") -> dict[str, Any]:
    return {"type": kinds.SQL, "kwargs": {"unexpected_rows_query": text}, "severity": severity}


# Refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "it is not JSON"),
        ("[]", "it is an object whose 'expectations' is a list"),
        ("{}", "it is an object whose 'expectations' is a list"),
        ('{"expectations": {}}', "it is an object whose 'expectations' is a list"),
        (suite(expectation_suite_name="x"), "unknown key 'expectation_suite_name'"),
        (suite(nmae="x"), "unknown key 'nmae'; did you mean 'name'?"),
    ],
)
def test_what_is_no_suite_is_refused_by_its_file(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rules(text)
    assert (refused.value.code, refused.value.params["file"]) == ("BAD_SUITE", FILE)
    assert reason in str(refused.value.params["reason"])


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("not an object", "it is an object with 'type'"),
        ({"kwargs": {}, "severity": "info"}, "it is an object with 'type'"),
        (
            {**BETWEEN, "type": "expect_column_values_to_be_betwen"},
            "there is no such type; did you mean 'expect_column_values_to_be_between'?",
        ),
        ({**BETWEEN, "serverity": "info"}, "unknown key 'serverity'; did you mean 'severity'?"),
        (changed(BETWEEN, max_vale=1), "unknown argument 'max_vale'; did you mean 'max_value'?"),
        (changed(BETWEEN, min_value="few"), "min_value: value is not a valid float"),
        (changed(BETWEEN, min_value=None), "min_value and max_value cannot both be None"),
        (changed(BETWEEN, mostly=2), "mostly: "),
        (without(BETWEEN, "severity"), "it needs a severity, one of critical, warning, info"),
        ({**BETWEEN, "severity": "fatal"}, "it needs a severity, one of critical, warning, info"),
        ({**BETWEEN, "severity": None}, "it needs a severity, one of critical, warning, info"),
        (without(BETWEEN, "kwargs"), "it needs 'kwargs', an object"),
        ({**BETWEEN, "kwargs": []}, "it needs 'kwargs', an object"),
        (
            changed({**BETWEEN, "severity": "critical"}, mostly=0.9),
            "a critical one decides about each row, so 'mostly' cannot be below 1",
        ),
        (changed(BETWEEN, column="kils"), "there is no column 'kils'; did you mean 'kills'?"),
        (changed(BETWEEN, column="_updated_at"), "there is no column '_updated_at'"),
        (
            {
                "type": "expect_column_mean_to_be_between",
                "kwargs": {"column": "_landed_at", "min_value": 0},
                "severity": "info",
            },
            "there is no column '_landed_at'",
        ),
        (
            {
                "type": "expect_column_pair_values_to_be_equal",
                "kwargs": {"column_A": "id", "column_B": "ids"},
                "severity": "info",
            },
            "there is no column 'ids'; did you mean 'id'?",
        ),
        (
            changed(BETWEEN, min_value={"$PARAMETER": "least"}),
            "suite parameters are not known here; write the value",
        ),
        (
            {
                "type": "expect_column_pair_values_to_be_in_set",
                "kwargs": {
                    "column_A": "id",
                    "column_B": "status",
                    "value_pairs_set": [["a", "b"]],
                    "row_condition": {
                        "type": "nullity",
                        "column": {"name": "kills"},
                        "is_null": False,
                    },
                },
                "severity": "info",
            },
            "GX does not keep to a row_condition in it",
        ),
        (query("SELECT * FROM {batch} WHERE status = '{x}'"), "write {{ and }} for braces"),
        (query("SELECT * FROM {batch} WHERE status = '{x'"), "brace"),
    ],
)
def test_an_expectation_that_cannot_be_applied_is_refused_by_its_number(
    written: Any, reason: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        rules(suite(SOUND, written))
    said = refused.value.params
    named = written.get("type") if isinstance(written, dict) else written
    assert refused.value.code == "BAD_EXPECTATION"
    assert (said["file"], said["number"], said["expectation"]) == (FILE, 2, named)
    assert reason in str(said["reason"])


@pytest.mark.parametrize("kind", kinds.REFUSED)
def test_each_type_that_is_refused_says_why(kind: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rules(suite({"type": kind, "kwargs": {"column": "id"}, "severity": "info"}))
    said = refused.value.params
    assert (said["file"], said["number"], said["expectation"]) == (FILE, 1, kind)
    assert said["reason"] == kinds.REFUSED[kind]


@pytest.mark.parametrize("meta", [None, {"name": "one"}])
def test_a_name_that_is_there_twice_is_refused(meta: dict[str, str] | None) -> None:
    twice = {**SOUND, "meta": meta}
    with pytest.raises(ConfigError) as refused:
        rules(suite(BETWEEN, twice, {**twice, "severity": "info"}))
    said, name = refused.value.params, "one" if meta else f"{SOUND['type']}(id)"
    assert (said["file"], said["number"], said["expectation"]) == (FILE, 2, name)
    assert str(said["reason"]).startswith(f"the name '{name}' is there twice")


# Taken


def test_the_rules_are_what_the_suite_says_in_its_order() -> None:
    one, two = rules(suite({**SOUND, "description": "Why.", "meta": {"name": "there"}}, BETWEEN))
    assert (one.name, one.number, one.severity, one.meaning) == ("there", 1, "critical", "Why.")
    assert (two.name, two.number, two.severity, two.meaning) == (
        "expect_column_values_to_be_between(kills)", 2, "warning", "",
    )  # fmt: skip
    assert (one.columns, one.by_row, two.by_row) == (("id",), True, True)


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_a_rule_of_rows_that_only_counts_may_hold_of_most(severity: str) -> None:
    (rule,) = rules(suite(changed({**BETWEEN, "severity": severity}, mostly=0.9)))
    assert rule.expectation.mostly == 0.9  # type: ignore[attr-defined]


def test_a_critical_rule_of_the_table_may_hold_of_most() -> None:
    written = {
        "type": "expect_column_values_to_be_unique",
        "kwargs": {"column": "id", "mostly": 0.9},
        "severity": "critical",
    }
    (rule,) = rules(suite(written))
    assert (rule.severity, rule.by_row) == ("critical", False)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("SELECT * FROM {batch} WHERE kills > 1", "kills > 1"),
        ("select *\n from {batch}\nwhere kills > 1\n  OR id = '';\n", "kills > 1\n  OR id = ''"),
        ("SELECT * FROM {batch} WHERE status = '{{}}'", "status = '{}'"),
        ("SELECT id FROM {batch} WHERE kills > 1", None),
        ("SELECT * FROM {batch} HAVING max(kills) > 1", None),
        ("WITH b AS (SELECT * FROM {batch}) SELECT * FROM b", None),
    ],
)  # fmt: skip
def test_a_query_of_whole_rows_is_judged_row_by_row(text: str, where: str | None) -> None:
    (rule,) = rules(suite(query(text)))
    assert (rule.where, rule.by_row) == (where, where is not None)


def test_a_rule_of_rows_may_look_at_the_moments_and_one_of_the_table_at_the_marks() -> None:
    of_rows = changed(BETWEEN, column="_landed_at", min_value="2026-01-01")
    of_table = {
        "type": "expect_column_max_to_be_between",
        "kwargs": {"column": "_updated_at", "min_value": "2026-01-01"},
        "severity": "info",
    }
    assert [rule.columns for rule in rules(suite(of_rows, of_table))] == [
        ("_landed_at",),
        ("_updated_at",),
    ]


def test_an_entity_without_a_suite_has_no_rules() -> None:
    contents = {"entity.toml": 'topic = "t"\nkeys = ["id"]', "schema.ddl": "id STRING NOT NULL"}
    assert suites.rules(from_contents("things", contents, "conf/entities/things"), COLUMNS) == ()
