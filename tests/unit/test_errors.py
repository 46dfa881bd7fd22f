"""The tree of errors is small, drawn, worded and used."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

from lakehouse import errors
from lakehouse.errors import ConfigError, LakehouseError

ROOT = Path(__file__).parents[2]
PACKAGES = ("lakehouse", "bronze", "silver", "quarantine")
SOURCE = "\n".join(
    file.read_text() for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))
)
CLASSES = LakehouseError.__subclasses__()
TREE: list[type[LakehouseError]] = [LakehouseError, *CLASSES]
CODES = [(kind, code) for kind in CLASSES for code in kind.catalogue]
RAISED = sorted(set(re.findall(r'\b(\w+Error)\(\s*"([A-Z_]+)"', SOURCE)))


def parameters(kind: type[LakehouseError], code: str) -> set[str]:
    """Return the names that the three lines of *code* speak of."""
    lines = "".join(kind.catalogue[code])
    return {name for _, name, _, _ in Formatter().parse(lines) if name is not None}


def test_the_tree_has_one_level_and_few_branches() -> None:
    assert 0 < len(CLASSES) < 10
    assert [kind.__subclasses__() for kind in CLASSES] == [[] for _ in CLASSES]


@pytest.mark.parametrize("kind", TREE)
def test_each_class_is_documented_and_drawn(kind: type[LakehouseError]) -> None:
    drawn = str(errors.__doc__)
    code = rf" +{kind.exit_code} " if kind is not LakehouseError else " "

    assert kind.__doc__
    assert kind.__doc__.strip().endswith(".")
    assert re.search(rf"\b{kind.__name__}{code} *\S", drawn)


def test_the_drawing_has_no_class_that_is_not() -> None:
    drawn = set(re.findall(r"\b(\w+Error)\b", str(errors.__doc__)))

    assert drawn == {kind.__name__ for kind in TREE}


@pytest.mark.parametrize(("kind", "code"), CODES)
def test_an_error_is_the_same_in_the_process_that_asked(
    kind: type[LakehouseError], code: str
) -> None:
    values: dict[str, Any] = dict.fromkeys(parameters(kind, code), Path("conf"))
    error = kind(code, **values)
    told = errors.from_facts(json.loads(json.dumps(errors.to_facts(error))))
    assert type(told) is kind
    assert (told.code, told.message, str(told)) == (code, error.message, str(error))


def test_each_class_has_an_exit_code_of_its_own() -> None:
    assert [kind.exit_code for kind in CLASSES] == [2, 3, 4, 5, 6]


def test_each_code_belongs_to_one_class() -> None:
    codes = [code for _, code in CODES]

    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(("kind", "code"), CODES)
def test_each_code_says_what_why_and_what_to_do(kind: type[LakehouseError], code: str) -> None:
    names = {name: f"<{name}>" for name in parameters(kind, code)}

    error = kind(code, retryable=True, **names)

    assert (error.code, error.params, error.retryable) == (code, names, True)
    assert all(line and "\n" not in line for line in error.message)
    assert all(value in " ".join(error.message) for value in names.values())
    assert str(error) == f"[{code}] {error.message.what}"


@pytest.mark.parametrize(("kind", "code"), CODES)
def test_each_code_is_raised_somewhere(kind: type[LakehouseError], code: str) -> None:
    assert (kind.__name__, code) in RAISED


@pytest.mark.parametrize(("name", "code"), RAISED)
def test_each_code_that_is_raised_is_one_of_its_class(name: str, code: str) -> None:
    kind = getattr(errors, name)

    assert issubclass(kind, LakehouseError)
    assert code in kind.catalogue


def test_an_error_is_final_unless_it_says_otherwise() -> None:
    assert not errors.MachineError("JAVA_MISSING", reason="x").retryable


def test_another_process_is_told_the_same() -> None:
    error = ConfigError("BAD_OPTION", retryable=True, key="a", reason="b")
    told = pickle.loads(pickle.dumps(error))
    assert (type(told), told.message, vars(told)) == (ConfigError, error.message, vars(error))


def test_an_error_whose_values_are_missing_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        errors.MachineError("JAVA_MISSING")


def test_a_value_with_braces_stays_what_it_is() -> None:
    error = errors.MachineError("JAVA_MISSING", reason="{reason} {0} {")

    assert error.message.why == "{reason} {0} {"


@pytest.mark.parametrize(("kind", "code"), CODES)
def test_each_code_is_in_the_reference(kind: type[LakehouseError], code: str) -> None:
    rows = (ROOT / "docs" / "cli.md").read_text().splitlines()

    assert [row for row in rows if row.startswith(f"| {kind.exit_code} | `{code}` |")]
