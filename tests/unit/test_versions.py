"""Which version a number or a time means, and which of them can still be read."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lakehouse.errors import ConfigError, TableError
from lakehouse.reading import versions
from lakehouse.reading.tables import Table
from tests import planted
from tests.planted import FIRST, STEP

MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def silver(tmp_path: Path) -> Table:
    """Five versions, ten minutes apart."""
    return Table("silver.matches", str(planted.silver(tmp_path)))


def gone(table: Table, as_of: int | datetime) -> TableError:
    log = versions.log(table)
    with pytest.raises(TableError) as found:
        versions.opened(log, versions.chosen(log, as_of))
    assert found.value.code == "VERSION_GONE"
    return found.value


# What is meant


@pytest.mark.parametrize(
    ("after", "version"),
    [
        (timedelta(), 0),
        (STEP - MOMENT, 0),
        (STEP, 1),
        (3 * STEP + MOMENT, 3),
        (4 * STEP, 4),
        (365 * STEP, 4),
    ],
)
def test_a_time_means_the_newest_version_committed_by_then(
    silver: Table, after: timedelta, version: int
) -> None:
    assert versions.chosen(versions.log(silver), FIRST + after) == version


def test_without_a_wish_the_newest_is_meant(silver: Table) -> None:
    log = versions.log(silver)

    assert (versions.chosen(log), log.oldest) == (4, 0)
    assert versions.opened(log, 3).to_pyarrow_table().num_rows == 3


def test_the_time_in_the_commit_counts_and_not_that_of_its_file(silver: Table) -> None:
    log = versions.log(silver)

    assert [log.time(version) - FIRST for version in range(5)] == [n * STEP for n in range(5)]


def test_delta_rs_goes_by_the_time_of_the_file_so_it_is_only_told_versions(silver: Table) -> None:
    when = FIRST + 2 * STEP
    for version, file in enumerate(sorted(Path(silver.path, "_delta_log").glob("*.json"))):
        copied = (when + (version - 1) * STEP).timestamp()
        os.utime(file, (copied, copied))

    theirs = DeltaTable(silver.path)
    theirs.load_as_version(when)

    assert theirs.version() == 1
    assert versions.chosen(versions.log(silver), when) == 2


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        (" 2026-01-31 10:00 ", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T10:00:00.123Z", datetime(2026, 1, 31, 10, 0, 0, 123000, tzinfo=UTC)),
        ("2026-01-31T10:00+01:00", datetime(2026, 1, 31, 9, tzinfo=UTC)),
        (datetime(2026, 1, 31, 10), datetime(2026, 1, 31, 10, tzinfo=UTC)),  # noqa: DTZ001 - the point
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text: str, when: datetime) -> None:
    assert versions.at(text) == when
    assert versions.at(versions.stamp(when)) == when


@pytest.mark.parametrize("text", ["", "yesterday", "10:00", "2026-02-30", "3", "0001-01-01T00+14"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as found:
        versions.at(text)

    assert found.value.code == "BAD_TIME"


# What is gone


@pytest.mark.parametrize(("version", "why"), [(5, "no newer one"), (-1, "the first version is 0")])
def test_a_version_that_never_was_names_those_that_are(
    silver: Table, version: int, why: str
) -> None:
    error = gone(silver, version)

    assert (error.params["oldest"], error.params["newest"]) == (0, 4)
    assert why in str(error.params["reason"])


@pytest.mark.parametrize(
    ("when", "why"),
    [
        (FIRST - MOMENT, "the table was made later"),
        (datetime(9999, 1, 1, tzinfo=UTC), "that time has yet to come"),
    ],
)
def test_a_time_without_a_version_says_why(silver: Table, when: datetime, why: str) -> None:
    assert gone(silver, when).params["reason"] == why


@pytest.mark.parametrize("as_of", [1, FIRST + STEP])
def test_what_went_with_the_log_says_so(
    silver: Table, tmp_path: Path, as_of: int | datetime
) -> None:
    planted.clean_up(tmp_path / "silver" / "matches", before=2)

    error = gone(silver, as_of)

    assert (error.params["oldest"], error.params["newest"]) == (2, 4)
    assert error.params["since"] == "2020-01-31T10:20:00.000Z"
    assert error.params["reason"] == versions.CLEANED
    assert versions.opened(versions.log(silver), 2).to_pyarrow_table().num_rows == 4


def test_a_version_before_the_first_whole_checkpoint_cannot_be_made(
    silver: Table, tmp_path: Path
) -> None:
    log = tmp_path / "silver" / "matches" / "_delta_log"
    planted.clean_up(log.parent, before=3)
    (log / "00000000000000000002.json").write_text((log / "00000000000000000003.json").read_text())
    (log / "00000000000000000001.checkpoint.parquet").touch()  # its commit is gone
    part = "00000000000000000002.checkpoint.0000000001.0000000002.parquet"
    (log / part).touch()  # the other part is gone

    found = versions.log(silver)

    assert (found.first, found.oldest, found.newest) == (2, 3, 4)


def test_what_a_vacuum_took_says_so_and_names_the_oldest_with_all_its_files(
    silver: Table, tmp_path: Path
) -> None:
    (file,) = planted.vacuum(tmp_path / "silver" / "matches", upto=2)

    error = gone(silver, 1)

    assert (error.params["oldest"], error.params["newest"]) == (2, 4)
    assert error.params["reason"] == f"{versions.VACUUMED}, such as {file}"
    log = versions.log(silver)
    for version, rows in ((0, 0), (2, 4), (3, 3), (4, 3)):
        assert versions.opened(log, version).to_pyarrow_table().num_rows == rows


def test_the_last_commit_whose_files_a_vacuum_took_begins_what_can_be_read(
    silver: Table, tmp_path: Path
) -> None:
    planted.vacuum(tmp_path / "silver" / "matches", upto=3)

    assert gone(silver, 1).params["oldest"] == gone(silver, 2).params["oldest"] == 3
    assert versions.opened(versions.log(silver), 3).to_pyarrow_table().num_rows == 3


def test_where_no_table_is_it_is_missing(tmp_path: Path) -> None:
    with pytest.raises(TableError) as found:
        versions.log(planted.catalog(tmp_path).table("silver.matches"))

    assert found.value.code == "TABLE_MISSING"
    assert "lakehouse start silver --entity matches" in found.value.message.cure


def test_a_log_that_is_cleaned_up_between_two_looks_is_no_traceback(
    silver: Table, tmp_path: Path
) -> None:
    log = versions.log(silver)
    planted.clean_up(tmp_path / "silver" / "matches", before=2)

    with pytest.raises(TableError) as found:
        versions.chosen(log, FIRST + STEP)
    assert found.value.code == "TABLE_UNREADABLE"
    with pytest.raises(TableError) as found:
        versions.opened(log, 1)
    assert found.value.code == "VERSION_GONE"


# Names


def test_the_tables_of_a_lake_have_names(tmp_path: Path) -> None:
    known = planted.catalog(tmp_path)

    assert known.existing() == []
    planted.silver(tmp_path)
    assert [table.name for table in known.existing()] == ["silver.matches"]
    assert known.table("audit.silver.matches").path == f"{tmp_path}/audit/silver.matches"


def test_a_name_of_no_table_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as found:
        planted.catalog(tmp_path).table("sliver.matches")

    assert found.value.code == "UNKNOWN_TABLE"
    assert "silver.matches" in str(found.value.params["nearest"])


@pytest.mark.parametrize("name", ["", "silver", "silver.", "silver.../x", "silver./etc", "gold.x"])
def test_a_name_never_leads_out_of_the_lake(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError):
        planted.catalog(tmp_path).table(name)


def test_a_table_of_an_entity_that_is_no_longer_configured_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "silver" / "former" / "_delta_log").mkdir(parents=True)

    assert planted.catalog(tmp_path).table("silver.former").name == "silver.former"
