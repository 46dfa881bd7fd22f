"""The doctor finds what is wrong, says how to mend it, and finds nothing where all is well."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from lakehouse import entities, jars, layout, owner, project
from lakehouse.cli import lakehouse
from lakehouse.doctor import brokers, lake, machine, progress
from lakehouse.doctor.brokers import Answer, Topic
from lakehouse.doctor.finding import Finding, Verdict, settled
from lakehouse.errors import SourceError
from lakehouse.settings import LakeSettings
from tests.conftest import CONF, ROOT
from tests.lakes import CHECKPOINT, TRIPPED, Planted, match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from lakehouse.checkpoints import Checkpoint
    from lakehouse.entities import Entity

SECRET = "a-secret-of-this-test"
ID = "4ZxGyP0vSNmRz8h3xLkJbQ"
OTHER_ID = "BFIxrFaXTVum7yGx0g46Dw"
CHECKS = "java python versions configuration entities jars broker topics root disk clock locks"
TOPICS = {"esports-matches": Topic(4, id=ID), "esports-players": Topic(2)}
TOMORROW = datetime.now(UTC) + timedelta(days=1)
PROTOCOL = {
    "minReaderVersion": 1,
    "minWriterVersion": 7,
    "writerFeatures": ["inCommitTimestamp", "appendOnly", "invariants"],
}


def commit(home: Path, version: int, *actions: dict[str, Any], at: datetime | None = None) -> None:
    """Write a version of the table at *home*, as Delta does."""
    millis = int((at or datetime.now(UTC)).timestamp() * 1000)
    info = {"timestamp": millis, "inCommitTimestamp": millis, "operation": "TEST"}
    log = home / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(one) for one in ({"commitInfo": info}, *actions)]
    (log / f"{version:020}.json").write_text("\n".join(lines))


def table(home: Path, properties: dict[str, str], *batches: tuple[str, int]) -> None:
    """Plant a table with *properties*, and a commit for each of *batches*: checkpoint and batch."""
    said = {
        "id": "1",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps(
            {
                "type": "struct",
                "fields": [
                    {"name": "timestamp", "type": "timestamp", "nullable": True, "metadata": {}}
                ],
            }
        ),
        "partitionColumns": [],
        "configuration": properties,
        "createdTime": 0,
    }
    commit(home, 0, {"protocol": PROTOCOL}, {"metaData": said})
    for version, (checkpoint, batch) in enumerate(batches, 1):
        commit(home, version, {"txn": {"appId": checkpoint, "version": batch}})


def added(at: datetime) -> dict[str, Any]:
    """Return the action that adds a file of one message, which Kafka had *at* that time."""
    text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    stats = {"numRecords": 1, "minValues": {"timestamp": text}, "maxValues": {"timestamp": text}}
    stats["nullCount"] = {"timestamp": 0}
    file = {"path": f"{at.timestamp()}.parquet", "partitionValues": {}, "size": 1}
    return {"add": {**file, "modificationTime": 0, "dataChange": True, "stats": json.dumps(stats)}}


def checkpoint(folder: Path, name: str, planned: int | None, committed: int | None) -> None:
    """Plant a checkpoint as Spark leaves it."""
    folder.mkdir(parents=True)
    (folder / "metadata").write_text(json.dumps({"id": name}))
    for kind, last in (("offsets", planned), ("commits", committed)):
        (folder / kind).mkdir()
        for batch in range(-1 if last is None else last + 1):
            (folder / kind / str(batch)).write_text("v1\n{}")


def plant(root: Path, of: Entity) -> None:
    """Plant the tables and checkpoints of an entity whose three batches are done."""
    for layer in lake.LAYERS:
        own = {layout.IDENTITY: of.identity, layout.TOPIC_ID: ID if of.name == "matches" else ""}
        stream = "silver" if layer == "quarantine" else layer
        batches = [(CHECKPOINT[stream], batch) for batch in range(3)]
        table(root / layer / of.name, layout.promised(layer, "30 days") | own, *batches)
    for layer in ("bronze", "silver"):
        checkpoint(root / "_checkpoints" / f"{layer}.{of.name}", CHECKPOINT[layer], 2, 2)


def change(root: Path, name: str, **properties: str | None) -> None:
    """Have the table *name* of the lake say *properties* of itself, or no longer say them."""
    layer, _, entity = name.partition(".")
    file = root / layer / entity / "_delta_log" / f"{0:020}.json"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    said = next(one["metaData"] for one in lines if "metaData" in one)["configuration"]
    for key, value in properties.items():
        said.pop(key.replace("__", "."), None)
        if value is not None:
            said[key.replace("__", ".")] = value
    file.write_text("\n".join(map(json.dumps, lines)))


class World:
    """A machine, a Kafka and a lake in which nothing is wrong, until a test spoils something."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        self.conf = home / "project" / "conf"
        self.root = home / "lake"
        self.state = self.root / "_state"
        self.jars = home / "jars"
        self.java = home / "java" / "bin" / "java"
        self.answer: Answer | Exception = Answer(brokers=1, topics=TOPICS)
        project.make(home / "project")
        for one in entities.load_all(CONF):
            plant(self.root, one)
        self.say_java("17.0.15")
        self.jars.mkdir()
        patch.setattr(jars, "locked", self._locked)
        for group in jars.GROUPS:
            (self.jars / self._locked(group)[0].filename).write_bytes(b"")
        # The locked jars and the packages are compared with real ones, which these are not.
        patch.setattr(machine, "versions", lambda: iter((Finding("versions", Verdict.OK, ""),)))
        patch.setattr(brokers, "asked", self._asked)
        patch.setattr(lake, "MOUNTS", home / "no-mounts")
        patch.setenv("JAVA_HOME", str(home / "java"))
        patch.setenv("LAKEHOUSE__LAKE__ROOT", str(self.root))
        patch.setenv("LAKEHOUSE__JARS__DIR", str(self.jars))
        patch.setenv("LAKEHOUSE__KAFKA__SASL_PASSWORD", SECRET)
        patch.setenv("LAKEHOUSE__KAFKA__SASL_USERNAME", SECRET)
        patch.setenv("LAKEHOUSE__KAFKA__OPTIONS__SASL.MECHANISM", "PLAIN")

    def say_java(self, version: str) -> None:
        self.java.parent.mkdir(parents=True, exist_ok=True)
        self.java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        self.java.chmod(0o755)

    def status(self, stream: str, text: str) -> None:
        folder = self.state / stream
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "status.json").write_text(text)

    def examined(self) -> tuple[int, list[dict[str, str]]]:
        """Return the exit code and the findings of the command."""
        result = CliRunner().invoke(lakehouse, ["--conf", str(self.conf), "doctor", "--json"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        assert SECRET not in result.output
        facts = json.loads(result.stdout)
        codes = {"ok": 0, "warn": 1, "fail": 2}
        verdicts = [one["verdict"] for one in facts["findings"]]
        assert facts["verdict"] == max(verdicts, key=lambda verdict: codes[verdict])
        assert result.exit_code == codes[facts["verdict"]]
        return result.exit_code, facts["findings"]

    def _locked(self, group: str) -> list[jars.Jar]:
        nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        return [jars.Jar("org.example", group, "1.0", nothing)]

    def _asked(self, *_: object) -> Answer:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def verdicts(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(one.verdict, one.about) for one in findings]


# The command


def test_where_all_is_well_each_check_says_so_and_nothing_is_changed(world: World) -> None:
    before = {path: path.stat().st_mtime_ns for path in world.root.parent.rglob("*")}

    code, findings = world.examined()

    assert code == 0, [one for one in findings if one["verdict"] != "ok"]
    assert {one["check"] for one in findings} == {*CHECKS.split(), "checkpoints", "properties"}
    assert all(set(one) == {"check", "about", "verdict", "found", "cure"} for one in findings)
    assert not any(one["cure"] for one in findings)
    assert {path: path.stat().st_mtime_ns for path in world.root.parent.rglob("*")} == before


FAULTS: dict[str, tuple[Callable[[World], object], str, str, str, str]] = {
    # what is spoilt: how, check, about, verdict, and a word of what is found or of the cure
    "an old java": (lambda w: w.say_java("11.0.2"), "java", "", "fail", "Java 17"),
    "no java": (lambda w: w.java.unlink(), "java", "", "fail", "JAVA_HOME"),
    "a jar of spark": (
        lambda w: (w.jars / "org.example.spark-1.0.jar").unlink(),
        *("jars", "spark", "fail", "lakehouse jars fetch"),
    ),
    "a jar of the broker": (
        lambda w: (w.jars / "org.example.broker-1.0.jar").write_text("altered"),
        *("jars", "broker", "warn", "altered"),
    ),
    "no TOML": (
        lambda w: (w.conf / "lakehouse.toml").write_text("["),
        *("configuration", "", "fail", "FILE_UNREADABLE"),
    ),
    "an unknown setting": (
        lambda w: w.patch.setenv("LAKEHOUSE__KAFKA__BOOTSTRAPS", "x"),
        *("configuration", "", "fail", "bootstrap"),
    ),
    "a refused option": (
        lambda w: w.patch.setenv("LAKEHOUSE__KAFKA__OPTIONS__GROUP.ID", "x"),
        *("configuration", "", "fail", "group.id"),
    ),
    "a broken entity": (
        lambda w: (w.conf / "entities/players/entity.toml").write_text("topics = 't'"),
        *("entities", "players", "fail", "UNKNOWN_KEY"),
    ),
    "an entity of no more": (
        lambda w: (w.conf / "entities/players").rename(w.conf / "players"),
        *("entities", "silver.players", "warn", "folder back"),
    ),
    "no entity": (
        lambda w: (w.conf / "entities").rename(w.conf / "none"),
        *("entities", "", "fail", "FILE_MISSING"),
    ),
    "no broker": (
        lambda w: setattr(
            w, "answer", SourceError("BROKER_UNREACHABLE", bootstrap="b:1", reason="refused")
        ),
        *("broker", "", "fail", "lakehouse broker start"),
    ),
    "no topic": (
        lambda w: setattr(w, "answer", Answer(1, topics={"esports-players": Topic(1)})),
        *("topics", "esports-matches", "fail", "TOPIC_MISSING"),
    ),
    "a topic created again": (
        lambda w: setattr(
            w, "answer", Answer(1, topics={**TOPICS, "esports-matches": Topic(4, (), OTHER_ID)})
        ),
        *("topics", "esports-matches", "fail", "TOPIC_RECREATED"),
    ),
    "a URL as state": (
        lambda w: w.patch.setenv("LAKEHOUSE__STATE__DIR", str(w.java)),
        *("state", "", "fail", "state.dir"),
    ),
    "a message of tomorrow": (
        lambda w: commit(w.root / "bronze/matches", 4, added(TOMORROW)),
        *("clock", "", "warn", "a message in bronze.matches"),
    ),
    "a version of tomorrow": (
        lambda w: commit(w.root / "silver/matches", 4, at=TOMORROW),
        *("clock", "", "warn", "silver.matches"),
    ),
    "a killed stream": (
        lambda w: w.status("silver.matches", '{"state": "running"}'),
        *("locks", "silver.matches", "warn", "lakehouse start silver --entity matches"),
    ),
    "a status by half": (
        lambda w: w.status("silver.matches", '{"state": "runn'),
        *("locks", "silver.matches", "warn", "remove it"),
    ),
    "a lost checkpoint": (
        lambda w: (w.root / "_checkpoints/silver.matches").rename(w.root / "gone"),
        *("checkpoints", "silver.matches", "fail", "batch 2"),
    ),
    "a lost quarantine": (
        lambda w: (w.root / "quarantine/matches").rename(w.root / "gone"),
        *("checkpoints", "silver.matches", "fail", "quarantine"),
    ),
    "a lost table": (
        lambda w: (w.root / "bronze/matches").rename(w.root / "gone"),
        *("checkpoints", "bronze.matches", "fail", "no table"),
    ),
    "a broken table": (
        lambda w: (w.root / f"bronze/matches/_delta_log/{0:020}.json").write_text("{"),
        *("tables", "bronze.matches", "fail", "TABLE_UNREADABLE"),
    ),
    "another layout": (
        lambda w: change(w.root, "silver.matches", lakehouse__layout="99"),
        *("properties", "silver.matches", "fail", "LAYOUT_UNKNOWN"),
    ),
    "bronze that can lose rows": (
        lambda w: change(w.root, "bronze.matches", delta__appendOnly="false"),
        *("properties", "bronze.matches", "fail", "ALTER TABLE"),
    ),
    "no commit times": (
        lambda w: change(w.root, "quarantine.matches", delta__enableInCommitTimestamps=None),
        *("properties", "quarantine.matches", "fail", "not set"),
    ),
    "another retention": (
        lambda w: w.patch.setenv("LAKEHOUSE__LAKE__TIME_TRAVEL", "90 days"),
        *("properties", "silver.players", "warn", "lake.time_travel"),
    ),
    "another key": (
        lambda w: change(w.root, "silver.matches", lakehouse__entity='{"keys": ["game_id"]}'),
        *("properties", "silver.matches", "fail", "ENTITY_CONFLICT"),
    ),
    "an identity of no JSON": (
        lambda w: change(w.root, "silver.matches", lakehouse__entity="{"),
        *("properties", "silver.matches", "fail", "not JSON"),
    ),
    "deletion vectors": (
        lambda w: change(w.root, "silver.matches", delta__enableDeletionVectors="true"),
        *("properties", "silver.matches", "warn", "start its stream"),
    ),
}


@pytest.mark.parametrize("spoil", FAULTS)
def test_a_fault_is_found_and_cured_in_its_own_line(world: World, spoil: str) -> None:
    how, check, about, verdict, word = FAULTS[spoil]
    how(world)

    code, findings = world.examined()

    wrong = [one for one in findings if (one["check"], one["about"]) == (check, about)]
    found = [one for one in wrong if one["verdict"] == verdict]
    assert found, findings
    assert any(word in one["found"] + one["cure"] for one in found)
    assert all(bool(one["cure"]) == (one["verdict"] != "ok") for one in findings)
    assert code >= {"warn": 1, "fail": 2}[verdict]


def test_a_folder_that_may_not_be_read_is_told(world: World) -> None:
    def refused(path: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    world.patch.setattr(Path, "iterdir", refused)  # root may read everything, also in a container

    code, findings = world.examined()

    told = [one["found"] for one in findings if one["verdict"] == "fail"]
    assert code == 2
    assert f"{world.conf / 'entities'}: Permission denied" in told


def test_one_fault_does_not_hide_the_next(world: World) -> None:
    for spoil in ("no java", "a broken entity", "no broker", "a killed stream", "another layout"):
        FAULTS[spoil][0](world)

    code, findings = world.examined()

    failed = {(one["check"], one["about"]) for one in findings if one["verdict"] != "ok"}
    assert code == 2
    assert failed >= {
        ("java", ""),
        ("entities", "players"),
        ("broker", ""),
        ("locks", "silver.matches"),
        ("properties", "silver.matches"),
    }


def test_lines_carry_verdict_check_and_cure_and_cannot_drive_a_terminal(world: World) -> None:
    world.status("silver.matches", '{"state": "failing", "error": "\\u001b[31mred\\nline"}')

    result = CliRunner().invoke(lakehouse, ["--conf", str(world.conf), "doctor"])

    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert all(line.isprintable() for line in lines)
    (place,) = [n for n, line in enumerate(lines) if line.startswith("warn")]
    assert re.match(r"warn  locks +silver\.matches: it failed at ", lines[place])
    assert re.match(r" +do: +mend the cause", lines[place + 1])
    assert re.fullmatch(r"\d+ ok, 1 warn", lines[-1])


def test_neither_spark_nor_great_expectations_is_loaded(world: World) -> None:
    code = """
import sys
from lakehouse.cli import lakehouse
try:
    lakehouse(["--conf", sys.argv[1], "doctor"])
finally:
    print(*sys.modules, file=sys.stderr)
"""
    world.patch.setenv("LAKEHOUSE__KAFKA__BOOTSTRAP", "127.0.0.1:1")

    done = subprocess.run(
        [sys.executable, "-c", code, str(world.conf)], capture_output=True, text=True, check=False
    )

    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "BROKER_UNREACHABLE" in done.stdout
    assert "deltalake" in loaded
    assert not loaded & {"pyspark", "delta", "great_expectations", "pandas"}


# The machine


def test_the_oldest_python_is_that_of_the_package() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = machine.OLDEST_PYTHON

    assert asked == f">={oldest[0]}.{oldest[1]}"
    assert verdicts(machine.python((*oldest, 0))) == [("ok", "")]
    assert verdicts(machine.python((3, 10, 12))) == [("fail", "")]


def test_the_installed_packages_fit_each_other_and_the_locked_jars() -> None:
    (found,) = machine.versions()

    assert found.verdict == "ok", found
    assert {"pyspark", "delta-spark", "great-expectations"} == {
        part.split()[0] for part in found.found.split(", ")
    }


@pytest.mark.parametrize(
    ("name", "version", "jar", "said"),
    [
        ("pyspark", None, "org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.1", "not installed"),
        ("great-expectations", "1.0.0", "org.apache.spark:kafka:4.1.1", "is 1.0.0"),
        ("pyspark", "4.1.1", "org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.2", "does not fit"),
        ("delta-spark", "4.4.0", "io.delta:delta-storage:4.3.0", "does not fit"),
        ("pyspark", "4.1.1", "io.delta:delta-spark_4.0_2.13:4.4.0", "for Spark 4.0"),
    ],
)
def test_packages_and_jars_that_do_not_fit_are_named(
    name: str, version: str | None, jar: str, said: str
) -> None:
    asked = {"pyspark": "4.1.1", "delta-spark": "4.4.0", "great-expectations": "1.24.1"}
    organisation, artifact, locked_version = jar.split(":")
    locked = [jars.Jar(organisation, artifact, locked_version, "")]

    (found,) = machine.belonging(asked, {**asked, name: version}, locked)

    assert found.verdict == "fail"
    assert said in found.found
    assert "install" in found.cure


def test_only_exact_requirements_are_of_the_set() -> None:
    asked = ["click>=8.2", "pyspark==4.1.1", "duckdb==1.3; extra == 'notebooks'"]

    assert machine.pinned(asked) == {"pyspark": "4.1.1"}


@pytest.mark.parametrize(("batches", "verdict"), [(1, "fail"), (2, "warn"), (20, "ok")])
def test_room_is_measured_in_batches(tmp_path: Path, batches: int, verdict: str) -> None:
    batch = machine.size("256m")

    assert batch == 256 * 1024 * 1024
    assert machine.space(tmp_path, batches * batch, batch).verdict == verdict


def test_folders_of_one_file_system_are_measured_once(tmp_path: Path) -> None:
    folders = [tmp_path / "lake" / "not yet", tmp_path]

    (found,) = machine.room(folders, "1k")

    assert found.verdict == "ok"


@pytest.mark.parametrize(
    ("now", "verdict"), [("1970-01-01", "fail"), ("2026-01-31", "warn"), ("2026-02-02", "ok")]
)
def test_the_clock_is_neither_before_the_product_nor_before_the_lake(
    now: str, verdict: str
) -> None:
    newest = {"a message": datetime(2026, 2, 1, tzinfo=UTC)}
    found = list(machine.clock(datetime.fromisoformat(now).replace(tzinfo=UTC), newest))

    assert verdicts(found) == [(verdict, "")]


def test_the_newest_times_of_a_lake_are_those_of_its_messages_and_commits(
    planted: Path,
) -> None:
    early, late = (datetime(2026, 1, day, 10, tzinfo=UTC) for day in (1, 2))
    home = planted / "bronze" / "matches"
    assert progress.newest_message(DeltaTable(home)) is None

    commit(home, 4, added(late), added(early), at=late)

    assert progress.newest_message(DeltaTable(home)) == late
    assert progress.newest_commit(DeltaTable(home)) == late


def test_files_without_statistics_tell_no_time(tmp_path: Path) -> None:
    Planted(tmp_path).made().batch(match("a", 0))

    assert progress.newest_message(DeltaTable(tmp_path / "bronze" / "matches")) is None


# The lake


def test_a_root_is_written_to_where_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for folder, verdict in {"": "ok", "a/b": "ok", "file": "fail", "file/below": "fail"}.items():
        settings = LakeSettings(root=str(tmp_path / folder))
        (found,) = lake.root(settings, Path(settings.location) / "_state")
        assert found.verdict == verdict, folder
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_root_elsewhere_is_said_not_to_be_looked_at(tmp_path: Path) -> None:
    found = list(lake.root(LakeSettings(root="s3a://bucket/lake"), tmp_path))

    assert [(one.check, one.verdict) for one in found] == [("root", "warn"), ("state", "ok")]


def test_a_root_that_others_share_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/a {tmp_path}/with\\040space nfs4 rw 0 0\n")
    monkeypatch.setattr(lake, "MOUNTS", mounts)
    (tmp_path / "with space").mkdir()

    assert lake.writable("root", "lake.root", tmp_path / "with space").verdict == "warn"
    assert lake.writable("root", "lake.root", tmp_path).verdict == "ok"


def test_who_owns_a_stream_is_named(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stack.enter_context(owner.owning(tmp_path, "silver.matches"))
        owner.show(tmp_path, "silver.matches", state="running")
        owned, other = lake.locks(tmp_path, ["silver.matches", "bronze.matches"])

    assert (owned.verdict, other.verdict) == ("ok", "ok")
    assert re.search(r"pid \d+ on \S+ since .* owns it: running", owned.found)
    assert "not run here" in other.found


@pytest.mark.parametrize(
    ("held", "state", "alive", "verdict", "cure"),
    [
        (False, "stopped", True, "ok", ""),
        (False, "idle", True, "warn", "lakehouse start silver --entity matches"),
        (False, "failing", True, "warn", "mend the cause"),
        (False, "tripped", True, "warn", "lakehouse resume silver.matches"),
        (True, "idle", True, "ok", ""),
        (True, "waiting for broker", True, "warn", "broker"),
        (True, "running", False, "warn", "wait some seconds"),
        (True, "tripped", True, "warn", "lakehouse resume silver.matches"),
    ],
)
def test_a_lock_is_judged_with_the_status(
    held: bool,  # noqa: FBT001 - a case of the table
    state: str,
    alive: bool,  # noqa: FBT001 - so is this
    verdict: str,
    cure: str,
) -> None:
    holder = owner.Holder(1, "here", "now") if held else None
    tripped = TRIPPED if state == "tripped" else None

    status = {"pid": 1, "state": state, "error": "E"}
    found = lake.lock("silver.matches", holder, status, tripped, alive=alive)

    assert found.verdict == verdict
    assert cure in found.cure
    assert bool(found.cure) == bool(cure)


@pytest.mark.parametrize("state", ["failing", "tripped", "waiting for broker"])
def test_what_a_former_process_told_says_nothing_of_a_new_owner(tmp_path: Path, state: str) -> None:
    with owner.owning(tmp_path, "silver.matches"):
        owner.show(tmp_path, "silver.matches", state=state, error="E")
        status = tmp_path / "silver.matches" / "status.json"
        status.write_text(json.dumps({**json.loads(status.read_text()), "pid": 1}))
        (found,) = lake.locks(tmp_path, ["silver.matches"])

    assert found.verdict == "ok"
    assert found.found.endswith("owns it: starting")


def test_a_breaker_is_tripped_until_it_is_resumed(tmp_path: Path) -> None:
    with owner.owning(tmp_path, "silver.matches"):
        owner.show(tmp_path, "silver.matches", state="tripped", error="E")
    breaker = tmp_path / "silver.matches" / "breaker.json"
    breaker.write_text(json.dumps({"tripped": TRIPPED}))
    (before,) = lake.locks(tmp_path, ["silver.matches"])
    breaker.write_text(json.dumps({"resumed": {"batch_id": 7}}))
    (after,) = lake.locks(tmp_path, ["silver.matches"])

    assert (before.verdict, after.verdict) == ("warn", "ok")
    assert "batch 7: 90.0 %" in before.found
    assert after.found == "nobody owns it"


def test_a_holder_of_this_machine_that_is_gone_is_seen_to_be(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with owner.owning(tmp_path, "silver.matches"):
        lock = tmp_path / "silver.matches" / "lock"
        lock.write_text(json.dumps({**json.loads(lock.read_text()), "pid": ended.pid}))
        (found,) = lake.locks(tmp_path, ["silver.matches"])

    assert found.verdict == "warn"
    assert f"pid {ended.pid}" in found.found


# Checkpoints


def compared(root: Path, stream: str = "silver.matches") -> Finding:
    layer, _, name = stream.partition(".")
    tables = {
        one: DeltaTable(root / one / name) if (root / one / name).exists() else None
        for one in (layer, "quarantine")
    }
    folder = root / "_checkpoints" / stream
    (found,) = settled(
        "checkpoints",
        lambda: progress.compared(stream, folder, tables[layer], tables["quarantine"]),
        stream,
    )
    return found


@pytest.fixture
def planted(tmp_path: Path, matches: Entity) -> Path:
    plant(tmp_path, matches)
    return tmp_path


@pytest.mark.parametrize("stream", ["bronze.matches", "silver.matches"])
def test_a_checkpoint_and_its_table_tell_the_same_story(planted: Path, stream: str) -> None:
    found = compared(planted, stream)

    assert found.verdict == "ok"
    assert "batch 2 is done" in found.found


def test_where_nothing_has_run_all_is_well(tmp_path: Path) -> None:
    assert compared(tmp_path).verdict == "ok"


def test_a_batch_in_hand_is_no_fault(planted: Path) -> None:
    (planted / "_checkpoints/silver.matches/offsets/3").write_text("v1\n{}")
    before = compared(planted)
    commit(planted / "silver/matches", 4, {"txn": {"appId": CHECKPOINT["silver"], "version": 3}})
    after = compared(planted)

    assert (before.verdict, after.verdict) == ("ok", "ok")
    assert "batch 3 is in hand" in before.found


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("metadata", b""),
        ("metadata", b"[]"),
        ("metadata", b"\xff"),
        ("metadata", None),
        ("commits/2", b""),
        ("offsets/2", b"\0\0\0\0"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_names_the_file(
    planted: Path, file: str, content: bytes | None
) -> None:
    path = planted / "_checkpoints" / "silver.matches" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)

    found = compared(planted)
    (running,) = progress.readable(
        "silver.matches", path.parent if file == "metadata" else path.parents[1]
    )

    assert (found.verdict, running.verdict) == ("fail", "fail")
    assert str(path) in found.found
    assert "never delete it" in found.cure


@pytest.mark.parametrize("name", ["a lake", "50% #1?", "Łódź"])
def test_a_deleted_checkpoint_is_found_whatever_the_path_of_the_lake(
    tmp_path: Path, matches: Entity, name: str
) -> None:
    plant(tmp_path / name, matches)
    (tmp_path / name / "_checkpoints" / "silver.matches").rename(tmp_path / "gone")

    found = compared(tmp_path / name)

    assert found.verdict == "fail"
    assert "the table has batch 2, and there is no checkpoint" in found.found


def test_an_older_copy_of_a_checkpoint_is_found(planted: Path) -> None:
    for kind in ("offsets", "commits"):
        (planted / "_checkpoints" / "silver.matches" / kind / "2").unlink()
    (planted / "_checkpoints" / "silver.matches" / "commits" / "1").unlink()

    found = compared(planted)

    assert found.verdict == "fail"
    assert "CHECKPOINT_MISMATCH" in found.found


@pytest.mark.parametrize("layer", ["silver", "quarantine"])
def test_a_table_of_another_checkpoint_is_found(planted: Path, layer: str) -> None:
    for version in range(1, 4):
        batch = {"appId": "another", "version": version - 1}
        commit(planted / layer / "matches", version, {"txn": batch})

    found = compared(planted)

    assert found.verdict == "fail"
    assert "another checkpoint" in found.found


@pytest.mark.parametrize("checkpoint", ["another", None])
def test_a_log_that_cannot_be_read_is_told_and_not_raised(
    planted: Path, checkpoint: str | None
) -> None:
    folder = planted / "_checkpoints" / "bronze.matches"
    if checkpoint is None:
        folder.rename(planted / "gone")
    else:
        (folder / "metadata").write_text(json.dumps({"id": checkpoint}))
    table = DeltaTable(planted / "bronze" / "matches")
    (planted / "bronze/matches/_delta_log" / f"{3:020}.json").write_text("{")

    (found,) = settled(
        "checkpoints", lambda: progress.compared("bronze.matches", folder, table, None)
    )

    assert found.verdict == "fail"
    assert "TABLE_UNREADABLE" in found.found


def test_a_running_stream_is_not_compared(world: World) -> None:
    (world.root / "_checkpoints/silver.matches/commits/2").unlink()
    (world.root / "_checkpoints/silver.matches/offsets/2").unlink()
    resting, _ = progress_of_silver(world)
    with owner.owning(world.state, "silver.matches"):
        running, _ = progress_of_silver(world)

    assert (resting, running) == ("fail", "ok")


def refine(root: Path) -> None:
    """Have silver.matches do its fourth batch."""
    for kind in ("offsets", "commits"):
        (root / "_checkpoints/silver.matches" / kind / "3").write_text("v1\n{}")
    commit(root / "silver/matches", 4, {"txn": {"appId": CHECKPOINT["silver"], "version": 3}})


def progress_of_silver(world: World) -> tuple[str, str]:
    """Return the verdict on the checkpoint of silver.matches, and what is said of it."""
    (found,) = (
        one
        for one in world.examined()[1]
        if (one["check"], one["about"]) == ("checkpoints", "silver.matches")
    )
    return found["verdict"], found["found"]


def test_a_stream_that_ran_since_the_tables_were_opened_is_in_order(world: World) -> None:
    def asked(*_: object) -> Answer:
        refine(world.root)
        return Answer(brokers=1, topics=TOPICS)

    world.patch.setattr(brokers, "asked", asked)

    assert progress_of_silver(world) == ("ok", "batch 3 is done, in its table too")


def test_a_stream_that_begins_while_it_is_compared_is_in_order(world: World) -> None:
    read = progress.read
    with ExitStack() as stack:

        def begun(folder: Path) -> Checkpoint | None:
            if folder.name == "silver.matches":
                world.patch.setattr(progress, "read", read)
                stack.enter_context(owner.owning(world.state, "silver.matches"))
                refine(world.root)
            return read(folder)

        world.patch.setattr(progress, "read", begun)
        verdict, said = progress_of_silver(world)

    assert verdict == "ok"
    assert said.startswith("batch 3 is done, in its table too; its stream runs")


def test_what_the_operating_system_refuses_is_a_finding() -> None:
    def refused() -> Iterator[Finding]:
        yield Finding("x", Verdict.OK, "before")
        raise PermissionError(13, "Permission denied", "/some/file")

    before, found = settled("x", refused)

    assert (before.verdict, found.verdict) == ("ok", "fail")
    assert found.found == "/some/file: Permission denied"
