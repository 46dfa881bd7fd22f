"""What must stay true of a table, and what may change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable

from lakehouse import tables
from lakehouse.entities import Entity, from_contents
from lakehouse.errors import TableError
from lakehouse.run import Run
from silver.table import prepare
from tests.conftest import settings_for
from tests.messages import plant, rows, run_once

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Config
    from lakehouse.tables import Lake

TOML = 'topic = "esports-things"\nkeys = ["id"]\n'
DDL = "id STRING NOT NULL, n INT, part STRING"


def thing(ddl: str = DDL, toml: str = TOML) -> Entity:
    return from_contents("things", {"entity.toml": toml, "schema.ddl": ddl}, "things")


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tables") / "lake"
    plant(spark, Run(settings_for(root)).lake, thing(), [{"id": "a", "n": 1}])
    run_once(spark, settings_for(root), [thing()], "silver")
    return root


def test_new_columns_and_derived_columns_are_added_and_nothing_is_rewritten(
    spark: SparkSession, config: Config, lake: Lake
) -> None:
    wider = thing(f"{DDL}, more STRUCT<x: INT>", f'{TOML}[derived]\ntwice = "n * 2"\n')
    plant(spark, lake, wider, [{"id": "b", "n": 2, "more": {"x": 3}}], first=1)
    run_once(spark, config, [wider], "silver")
    found = {r["id"]: (r["more"], r["twice"]) for r in rows(spark, lake, "silver", "things")}
    assert found == {"a": (None, None), "b": ({"x": 3}, 4)}


@pytest.mark.parametrize(
    ("changed", "code", "named"),
    [
        (thing("id STRING NOT NULL, n BIGINT, part STRING"), "SCHEMA_CONFLICT", "'n'"),
        (thing("id STRING NOT NULL, part STRING"), "SCHEMA_CONFLICT", "'n'"),
        (thing(toml=TOML + 'sequence_by = "n"'), "ENTITY_CONFLICT", "sequence_by"),
        (thing(toml=TOML + 'partition_by = ["part"]'), "ENTITY_CONFLICT", "partition_by"),
        (thing(toml=TOML.replace("esports", "other")), "ENTITY_CONFLICT", "topic"),
        (
            thing(
                "id STRING NOT NULL, n INT NOT NULL, part STRING", TOML.replace('"id"', '"id", "n"')
            ),
            "ENTITY_CONFLICT",
            "keys",
        ),
    ],
    ids=["type", "dropped", "sequence", "partitions", "topic", "keys"],
)
def test_a_change_that_the_table_cannot_follow_is_refused_by_name(
    spark: SparkSession, lake: Lake, changed: Entity, code: str, named: str
) -> None:
    with pytest.raises(TableError) as refused:
        prepare(spark, changed, lake)
    assert refused.value.code == code
    assert named in str(refused.value.params)


def test_a_table_of_another_layout_is_refused(spark: SparkSession, lake: Lake) -> None:
    path = lake.table("silver", "things").path
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('lakehouse.layout' = '99')")
    with pytest.raises(TableError) as refused:
        prepare(spark, thing(), lake)
    assert (refused.value.code, refused.value.params["found"]) == ("LAYOUT_UNKNOWN", "99")


def test_retention_follows_the_setting(spark: SparkSession, config: Config, lake: Lake) -> None:
    longer = config.lake.model_copy(update={"time_travel": "90 days"})
    prepare(spark, thing(), Run(config.model_copy(update={"lake": longer})).lake)
    properties = lake.table("silver", "things").properties(spark)
    assert properties["delta.logRetentionDuration"] == "interval 90 days"
    assert properties["delta.deletedFileRetentionDuration"] == "interval 90 days"


def test_a_table_that_is_not_ours_is_refused(spark: SparkSession, config: Config) -> None:
    lake = Run(config).lake
    plant(spark, lake, thing(), [])
    spark.range(1).write.format("delta").save(lake.table("silver", "things").path)
    with pytest.raises(TableError) as refused:
        prepare(spark, thing(), lake)
    assert (refused.value.code, refused.value.params["found"]) == ("LAYOUT_UNKNOWN", None)


def test_a_relative_root_is_a_folder_of_the_working_directory(
    spark: SparkSession, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = config.model_copy(update={"lake": config.lake.model_copy(update={"root": "here"})})
    plant(spark, Run(here).lake, thing(), [{"id": "a"}])
    run_once(spark, here, [thing()], "silver")
    wider = thing(f"{DDL}, more INT")
    run_once(spark, here, [wider], "silver")
    assert [row["id"] for row in rows(spark, Run(here).lake, "silver", "things")] == ["a"]
    assert (tmp_path / "here" / "silver" / "things" / "_delta_log").is_dir()


def test_a_root_that_cannot_be_written_is_one_clear_error(
    spark: SparkSession, config: Config, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    at = config.lake.model_copy(update={"root": str(tmp_path / "file")})
    with pytest.raises(TableError) as refused:
        plant(spark, Run(config.model_copy(update={"lake": at})).lake, thing(), [])
    assert refused.value.code == "ROOT_UNWRITABLE"


@pytest.mark.parametrize("layer", ["bronze", "silver", "quarantine"])
def test_no_table_uses_a_feature_that_other_readers_lack(lake: Lake, layer: str) -> None:
    protocol = DeltaTable(str(Path(lake.root) / layer / "things")).protocol()
    assert protocol.min_reader_version == 1
    assert not protocol.reader_features


@pytest.mark.parametrize("layer", ["bronze", "quarantine"])
def test_bronze_and_quarantine_are_append_only(spark: SparkSession, lake: Lake, layer: str) -> None:
    path = lake.table(layer, "things").path
    spark.sql(f"INSERT INTO delta.`{path}` SELECT * FROM delta.`{path}`")
    with pytest.raises(Exception, match=r"append-only|APPEND_ONLY"):
        spark.sql(f"DELETE FROM delta.`{path}`")


def test_bronze_keeps_offset_ranges_per_file_and_no_statistics_of_text(lake: Lake) -> None:
    log = Path(lake.root) / "bronze" / "things" / "_delta_log" / f"{1:020d}.json"
    (added,) = (json.loads(line)["add"] for line in log.read_text().splitlines() if '"add"' in line)
    found: dict[str, Any] = json.loads(added["stats"])["minValues"]
    assert {"topic", "partition", "offset", "timestamp"} == set(found)


def test_a_partition_value_may_be_any_text(spark: SparkSession, config: Config) -> None:
    by_part = thing(toml=TOML + 'partition_by = ["part"]')
    parts = ["x" * 5000, "a/b=c%d", "Ünï\u200b", "../..", "'\"", "new\nline", "\x7f", " "]
    plant(
        spark, Run(config).lake, by_part, [{"id": str(i), "part": p} for i, p in enumerate(parts)]
    )
    run_once(spark, config, [by_part], "silver")
    table = DeltaTable(str(Path(config.lake.root) / "silver" / "things")).to_pyarrow_table()
    assert sorted(table["part"].to_pylist()) == sorted(parts)


def test_names_are_quoted_whatever_they_hold() -> None:
    assert tables.quoted("a`b.c") == "`a``b.c`"
