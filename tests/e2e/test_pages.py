"""The pages for new users do what they say: each command block of README and tutorial is run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.conftest import CONF, ROOT, SHORT_LIVED
from tests.e2e.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Demo
    from tests.e2e.harness import Kafka

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# In a terminal of its own, and until it is stopped.
FOREGROUND = re.compile(r"^lakehouse start (?!.*--once)|.* --watch")
# A doctor ends with 1 or 2 where it has something to say, and a validation with 5.
ENDINGS = {"doctor": {0, 1, 2}, "validate": {0, 5}}


@dataclass
class Reader:
    """A person who types what a page says, in one folder after the other."""

    folder: Path
    environment: dict[str, str]
    bootstrap: str = ""
    terminals: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def follow(self, text: str) -> None:
        """Run the blocks of *text*, each to its end; what is said to come out has to."""
        blocks = BLOCK.findall(text)
        for place, (kind, body) in enumerate(blocks):
            after = blocks[place + 1] if place + 1 < len(blocks) else ("", "")
            if kind == "sh":
                self.type(body, expected=after[1] if after[0] == "text" else "")
            elif kind == "python":
                self.run([sys.executable, "-c", self.here(body)])

    def here(self, text: str) -> str:
        """Return *text* with the broker of the test in the place of the one of the page."""
        return text.replace("127.0.0.1:9092", self.bootstrap or "127.0.0.1:9092")

    def type(self, body: str, expected: str = "") -> None:
        """Type a block line by line; the last is typed again until *expected* comes out of it."""
        typed = body.strip().splitlines()
        for line in typed:
            words = shlex.split(line, comments=True)
            if not words or words[0] in {"make", "LAKEHOUSE_DEMO=/tmp/lakehouse-demo-..."}:
                continue  # other tests run them
            if words[0] == "export":
                pairs = (word.split("=", 1) for word in words[1:])
                self.environment |= {k: v for k, v in pairs if k not in self.environment}
            elif words[0] == "cd":
                self.folder /= words[1]
            elif FOREGROUND.match(line):
                self.begin(words)
            elif not expected or line != typed[-1]:
                self.lakehouse(words)
        if expected:
            eventually(partial(self.says, words, expected), f"{body}says\n{expected}")

    def says(self, words: list[str], expected: str) -> bool:
        """Say whether the command ends well, and with each line that is *expected*."""
        done = self.call([sys.executable, "-m", *words])
        return done.returncode == 0 and lines(expected) <= lines(done.stdout)

    def lakehouse(self, words: list[str]) -> str:
        assert words[0] == "lakehouse", words
        if words[1:3] == ["broker", "start"]:
            words = [*words, "--port", "0"]
        output = self.run([sys.executable, "-m", *words])
        if words[1:3] == ["broker", "start"]:
            said = self.run([sys.executable, "-m", "lakehouse", "broker", "status", "--json"])
            self.bootstrap = json.loads(said)["bootstrap"]
            self.environment["LAKEHOUSE__KAFKA__BOOTSTRAP"] = self.bootstrap
        return output

    def begin(self, words: list[str]) -> None:
        """Begin what goes on until it is stopped, in a terminal of its own."""
        self.terminals.append(
            subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        if words[1] == "start":
            eventually(partial(self.runs, self.terminals[-1].pid), f"{words} runs")

    def runs(self, pid: int) -> bool:
        """Say whether the process owns streams, so that they can be asked for something."""
        root = self.folder / self.environment.get("LAKEHOUSE__LAKE__ROOT", "lake")
        told = [json.loads(file.read_text()) for file in root.glob("_state/*/status.json")]
        return any(one["pid"] == pid for one in told)

    def call(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def run(self, words: list[str]) -> str:
        """Run a command to a good end, and return what it says."""
        done = self.call(words)
        good = ENDINGS.get(words[3] if len(words) > 3 else "", {0})
        assert done.returncode in good, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def lines(text: str) -> set[str]:
    """Return the lines of *text*, however wide its columns are."""
    return {" ".join(line.split()) for line in text.splitlines() if line.strip()}


def section(page: str, *headings: str) -> str:
    """Return the sections of a page that have those *headings*."""
    parts = re.split(r"^## ", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {part.partition("\n")[0]: part for part in parts}
    return "\n".join(found[heading] for heading in headings)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAKEHOUSE_")}
    quick = {"LAKEHOUSE__STREAMS__TRIGGER": "500 ms", "LAKEHOUSE__SPARK__MASTER": "local[2]"}
    path = {"PYTHONPATH": str(ROOT)}
    one = Reader(tmp_path, {**clean, **SHORT_LIVED, **quick, **path})
    yield one
    for terminal in one.terminals:
        if terminal.poll() is None:
            os.killpg(terminal.pid, signal.SIGKILL)
            terminal.wait()
    if one.bootstrap:
        subprocess.run(
            [sys.executable, "-m", "lakehouse", "broker", "stop"],
            cwd=one.folder,
            env=one.environment,
            check=False,
            capture_output=True,
        )


@pytest.mark.soak
def test_the_tutorial_can_be_followed(reader: Reader) -> None:
    reader.follow((ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    assert [terminal.wait(60) for terminal in reader.terminals] == [0]


def test_a_project_is_made_and_looked_at_as_the_readme_says(reader: Reader) -> None:
    reader.follow(section("README.md", "A project of your own"))
    assert (reader.folder / "conf" / "lakehouse.toml").exists()
    reader.environment |= {"LAKEHOUSE__KAFKA__BOOTSTRAP": "127.0.0.1:1"}
    text = section("README.md", "Configuration")
    (toml,) = (body for kind, body in BLOCK.findall(text) if kind == "toml")
    (reader.folder / "conf" / "env" / "prod.toml").write_text(toml)
    reader.follow(text)


@pytest.mark.soak
def test_streams_and_a_new_entity_are_started_as_the_readme_says(
    reader: Reader, kafka: Kafka
) -> None:
    for name in ("matches", "players", "tournaments"):
        kafka.create(f"esports-{name}")
    kafka.send("esports-tournaments", [{"tournament_id": "t", "teams": 2, "prize_usd": 10}])
    own = {"LAKEHOUSE__KAFKA__BOOTSTRAP": kafka.bootstrap}
    reader.environment |= {**own, "LAKEHOUSE__LAKE__ROOT": str(reader.folder / "lake")}
    reader.type("lakehouse init pipeline\ncd pipeline")
    reader.follow(section("README.md", "Your own Kafka"))
    assert [terminal.wait(60) for terminal in reader.terminals] == [0]

    text = section("README.md", "Add an entity")
    folder = reader.folder / "conf" / "entities" / "tournaments"
    folder.mkdir()
    kinds = dict(BLOCK.findall(text))
    (folder / "entity.toml").write_text(kinds["toml"])
    (folder / "schema.ddl").write_text(kinds["sql"])
    reader.follow(text)
    reader.type(
        "lakehouse query 'SELECT tournament_id, prize_per_team FROM silver.tournaments'",
        expected="tournament_id prize_per_team\nt 5.0000000000000",
    )


@pytest.fixture
def guest(reader: Reader, demo: Demo) -> Reader:
    """A reader with a copy of the demo's lake."""
    shutil.copytree(demo.root, reader.folder / "lake")
    shutil.copytree(CONF, reader.folder / "conf")
    return reader


def test_the_tables_are_looked_at_as_the_readme_says(guest: Reader) -> None:
    text = section("README.md", "Look", "Find a message")
    words = ["quarantine", "ls", "--entity", "matches", "--limit", "1", "--json"]
    (one,) = json.loads(guest.run([sys.executable, "-m", "lakehouse", *words]))["messages"]
    text = text.replace("matches:3:51", f"matches:{one['partition']}:{one['offset']}")
    guest.follow(text.replace("2026-01-31 10:00", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"))


@pytest.mark.soak
def test_the_tables_are_audited_as_the_readme_says(guest: Reader) -> None:
    guest.follow(section("README.md", "Audit"))
    assert (guest.folder / "data-docs").is_dir()


@pytest.mark.soak
def test_the_quarantine_is_emptied_as_the_readme_says(guest: Reader) -> None:
    guest.type("lakehouse start silver --entity matches")
    guest.follow(section("README.md", "Empty the quarantine"))
    guest.type("lakehouse stop")
    assert [terminal.wait(60) for terminal in guest.terminals] == [0]
