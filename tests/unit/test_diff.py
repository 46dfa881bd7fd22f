"""The difference of two versions: rows added, changed and removed, and those only touched."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from deltalake import DeltaTable, write_deltalake
from pyarrow import parquet

from lakehouse.cli import lakehouse
from lakehouse.errors import TableError
from lakehouse.reading import versions
from lakehouse.reading.diff import diff
from tests import planted
from tests.conftest import CONF

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.reading.diff import Diff


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    planted.silver(tmp_path)
    return tmp_path


def between(root: Path, before: int, after: int, name: str = "silver.matches", **wish: Any) -> Diff:
    return diff(planted.catalog(root).table(name), before, after, **wish)


def counts(found: Diff) -> tuple[int, int, int, int]:
    return found.added, found.changed, found.removed, found.touched


def changes(found: Diff) -> list[tuple[Any, ...]]:
    names = ("_change_type", "match_id", "status", "team_1_gold")
    return [tuple(row[name] for name in names) for row in found.rows.to_pylist()]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(lakehouse, ["--conf", str(CONF), "diff", *arguments])


def test_rows_are_added_changed_removed_or_only_touched(lake: Path) -> None:
    found = between(lake, 1, 3)

    assert counts(found) == (1, 1, 1, 1)
    assert changes(found) == [
        ("delete", "a", "live", 1),
        ("update_preimage", "b", "live", 2),
        ("update_postimage", "b", "finished", 5),
        ("insert", "d", "live", 7),
    ]
    assert (found.keys, found.whole) == (("match_id",), True)


def test_the_way_back_is_the_way_with_its_ends_changed(lake: Path) -> None:
    found = between(lake, 3, 1)

    assert counts(found) == (1, 1, 1, 1)
    assert [one[:2] for one in changes(found)] == [
        ("insert", "a"),
        ("update_preimage", "b"),
        ("update_postimage", "b"),
        ("delete", "d"),
    ]


def test_a_touched_row_counts_as_changed_where_marks_are_asked_for(lake: Path) -> None:
    found = between(lake, 1, 2, marks=True)

    assert counts(found) == (1, 2, 0, 0)
    assert ("update_postimage", "c", "live", None) in changes(found)


@pytest.mark.parametrize(("before", "after"), [(2, 2), (3, 4)])
def test_between_versions_of_the_same_rows_nothing_differs(
    lake: Path, before: int, after: int
) -> None:
    found = between(lake, before, after)

    assert (counts(found), found.rows.num_rows) == ((0, 0, 0, 0), 0)


def test_all_changes_are_counted_and_some_are_shown(lake: Path) -> None:
    found = between(lake, 1, 3, limit=2)

    assert counts(found) == (1, 1, 1, 1)
    assert [one[0] for one in changes(found)] == ["delete", "update_preimage", "update_postimage"]
    assert not found.whole
    assert between(lake, 1, 3, limit=3).whole


def test_moving_rows_to_other_files_is_no_difference(tmp_path: Path) -> None:
    path = tmp_path / "silver" / "matches"
    for number in range(4):
        rows = planted.matches((str(number), "live", number, number))
        write_deltalake(path, rows, mode="append")
    DeltaTable(path).optimize.compact()
    planted.stamp(path, (), planted.SILVER)

    assert counts(between(tmp_path, 3, 4)) == (0, 0, 0, 0)
    assert counts(between(tmp_path, 2, 4)) == (1, 0, 0, 0)


def test_only_files_that_one_version_has_alone_are_read(lake: Path) -> None:
    log = versions.log(planted.catalog(lake).table("silver.matches"))
    before, after = (set(versions.opened(log, n).file_uris()) for n in (3, 4))
    for file in before & after:
        (lake / "silver" / "matches" / file.rpartition("/")[2]).write_bytes(b"not Parquet")

    assert before == after
    assert counts(between(lake, 3, 4)) == (0, 0, 0, 0)


def test_a_column_that_a_version_has_not_is_null_there(tmp_path: Path) -> None:
    path = tmp_path / "silver" / "matches"
    write_deltalake(path, planted.matches(("a", "live", 1, 0), ("b", "live", 2, 1)))
    wider = planted.matches(("a", "live", 1, 0), ("b", "live", 2, 1))
    tags = pa.array([["x"], None], pa.list_(pa.string()))
    wider = wider.append_column("tags", tags)
    write_deltalake(path, wider, mode="overwrite", schema_mode="overwrite")
    planted.stamp(path, (), planted.SILVER)

    there, back = between(tmp_path, 0, 1), between(tmp_path, 1, 0)

    assert (counts(there), counts(back)) == ((0, 1, 0, 0), (0, 1, 0, 0))
    assert there.rows["tags"].to_pylist() == [None, ["x"]]
    assert back.rows["tags"].to_pylist() == [["x"], None]


@pytest.mark.parametrize("kind", [pa.int64(), None])
def test_versions_on_both_sides_of_a_change_of_keys_are_refused(
    tmp_path: Path, kind: pa.DataType | None
) -> None:
    path = tmp_path / "silver" / "matches"
    rows = planted.matches(("a", "live", 1, 0))
    before = rows.drop_columns("match_id")
    if kind is not None:
        before = rows.set_column(0, "match_id", pa.array([1], kind))
    write_deltalake(path, before)
    write_deltalake(path, rows, mode="overwrite", schema_mode="overwrite")
    planted.stamp(path, (), planted.SILVER)

    with pytest.raises(TableError) as caught:
        between(tmp_path, 0, 1)
    assert (caught.value.code, caught.value.params["key"]) == ("KEYS_CHANGED", "match_id")
    assert caught.value.params["before"] == ("missing" if kind is None else "int64")


def test_nulls_nans_and_nested_values_are_equal_to_themselves(tmp_path: Path) -> None:
    path = tmp_path / "silver" / "matches"
    rows = pa.table(
        {
            "match_id": pa.array(["a", "b", None]),
            "share": [float("nan"), None, 1.0],
            'odd "name"': pa.array([[{"x": "1"}], None, []]),
        }
    )
    write_deltalake(path, rows)
    write_deltalake(path, rows, mode="overwrite")
    planted.stamp(path, (), planted.SILVER)

    assert counts(between(tmp_path, 0, 1)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    "name", [*("place", "side", "kind", "o", "n"), *("old", "new", "pairs", "kept")]
)
def test_a_column_can_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "silver" / "matches"
    for values in ([9, 8, 7], [9, 6, 5]):
        rows = pa.table({"match_id": ["a", "b", "c"], name: values})
        write_deltalake(path, rows, mode="overwrite")
    planted.stamp(path, (), planted.SILVER)

    found = between(tmp_path, 0, 1)

    assert found.rows.column_names == ["_change_type", "match_id", name]
    assert [tuple(row.values()) for row in found.rows.to_pylist()] == [
        ("update_preimage", "b", 8),
        ("update_postimage", "b", 6),
        ("update_preimage", "c", 7),
        ("update_postimage", "c", 5),
    ]
    assert counts(found) == (0, 2, 0, 0)


@pytest.mark.parametrize("layer", ["bronze", "quarantine"])
def test_messages_are_told_apart_by_their_position(tmp_path: Path, layer: str) -> None:
    path = tmp_path / layer / "matches"
    for offset in range(2):
        row = {"topic": ["t"], "topic_id": pa.array([None], pa.string()), "partition": [0]}
        more = {"offset": [offset], "value": ["x"]}
        write_deltalake(path, pa.table(row | more), mode="append")
    planted.stamp(path, (), {"lakehouse.entity": '{"topic": "t"}'})

    found = between(tmp_path, 0, 1, f"{layer}.matches")

    assert counts(found) == (1, 0, 0, 0)
    assert found.keys == ("topic", "topic_id", "partition", "offset")


def test_a_version_that_is_gone_is_named(lake: Path) -> None:
    planted.clean_up(lake / "silver" / "matches", before=2)

    with pytest.raises(TableError) as found:
        between(lake, 1, 3)

    assert (found.value.code, found.value.params["oldest"]) == ("VERSION_GONE", 2)


# The command


@pytest.mark.usefixtures("lake")
def test_the_command_shows_each_old_and_new_value() -> None:
    text = invoke("silver.matches", "1", "v3").stdout

    assert "1 added, 1 changed, 1 removed, 1 touched" in text
    assert "~ b  status: live -> finished, team_1_gold: 2 -> 5\n" in text
    assert "- a  status=live, team_1_gold=1, started_at=2020-01-31T10:00:00Z\n" in text
    assert "+ d  " in text


@pytest.mark.usefixtures("lake")
def test_times_are_taken_for_versions_and_json_has_the_stated_shape() -> None:
    facts = json.loads(invoke("silver.matches", "2020-01-31 10:15", "3", "--json").stdout)

    assert facts["from"] == {"version": 1, "at": "2020-01-31T10:10:00.000Z"}
    assert facts["keys"] == ["match_id"]
    removed, changed, added = facts["changes"]
    assert (removed["change"], removed["row"]["team_1_gold"]) == ("removed", 1)
    assert changed == {
        "change": "changed",
        "key": {"match_id": "b"},
        "columns": {
            "status": {"old": "live", "new": "finished"},
            "team_1_gold": {"old": 2, "new": 5},
            "_offset": {"old": 1, "new": 3},
        },
    }
    assert added["key"] == {"match_id": "d"}


@pytest.mark.usefixtures("lake")
def test_rows_come_out_as_change_data(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    shown = invoke("silver.matches", "1", "3", "--format", "csv").stdout
    invoke("silver.matches", "1", "3", "--format", "parquet", "--output", str(file))

    kinds = Counter(parquet.read_table(file)["_change_type"].to_pylist())
    assert kinds == {"insert": 1, "delete": 1, "update_preimage": 1, "update_postimage": 1}
    assert Counter(row["_change_type"] for row in csv.DictReader(io.StringIO(shown))) == kinds


@pytest.mark.usefixtures("lake")
def test_a_cut_list_of_changes_is_told_on_stderr() -> None:
    result = invoke("silver.matches", "1", "3", "--limit", "1")

    assert "only the first 1 changes" in result.stderr
    assert len(result.stdout.splitlines()) == 3


def test_a_changed_value_cannot_drive_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE__LAKE__ROOT", str(tmp_path))
    path = tmp_path / "silver" / "matches"
    write_deltalake(path, planted.matches(("k\x1b[2J", "live", 1, 0)))
    planted.merge(path, planted.matches(("k\x1b[2J", "\u202e<b>\x07", 2, 1)))
    planted.stamp(path, (), planted.SILVER)

    text = invoke("silver.matches", "0", "1").stdout

    assert "~ k\\x1b[2J  status: live -> \\u202e<b>\\x07" in text
    assert all(line.isprintable() for line in text.splitlines())
