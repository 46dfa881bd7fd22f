"""The session settings that correctness rests on, each shown to matter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import jars, session
from lakehouse.errors import ConfigError, MachineError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Config


def test_required_options_are_in_force(spark: SparkSession) -> None:
    assert {key: spark.conf.get(key) for key in session.REQUIRED} == session.REQUIRED


@pytest.mark.parametrize("key", session.REQUIRED)
def test_a_required_option_cannot_be_overridden(config: Config, key: str) -> None:
    options = config.spark.model_copy(update={"options": {key: "other"}})
    with pytest.raises(ConfigError) as refused:
        session.start(config.model_copy(update={"spark": options}))
    assert (refused.value.code, refused.value.params["key"]) == ("BAD_OPTION", key)


def test_a_missing_jar_is_one_clear_error_and_nothing_is_downloaded(
    config: Config, tmp_path: Path
) -> None:
    empty = config.jars.model_copy(update={"dir": tmp_path / "none"})
    with pytest.raises(MachineError) as missing:
        session.start(config.model_copy(update={"jars": empty}))
    assert missing.value.code == "JARS_UNSOUND"
    assert "lakehouse jars fetch" in missing.value.message.cure
    assert not (tmp_path / "none").exists()


def test_the_jvm_takes_its_classes_from_the_archive(spark: SparkSession, config: Config) -> None:
    jvm: Any = spark._jvm
    java = Path(jvm.java.lang.System.getProperty("java.home"))
    if not (java / "lib" / "server" / "classes.jsa").is_file():
        pytest.skip(f"{java} has no archive of its own classes, which ours would stand on")
    archive = jars.archive(config.jars.dir.absolute())
    assert archive.is_file(), "run `lakehouse jars archive`, as `make setup` does"
    maps = Path(f"/proc/{jvm.java.lang.ProcessHandle.current().pid()}/maps").read_text()
    assert str(archive.resolve()) in maps


def test_division_by_zero_is_null(spark: SparkSession) -> None:
    assert spark.sql("SELECT 1 / 0 AS x").collect()[0]["x"] is None


def test_a_time_without_zone_is_utc(spark: SparkSession) -> None:
    (row,) = spark.sql("SELECT unix_timestamp(TIMESTAMP '1970-01-01 00:00:10') AS s").collect()
    assert row["s"] == 10


def test_far_dates_are_readable_outside_spark(spark: SparkSession, tmp_path: Path) -> None:
    import pyarrow.parquet

    far = spark.sql(
        "SELECT TIMESTAMP '0001-01-01' AS first, TIMESTAMP '9999-12-31 23:59:59' AS last"
    )
    far.coalesce(1).write.parquet(str(tmp_path / "far"))
    (file,) = (tmp_path / "far").glob("*.parquet")
    schema = pyarrow.parquet.read_schema(file)
    assert {str(schema.field(name).type) for name in ("first", "last")} == {"timestamp[us, tz=UTC]"}
    pyarrow.parquet.read_table(file)
