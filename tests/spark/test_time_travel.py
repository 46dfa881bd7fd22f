"""A version is the same rows and types in every engine, and a time is the same version."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable, write_deltalake
from pyarrow import fs, parquet
from pyspark.errors import AnalysisException

from lakehouse import databases, entities
from lakehouse.audit import trail
from lakehouse.cli import lakehouse as command
from lakehouse.config import load
from lakehouse.errors import MachineError, TableError
from lakehouse.lake import Lake
from lakehouse.reading import versions
from lakehouse.reading.tables import Catalog
from lakehouse.run import Run
from tests.conftest import CONF, ROOT
from tests.messages import Sent, plant, run_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table

PAGE = ROOT / "docs" / "how-to" / "read-from-other-engines.md"
LAYERS = ("bronze", "silver", "quarantine")
# What a message says for a column of each type of the page that JSON can hold.
SAID = {
    "string": "caf\u00e9 \U0001f3c6",
    "boolean": True,
    "tinyint": -128,
    "smallint": 32767,
    "int": -7,
    "bigint": 2**53 + 1,
    "float": 1.5,
    "double": 0.1,
    "decimal(12,2)": 12345.67,
    "date": "2026-01-31",
    "timestamp": "2026-01-31T10:00:00.123456+01:00",
    "timestamp_ntz": "2026-01-31T10:00:10",
    "array<string>": ["a", None, ""],
    "struct<a:int>": {"a": 1},
    "map<string,bigint>": {"x": 1, "y": None},
}


def types() -> dict[str, tuple[str, str, str]]:
    """Return what the page says that each type of Spark is in Arrow, DuckDB and Polars."""
    text = PAGE.read_text(encoding="utf-8").partition("## Types")[2]
    found = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", text, re.MULTILINE)
    return {spark.lower(): (arrow, duck, polars) for spark, arrow, duck, polars in found}


COLUMNS = {f"c{i}": kind for i, kind in enumerate(types()) if kind != "binary"}


def thing(key: str, offset: int, *, full: bool = True) -> Sent:
    """Return a valid message: with a value in each column, or with none but its key."""
    said = {name: SAID[kind] for name, kind in COLUMNS.items()} if full else {}
    return Sent({"id": key, **said}, offset % 2, offset)


# Each batch adds, changes and refuses; the bytes of one message are not UTF-8.
BATCHES = [
    [thing("a", 0), thing("b", 1, full=False), Sent(b"\xff\x00", 0, 2)],
    [thing("a", 4, full=False), thing("c", 5), Sent(None, 1, 7), Sent('{"id": 7}', 0, 6)],
    [thing("b", 8), thing("d", 9), Sent("[]", 1, 11)],
]


@dataclass(frozen=True)
class Made:
    """A lake of three batches.

    `early` are the names that Spark knew when the first had landed, `files` those of the lake when
    all had been made, and `session` the one that the lake gave.
    """

    conf: Path
    lake: Lake
    early: list[str]
    files: dict[str, int]
    session: SparkSession

    def table(self, layer: str) -> Table:
        return self.lake.table(f"{layer}.things")

    def commits(self, layer: str) -> dict[int, datetime]:
        """Return the three versions that hold the batches, each with the time of its commit."""
        log = versions.log(self.table(layer).source)
        return {v: log.time(v) for v in range(log.newest - len(BATCHES) + 1, log.newest + 1)}


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    home = tmp_path_factory.mktemp("travel")
    folder = home / "conf" / "entities" / "things"
    folder.mkdir(parents=True)
    ddl = ", ".join(["id STRING NOT NULL", *(f"{n} {kind}" for n, kind in COLUMNS.items())])
    (folder / "schema.ddl").write_text(ddl)
    (folder / "entity.toml").write_text('topic = "esports-things"\nkeys = ["id"]\n')
    shutil.copy(CONF / "lakehouse.toml", home / "conf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAKEHOUSE__LAKE__ROOT", str(home / "it's-a-lake"))
        config = load(home / "conf")
    things = entities.load(folder)
    lake = Lake(config)
    early: list[str] = []
    for n, batch in enumerate(BATCHES):
        plant(spark, Run(config).lake, things, batch, first=10 * n)
        early = early or databases.register(spark, lake.catalog)
        run_once(spark, config, [things], "silver")
    trail.fold(spark, Run(config).lake.table("silver", "things"), Run(config).lake)
    there = files(lake)
    yield Made(home / "conf", lake, early, there, lake.spark())
    for layer in (*LAYERS, "audit"):
        spark.sql(f"DROP DATABASE IF EXISTS {layer} CASCADE")  # the names: the files stay


def files(lake: Lake) -> dict[str, int]:
    """Return every file and folder of the lake with the time of its last change."""
    root = lake.config.lake.location
    found = fs.LocalFileSystem().get_file_info(fs.FileSelector(root, recursive=True))
    return {one.path: one.mtime_ns for one in found}


def plain(rows: pa.Table | pl.DataFrame) -> list[dict[str, Any]]:
    """Return rows in Python's values, in the order of their positions."""
    found = (
        rows.to_dicts()
        if isinstance(rows, pl.DataFrame)
        else rows.to_pylist(maps_as_pydicts="strict")
    )
    mark = "_" if found and "_offset" in found[0] else ""
    return sorted(found, key=lambda row: (row[f"{mark}partition"], row[f"{mark}offset"]))


def by_delta_rs(path: str, version: int) -> pa.Table:
    """Return the rows as the page says to read them with delta-rs."""
    own = fs.SubTreeFileSystem(path, fs.LocalFileSystem())
    return DeltaTable(path, version=version).to_pyarrow_dataset(filesystem=own).to_table()


def in_arrow(schema: pa.Schema) -> dict[str, str]:
    """Return the types of *schema* as the page writes them: without names for parts of lists."""
    return {one.name: re.sub(r"list<\w+: ", "list<", str(one.type)) for one in schema}


# Versions


@pytest.mark.parametrize("layer", LAYERS)
def test_every_engine_reads_the_same_rows_of_a_version(
    spark: SparkSession, made: Made, layer: str
) -> None:
    table = made.table(layer)
    path, name = table.source.path, table.source.name
    seen = []
    for version in made.commits(layer):
        then = table.at(version=version)
        rows = plain(by_delta_rs(path, version))
        seen.append(rows)
        reader = spark.read.format("delta").option("versionAsOf", version)

        assert plain(reader.load(path).toArrow()) == rows
        sql = spark.sql(f"SELECT * FROM {name} VERSION AS OF {version}")
        assert plain(sql.toArrow()) == rows
        assert plain(made.lake.query(f"FROM {name}", version=version).arrow()) == rows
        assert plain(then.duckdb().to_arrow_table()) == rows
        assert plain(pl.scan_delta(path, version=version).collect()) == rows
        assert plain(then.polars()) == rows
        assert plain(then.arrow()) == rows
    assert all(seen)
    assert len({str(rows) for rows in seen}) == len(BATCHES)


@pytest.mark.parametrize("layer", LAYERS)
def test_every_engine_has_the_types_that_the_page_says(
    spark: SparkSession, made: Made, layer: str
) -> None:
    table, known = made.table(layer), types()
    (version, *_) = made.commits(layer)
    then = table.at(version=version)
    frame = spark.sql(f"SELECT * FROM {table.source.name} VERSION AS OF {version}")
    kinds = {field.name: field.dataType.simpleString() for field in frame.schema}
    relation, frames = then.duckdb(), then.polars()

    said = {name: known[kind] for name, kind in kinds.items() if kind in known}
    assert kinds.keys() - said.keys() <= {"headers", "reasons"}
    if layer == "silver":
        assert known.keys() - {"binary"} <= set(kinds.values())

    arrow = in_arrow(by_delta_rs(table.source.path, version).schema)
    assert list(arrow) == list(kinds)
    assert {name: arrow[name] for name in said} == {n: one[0] for n, one in said.items()}
    answer = made.lake.query(f"FROM {table.source.name}", version=version).arrow()
    for other in (frame.toArrow().schema, then.arrow().schema, answer.schema):
        assert in_arrow(other) == arrow
    in_duckdb = dict(zip(relation.columns, map(str, relation.types), strict=True))
    assert {name: in_duckdb[name] for name in said} == {n: one[1] for n, one in said.items()}
    in_polars = {name: str(kind) for name, kind in frames.schema.items()}
    assert {name: in_polars[name] for name in said} == {n: one[2] for n, one in said.items()}
    assert pl.scan_delta(table.source.path, version=version).collect_schema() == frames.schema


# Times


@pytest.mark.parametrize("layer", LAYERS)
def test_a_time_means_the_same_version_in_spark_and_here(
    spark: SparkSession, made: Made, layer: str, tmp_path: Path
) -> None:
    table = made.table(layer)
    path, name = table.source.path, table.source.name
    for version, committed in made.commits(layer).items():
        # Exactly when it was committed, and the last microsecond before.
        for time, meant in (
            (committed, version),
            (committed - timedelta(microseconds=1), version - 1),
        ):
            text = time.isoformat()
            rows = plain(by_delta_rs(path, meant))
            then = table.at(text)

            assert then.version == meant
            sql = spark.sql(f"SELECT * FROM {name} TIMESTAMP AS OF '{text}'")
            assert plain(sql.toArrow()) == rows
            assert plain(then.polars()) == rows
            assert plain(made.lake.query(f"FROM {name}", at=text).arrow()) == rows
            assert plain(by_delta_rs(path, then.version)) == rows
    reader = spark.read.format("delta").option("timestampAsOf", text)
    assert plain(reader.load(path).toArrow()) == rows
    file = tmp_path / "then.parquet"
    asked = ["query", f"FROM {name}", "--at", text, "--format", "parquet", "--output", str(file)]
    root = {"LAKEHOUSE__LAKE__ROOT": made.lake.config.lake.root}
    done = CliRunner().invoke(command, ["--conf", str(made.conf), *asked], env=root)
    assert done.exit_code == 0, done.exception
    assert plain(parquet.read_table(file)) == rows


@pytest.mark.parametrize("layer", LAYERS)
def test_a_time_after_the_newest_commit_is_the_newest_version_where_spark_refuses_it(
    spark: SparkSession, made: Made, layer: str
) -> None:
    table = made.table(layer)
    newest, committed = list(made.commits(layer).items())[-1]
    after = (committed + timedelta(milliseconds=1)).isoformat()

    assert table.at(after).version == newest
    with pytest.raises(AnalysisException, match="DELTA_TIMESTAMP_GREATER_THAN_COMMIT"):
        spark.sql(f"SELECT * FROM {table.source.name} TIMESTAMP AS OF '{after}'").collect()


def test_a_time_that_has_yet_to_come_is_refused_by_all(spark: SparkSession, made: Made) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    with pytest.raises(TableError) as found:
        _ = made.table("silver").at(tomorrow).version
    assert found.value.code == "VERSION_GONE"
    with pytest.raises(AnalysisException, match="DELTA_TIMESTAMP_GREATER_THAN_COMMIT"):
        spark.sql(f"SELECT * FROM silver.things TIMESTAMP AS OF '{tomorrow}'").collect()


# Names


def test_the_session_that_runs_knows_the_tables_that_are_there(
    spark: SparkSession, made: Made
) -> None:
    assert made.early == ["bronze.things"]
    assert made.session is spark
    assert made.lake.spark() is spark

    names = databases.register(spark, made.lake.catalog)
    assert names[:3] == [f"{layer}.things" for layer in LAYERS]
    assert "audit.silver_things" in names
    assert all(spark.table(name).count() > 0 for name in names)
    newest = spark.sql("SELECT max(version) FROM audit.silver_things").collect()
    assert newest[0][0] == max(made.commits("silver"))
    first = spark.sql("SELECT count(*) FROM audit.silver_things VERSION AS OF 0").collect()
    assert first[0][0] == 0


def test_versions_can_be_joined_in_sql(spark: SparkSession, made: Made) -> None:
    first = min(made.commits("silver"))
    changed = spark.sql(f"""
        SELECT id, before._offset AS was, now._offset AS is
        FROM silver.things now JOIN silver.things VERSION AS OF {first} before USING (id)
        WHERE now._offset <> before._offset ORDER BY id
    """)

    assert [tuple(row) for row in changed.collect()] == [("a", 0, 4), ("b", 1, 8)]


def test_another_lake_under_the_same_names_is_refused(
    spark: SparkSession, made: Made, tmp_path: Path
) -> None:
    write_deltalake(tmp_path / "silver" / "things", pa.table({"id": ["z"]}))

    with pytest.raises(MachineError) as found:
        databases.register(spark, Catalog(str(tmp_path), ("things",)))

    assert found.value.code == "SPARK_TAKEN"
    assert made.lake.config.lake.location in str(found.value.params["reason"])
    assert spark.table("silver.things").count() == 4


def test_nothing_that_was_read_here_was_written_to_the_lake(made: Made) -> None:
    made.lake.spark()

    assert files(made.lake) == made.files
