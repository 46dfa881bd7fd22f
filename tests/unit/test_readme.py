"""What the pages for people say is so: commands, links, tables, examples."""

from __future__ import annotations

import re
import shlex
import tomllib
from typing import TYPE_CHECKING

import click
import pytest

from lakehouse.cli import lakehouse
from lakehouse.config import load
from lakehouse.entities import from_contents
from lakehouse.errors import LakehouseError
from lakehouse.kafka import client_options
from quarantine.reasons import Reason
from tests.conftest import CONF, ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
# A command as one would type it: in a code span or at the beginning of a line, after variables.
COMMAND = re.compile(
    r"(?:^|`)((?:\w+=\S* )*(?:\.venv/bin/)?lakehouse(?: [^`\n#]*)?)(?:`|$|#)", re.MULTILINE
)
LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages() -> list[Path]:
    assert all(page.exists() for page in PAGES)
    return PAGES


def commands() -> list[str]:
    texts = [page.read_text(encoding="utf-8") for page in pages() if page.name != "cli.md"]
    return sorted({found.strip() for text in texts for found in COMMAND.findall(text)})


def context(
    command: click.Command, name: str, parent: click.Context | None = None
) -> click.Context:
    """Return the context of *command* with its own settings.

    The first context that a command meets decides for good how its help option is called: without
    these settings no later test of this process could ask for `-h`.
    """
    return click.Context(command, info_name=name, parent=parent, **command.context_settings)


def fault(line: str) -> str | None:
    """Say what in *line* the command line does not know, or None."""
    words = shlex.split(line.replace("...", ""))
    words = words[next(i for i, word in enumerate(words) if word.endswith("lakehouse")) + 1 :]
    command: click.Command = lakehouse
    ctx = context(command, "lakehouse")
    known = {"-h", "--help"} | {name for p in command.params for name in p.opts}
    while words:
        word = words.pop(0)
        if word.startswith("-"):
            if word not in known:
                return f"{ctx.command_path} has no option {word}"
            taken = next((p for p in command.params if word in p.opts), None)
            if isinstance(taken, click.Option) and not taken.is_flag and words:
                words.pop(0)
        elif isinstance(command, click.Group):
            found = [command.get_command(ctx, name) for name in word.split("|")]
            if None in found:
                return f"{ctx.command_path} has no command {word}"
            command = found[0] or command
            ctx = context(command, word, ctx)
            known |= {name for p in command.params for name in p.opts}
    return None


def test_commands_are_found_and_faults_in_them_too() -> None:
    assert "lakehouse start all --once" in commands()
    assert fault("A=b .venv/bin/lakehouse --env prod start all --entity x") is None
    assert fault("lakehouse strat all") == "lakehouse has no command strat"
    assert fault("lakehouse start all --twice") == "lakehouse start has no option --twice"
    assert fault("lakehouse jars fetch|bring") == "lakehouse jars has no command fetch|bring"


@pytest.mark.parametrize("line", commands())
def test_each_command_that_a_page_names_is_one(line: str) -> None:
    assert fault(line) is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = [link for _, link in LINK.findall(page.read_text(encoding="utf-8"))]
    files = [link.partition("#")[0] for link in links if "://" not in link]
    assert [link for link in files if link and not (page.parent / link).exists()] == []


def test_each_anchor_is_a_heading() -> None:
    for page in pages():
        for _, link in LINK.findall(page.read_text(encoding="utf-8")):
            file, _, anchor = link.partition("#")
            if anchor and "://" not in link:
                text = ((page.parent / file) if file else page).read_text(encoding="utf-8")
                headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
                slugs = [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]
                assert anchor in slugs, f"{page.name}: {link}"


def test_each_test_that_the_architecture_names_is_in_the_file_it_names() -> None:
    for paragraph in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("\n\n"):
        names = re.findall(r"`(test_\w+)`", paragraph)
        files = [ROOT / link for _, link in LINK.findall(paragraph) if link.startswith("tests/")]
        there = "".join(file.read_text(encoding="utf-8") for file in files if file.exists())
        assert [name for name in names if f"def {name}(" not in there] == []


def test_the_layers_of_the_architecture_are_those_of_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = contract["tool"]["importlinter"]["contracts"][0]["layers"]
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?`) \|", text.partition("## The layers")[2], re.MULTILINE)
    assert [row.replace("`", "").replace(", ", " | ") for row in rows[: len(layers)]] == layers


def test_the_readme_explains_each_reason_in_its_own_words() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(str(reason), reason.meaning) for reason in Reason]


def test_there_is_a_cure_for_each_error() -> None:
    text = (ROOT / "docs" / "how-to" / "when-a-stream-stops.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \|", text, re.MULTILINE)
    codes = [code for kind in LakehouseError.__subclasses__() for code in kind.catalogue]
    assert sorted(rows) == sorted(codes)


def test_the_entity_of_the_readme_is_one() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Add an entity")[2]
    blocks = [(kind, body) for kind, body in BLOCK.findall(text)]
    (toml, ddl) = (next(body for kind, body in blocks if kind == k) for k in ("toml", "sql"))
    entity = from_contents("tournaments", {"entity.toml": toml, "schema.ddl": ddl}, "README.md")
    assert (entity.keys, entity.sequence_by) == (("tournament_id",), "updated_at")


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/kafka-with-tls.md"])
def test_the_options_for_tls_are_taken(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    variables = re.findall(r"(LAKEHOUSE__\w+)=", "".join(b for kind, b in blocks if kind == "sh"))
    for variable in variables:
        if not variable.startswith("LAKEHOUSE__STREAMS"):
            monkeypatch.setenv(variable, "value")
    (tmp_path / "env").mkdir()
    (tmp_path / "lakehouse.toml").write_bytes((CONF / "lakehouse.toml").read_bytes())
    found = [body for kind, body in blocks if kind == "toml" and "[kafka.options]" in body]
    assert found
    for body in found:
        (tmp_path / "env" / "prod.toml").write_text(body, encoding="utf-8")
        settings = load(tmp_path, "prod").kafka
        if "SASL_SSL" not in body:
            settings = settings.model_copy(update={"sasl_username": None, "sasl_password": None})
        options = client_options(settings)
        assert options["ssl.truststore.password"] == "value"
        assert ("sasl.jaas.config" in options) == ("SASL_SSL" in body)
