"""On a million rows and ten thousand versions each look is answered, and without a JVM.

How long they take is measured by `make bench`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests import planted
from tests.conftest import CONF

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROWS, VERSIONS = 1_000_000, 10_000
# As Delta does by itself.
CHECKPOINT_EVERY = 10
COMMAND = """
import sys
from lakehouse.cli import main
sys.argv[0] = "lakehouse"
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
LOOKS = {
    "status": ["status", "--json"],
    "history": ["history", "silver.matches", "--json"],
    "query": [
        "query",
        "SELECT status, count(*) AS n, max(_offset) FROM silver.matches GROUP BY ALL",
        "--json",
    ],
    "query of then": [
        "query",
        "SELECT count(*) AS n FROM silver.matches WHERE match_id = 'm500000'",
        "--at",
        "2020-03-01",
        "--json",
    ],
    "schema": ["schema", "bronze.matches", "--json"],
    "diff": ["diff", "silver.matches", "9000", "9990", "--json"],
}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of a million matches, each of its tables with ten thousand versions."""
    root = tmp_path_factory.mktemp("large")
    numbers = np.arange(ROWS)
    rows = pa.table(
        {
            "match_id": pa.array(np.char.add("m", numbers.astype(str))),
            "status": pa.array(np.array(["live", "finished", "scheduled"])[numbers % 3]),
            "team_1_gold": pa.array(numbers % 90_000, pa.int32()),
            "_offset": pa.array(numbers),
        }
    )
    messages = rows.slice(0, 100_000).rename_columns(["value", "topic", "partition", "offset"])
    commits = root / "commits"
    commits.mkdir()
    for version in range(1, VERSIONS):
        (commits / f"{version:020d}.json").write_text(commit(version))
    for name, content in (("silver", rows), ("bronze", messages), ("quarantine", messages)):
        path = root / name / "matches"
        write_deltalake(path, content)
        planted.stamp(path, (), planted.SILVER if name == "silver" else {})
        lengthen(path, commits)
    return root


def commit(version: int) -> str:
    """Return the file of a commit that changes no row."""
    at = int((planted.FIRST + version * planted.STEP).timestamp() * 1000)
    info = {
        "inCommitTimestamp": at,
        "timestamp": at,
        "operation": "MERGE",
        "operationMetrics": {"numTargetRowsUpdated": "0"},
        "userMetadata": json.dumps(planted.record(version, 100, 1)),
    }
    return json.dumps({"commitInfo": info}) + "\n"


def lengthen(path: Path, commits: Path) -> None:
    """Give the table at *path* its versions: links to log files, and to its one checkpoint."""
    DeltaTable(path).create_checkpoint()
    log = path / "_delta_log"
    for file in commits.iterdir():
        os.link(file, log / file.name)
    first = log / f"{0:020d}.checkpoint.parquet"
    for version in range(CHECKPOINT_EVERY, VERSIONS, CHECKPOINT_EVERY):
        os.link(first, log / f"{version:020d}.checkpoint.parquet")
    last = json.loads((log / "_last_checkpoint").read_text())
    (log / "_last_checkpoint").write_text(json.dumps({**last, "version": version}))


@pytest.fixture(scope="module")
def environment(large: Path) -> dict[str, str]:
    """An environment in which whoever starts Java leaves a mark."""
    java = large / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\ntouch {large}/java-was-started\nexit 1\n")
    java.chmod(0o755)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("LAKEHOUSE_")}
    return {
        **clean,
        "PATH": f"{java.parent}:{clean['PATH']}",
        "JAVA_HOME": str(java.parents[1]),
        "LAKEHOUSE__LAKE__ROOT": str(large),
    }


def look(arguments: list[str], environment: Mapping[str, str]) -> tuple[str, set[str]]:
    """Return what a command printed, and which packages it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "--conf", str(CONF), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, {module.partition(".")[0] for module in done.stderr.split()}


def test_whoever_starts_java_leaves_a_mark(large: Path, environment: dict[str, str]) -> None:
    subprocess.run(["java"], env=environment, check=False)  # found on the PATH of this environment

    assert (large / "java-was-started").exists()
    (large / "java-was-started").unlink()


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_is_answered_without_java_and_without_pandas(
    large: Path, environment: dict[str, str], name: str
) -> None:
    answer, loaded = look(LOOKS[name], environment)

    facts = json.loads(answer)
    if name == "status":
        assert facts["streams"][1]["version"] == VERSIONS - 1
    elif name == "history":
        assert (facts["oldest"], facts["newest"]) == (0, VERSIONS - 1)
    elif name == "schema":
        assert facts["version"] == VERSIONS - 1
    elif name == "diff":
        assert facts["added"] == facts["changed"] == facts["removed"] == 0
    else:
        assert sum(row["n"] for row in facts["rows"]) == (ROWS if name == "query" else 1)
    assert "lakehouse" in loaded
    assert not loaded & {"pyspark", "delta", "py4j", "great_expectations", "pandas", "polars"}
    assert not (large / "java-was-started").exists()
