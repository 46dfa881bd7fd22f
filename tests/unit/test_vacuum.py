"""What a vacuum would take is told, with who still needs it; nothing is deleted by telling."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from lakehouse.cli import lakehouse
from lakehouse.cli.options import by_owner
from lakehouse.errors import TableError
from lakehouse.reading import versions
from lakehouse.reading.tables import Table
from lakehouse.reading.vacuum import plan
from tests import planted
from tests.conftest import CONF
from tests.planted import STEP

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def silver(tmp_path: Path) -> Path:
    """Five versions; 2 and 3 removed a file each."""
    return planted.silver(tmp_path)


def table(path: Path) -> Table:
    return Table(f"{path.parent.name}.{path.name}", str(path))


def bronze(root: Path) -> Path:
    """Plant a bronze table whose versions are those of `silver`."""
    planted.silver(root / "made").parent.rename(root / "bronze")
    return root / "bronze" / "matches"


def test_files_and_versions_that_would_go_are_those_that_go(silver: Path) -> None:
    before = sorted(silver.glob("*.parquet"))
    found = plan(table(silver), str(silver.parent.parent))

    assert (found.files, found.oldest, found.remaining, found.newest) == (2, 0, 3, 4)
    assert found.needed is None
    assert sorted(silver.glob("*.parquet")) == before
    gone = planted.vacuum(silver, upto=3)
    assert len(gone) == found.files
    log = versions.log(table(silver))
    assert versions.vacuumed(log, log.newest, log.oldest) == found.remaining
    after = plan(table(silver), str(silver.parent.parent))
    assert (after.files, after.bytes, after.oldest, after.remaining) == (0, 0, 3, 3)


def test_the_bytes_are_those_of_the_files(silver: Path) -> None:
    sizes = {file.name: file.stat().st_size for file in silver.glob("*.parquet")}
    found = plan(table(silver), str(silver.parent.parent))
    assert found.bytes == sum(sizes[name] for name in planted.vacuum(silver, upto=3))


def test_what_was_removed_within_the_time_that_is_promised_stays(tmp_path: Path) -> None:
    path = planted.silver(tmp_path)
    # The removal of version 2 is just too old, and that of version 3 is not.
    young = datetime.now(UTC) - timedelta(days=30) - 2 * STEP - STEP / 2
    planted.stamp(path, first=young)
    found = plan(table(path), str(tmp_path))
    assert (found.files, found.oldest, found.remaining) == (1, 0, 2)


def test_bronze_that_silver_has_yet_to_read_is_needed(tmp_path: Path) -> None:
    own = table(bronze(tmp_path))

    assert "silver.matches has not begun" in str(plan(own, str(tmp_path)).needed)
    offsets, commits = (
        tmp_path / "_checkpoints" / "silver.matches" / kind for kind in ("offsets", "commits")
    )
    for folder in (offsets, commits):
        folder.mkdir(parents=True)
    for number, version in enumerate((2, 3)):
        offset = json.dumps({"reservoirVersion": version, "index": -1})
        (offsets / str(number)).write_text(f"v1\n{{}}\n{offset}")
    (commits / "0").touch()
    only = "silver.matches has read bronze.matches up to version 2 only"
    assert plan(own, str(tmp_path)).needed == only, "the batch that is planned reads from there"
    (commits / "1").touch()
    assert plan(own, str(tmp_path)).needed is None


def test_the_command_tells_and_deletes_nothing(
    silver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(silver.parent.parent))
    done = CliRunner().invoke(lakehouse, ["--conf", str(CONF), "vacuum"])
    assert done.exit_code == 0, done.output
    first, second, last = done.output.splitlines()
    assert first.startswith("silver.matches: 2 files, ")
    assert second == "  versions 0 to 2 would cease to be readable; 3 to 4 stay"
    assert last == "nothing was deleted; --apply does it"
    said = CliRunner().invoke(
        lakehouse, ["--conf", str(CONF), "vacuum", "silver.matches", "--json"]
    )
    assert json.loads(said.output)["tables"]["silver.matches"]["remaining"] == 3
    assert DeltaTable(silver, version=1).to_pyarrow_table().num_rows == 3


def test_a_vacuum_of_what_is_needed_is_refused_before_spark_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bronze(tmp_path)
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    done = CliRunner().invoke(lakehouse, ["--conf", str(CONF), "vacuum", "--apply"])
    assert isinstance(done.exception, TableError)
    assert done.exception.code == "VACUUM_REFUSED"


def test_each_table_has_the_owner_that_writes_it() -> None:
    names = [
        "bronze.a",
        "silver.a",
        "quarantine.a",
        "quarantine.a_decisions",
        "audit.bronze.a",
        "audit.quarantine.a",
        "audit.silver.a.validations",
    ]
    assert by_owner([Table(name, "") for name in names]) == {
        "bronze.a": ["bronze.a", "audit.bronze.a"],
        "silver.a": [
            "silver.a",
            "quarantine.a",
            "quarantine.a_decisions",
            "audit.quarantine.a",
            "audit.silver.a.validations",
        ],
    }
