"""The command line is light, forgiving about names, and exact about what went wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from lakehouse import owner
from lakehouse.cli import COMMANDS, lakehouse
from lakehouse.errors import ConfigError, LakehouseError

ROOT = Path(__file__).parents[2]
CONF = ROOT / "conf"
HEAVY = (
    "apprise pyspark great_expectations pandas deltalake pydantic confluent_kafka structlog rich "
    "pyarrow duckdb polars"
)
MODULES = """
import sys
from lakehouse.cli import main
sys.argv = ["lakehouse", *sys.argv[1:]]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def leaves(command: click.Command, path: str = "lakehouse") -> dict[str, click.Command]:
    """Return the commands below *command* that do something, by how one calls them."""
    if not isinstance(command, click.Group):
        return {path: command}
    own = click.Context(command)
    found: dict[str, click.Command] = {}
    for name in command.list_commands(own):
        below = command.get_command(own, name)
        assert below is not None
        found |= leaves(below, f"{path} {name}")
    return found


LEAVES = leaves(lakehouse)


@pytest.fixture(autouse=True)
def _lake_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LAKEHOUSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path / "lake"))
    # Were a test to get as far as starting a JVM, it would fail at once, with another exit code.
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no-java"))
    monkeypatch.setenv("LAKEHOUSE__JARS__DIR", str(tmp_path / "no-jars"))


def invoke(*arguments: str) -> Result:
    """Run the command line in this process; an error of ours is the result's exception."""
    return CliRunner().invoke(lakehouse, ["--conf", str(CONF), *arguments])


def run(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line, or *code* with its arguments, as a process of its own."""
    program = ["-c", code] if code else ["-m", "lakehouse"]
    return subprocess.run(
        [sys.executable, *program, *arguments], capture_output=True, text=True, check=False
    )


def raised(result: Result) -> LakehouseError:
    """Return the error of ours that *result* ended with."""
    assert isinstance(result.exception, LakehouseError), result.output
    return result.exception


# Help


def test_help_lists_every_command_and_loads_none_of_the_heavy_packages() -> None:
    done = run("--help", code=MODULES)

    listed = re.findall(r"^  (\w+)  ", done.stdout.partition("Commands:")[2], re.MULTILINE)
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert done.returncode == 0
    assert listed == list(COMMANDS)
    assert "click" in loaded
    assert not loaded & set(HEAVY.split())
    assert not {name for name in done.stderr.split() if name.startswith("lakehouse.cli.")}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_needs_none_of_the_heavy_packages(command: str) -> None:
    done = run(command, "--help", code=MODULES)

    assert done.returncode == 0
    assert not {name.partition(".")[0] for name in done.stderr.split()} & set(HEAVY.split())


@pytest.mark.parametrize("path", sorted(LEAVES))
def test_each_command_says_what_it_does_with_an_example_and_the_shape_of_its_json(
    path: str,
) -> None:
    command = LEAVES[path]
    said = command.help or ""
    assert re.search(
        rf"Examples?: `lakehouse (--env prod )?{path.removeprefix('lakehouse ')}", said
    )
    has_json = any("--json" in one.opts for one in command.params)
    assert ("JSON: `{" in said) is has_json
    assert f"## `{path}`\n" in (ROOT / "docs" / "cli.md").read_text()
    assert all(one.help for one in command.params if isinstance(one, click.Option))


def test_an_option_of_one_name_means_the_same_everywhere() -> None:
    said: dict[str, set[str]] = {}
    for command in LEAVES.values():
        for one in command.params:
            if isinstance(one, click.Option):
                said.setdefault(one.opts[0], set()).add(one.type.name)
    assert {name: kinds for name, kinds in said.items() if len(kinds) > 1} == {}


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_a_short_name(option: str) -> None:
    assert invoke(option).output == invoke("--help").output


def test_the_version_is_told() -> None:
    result = invoke("--version")

    assert result.exit_code == 0
    assert re.search(r"\d+\.\d+\.\d+", result.output)


@pytest.mark.parametrize(
    ("given", "meant"), [("strat", "start"), ("chek", "check"), ("borker", "broker")]
)
def test_a_misspelt_command_is_answered_with_the_nearest(given: str, meant: str) -> None:
    result = invoke(given)

    assert result.exit_code == 2
    assert f"'{meant}'" in result.stderr


def test_a_command_like_no_other_is_a_usage_error() -> None:
    assert invoke("qqqqqq").exit_code == 2


# Errors


def test_an_error_is_three_lines_on_stderr_and_its_exit_code(tmp_path: Path) -> None:
    done = run("--conf", str(tmp_path), "start", "all")

    what, why, cure = done.stderr.splitlines()
    assert done.returncode == ConfigError.exit_code
    assert done.stdout == ""
    assert what.startswith("Error: ")
    assert what.endswith(" [FILE_MISSING]")
    assert re.fullmatch(r"  why: \S.*", why)
    assert re.fullmatch(r"  do:  \S.*", cure)


def test_an_error_stays_three_lines_that_cannot_drive_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "lakehouse.toml").write_text('"a\\n\\u001b[31mb" = 1\n')

    done = run("--conf", str(tmp_path), "start", "all")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 3
    assert all(line.isprintable() for line in done.stderr.splitlines())


def test_debug_adds_the_trace(tmp_path: Path) -> None:
    done = run("--conf", str(tmp_path), "--debug", "start", "all")

    assert done.returncode == 2
    assert done.stderr.startswith("Traceback")
    assert len(re.findall("^Error: ", done.stderr, re.MULTILINE)) == 1


# Start


@pytest.mark.parametrize("arguments", [["nonsense"], [], ["bronze", "silver"], ["all", "--onse"]])
def test_a_start_of_something_else_is_a_usage_error(arguments: list[str]) -> None:
    assert invoke("start", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("variable", "code"),
    [
        ("LAKEHOUSE__KAFKA__BOOTSTRAPS", "UNKNOWN_KEY"),
        ("LAKEHOUSE__STREAMS__TRIGGER", "BAD_VALUE"),
        ("LAKEHOUSE__KAFKA__OPTIONS__GROUP.ID", "BAD_OPTION"),
        ("LAKEHOUSE__ALARMS__URLS", "BAD_VALUE"),
    ],
)
def test_a_start_on_a_wrong_setting_ends_before_it_touches_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, code: str
) -> None:
    monkeypatch.setenv(variable, "x")

    error = raised(invoke("start", "all"))

    assert (error.code, error.exit_code) == (code, 2)
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--entity", "matchs"], "UNKNOWN_ENTITY"), (["--trigger", "soon"], "BAD_VALUE")],
)
def test_a_start_with_a_wrong_option_ends_before_it_touches_anything(
    tmp_path: Path, arguments: list[str], code: str
) -> None:
    error = raised(invoke("start", "silver", *arguments))

    assert (error.code, error.exit_code) == (code, 2)
    assert not (tmp_path / "lake").exists()


def test_a_start_on_a_wrong_configuration_ends_without_spark(tmp_path: Path) -> None:
    (tmp_path / "lakehouse.toml").write_text((CONF / "lakehouse.toml").read_text())
    (tmp_path / "entities" / "things").mkdir(parents=True)
    (tmp_path / "entities" / "things" / "schema.ddl").touch()
    (tmp_path / "entities" / "things" / "entity.toml").write_text("topics = 't'\n")

    done = run("--conf", str(tmp_path), "start", "all", code=MODULES)

    assert done.returncode == 2
    assert "[UNKNOWN_KEY]" in done.stderr
    assert "pyspark" not in done.stderr.split()


def test_a_check_finds_a_url_for_alarms_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAKEHOUSE__ALARMS__URLS", "json://host slack://one-token")

    error = raised(invoke("check"))

    assert (error.code, error.params["key"]) == ("BAD_VALUE", "alarms.urls")
    assert "one-token" not in "".join(map(str, (*error.message, error.params)))


def test_an_environment_is_named_by_option_or_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    by_option = raised(invoke("--env", "nowhere", "start", "all"))
    monkeypatch.setenv("LAKEHOUSE_ENV", "nowhere")
    by_variable = raised(invoke("start", "all"))

    assert by_option.code == by_variable.code == "FILE_MISSING"
    assert by_option.params == by_variable.params


# Stop


def test_without_streams_a_stop_does_nothing_and_is_no_error(tmp_path: Path) -> None:
    result = invoke("stop", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"stopped": [], "not_running": []}
    assert not (tmp_path / "lake").exists()


def test_a_stop_of_a_stream_that_does_not_run_is_no_error() -> None:
    result = invoke("stop", "silver.matches", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"stopped": [], "not_running": ["silver.matches"]}


def test_a_stop_of_all_names_those_that_ran_before(tmp_path: Path) -> None:
    with owner.owning(tmp_path / "lake" / "_state", "bronze.matches"):
        pass

    result = invoke("stop", "--json")

    assert json.loads(result.stdout) == {"stopped": [], "not_running": ["bronze.matches"]}


@pytest.mark.parametrize("name", ["matches", "gold.matches", "silver", "bronze.", ""])
def test_a_stop_of_what_is_no_stream_is_a_usage_error(name: str) -> None:
    assert invoke("stop", name).exit_code == 2


def test_a_stop_of_an_unknown_entity_names_the_known_ones() -> None:
    error = raised(invoke("stop", "silver.matchs"))

    assert (error.code, error.exit_code) == ("UNKNOWN_ENTITY", 2)
    assert error.params["known"] == "matches, players"


def test_a_stop_that_is_not_answered_is_an_error(tmp_path: Path) -> None:
    with owner.owning(tmp_path / "lake" / "_state", "silver.matches"):
        error = raised(invoke("stop", "silver.matches", "--timeout", "0.01"))

    assert (error.code, error.exit_code) == ("NO_ANSWER", 6)
    assert error.params["pid"] == os.getpid()


# The other commands


@pytest.mark.parametrize("command", [["check"], ["demo"], ["jars", "verify"], ["stop"]])
def test_each_command_reads_the_configuration_it_is_given(
    tmp_path: Path, command: list[str]
) -> None:
    result = CliRunner().invoke(lakehouse, ["--conf", str(tmp_path / "nowhere"), *command])

    assert raised(result).code == "FILE_MISSING"


def test_a_group_of_jars_that_is_none_is_a_usage_error() -> None:
    assert invoke("jars", "verify", "sparc").exit_code == 2


def test_missing_jars_are_an_error_of_the_machine() -> None:
    error = raised(invoke("jars", "verify", "spark"))

    assert (error.code, error.exit_code) == ("JARS_UNSOUND", 6)
