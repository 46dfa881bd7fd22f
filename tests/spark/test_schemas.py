"""What an entity may say, and what is refused by name before a stream starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse import entities, schemas
from lakehouse.errors import ConfigError
from tests.conftest import CONF
from tests.messages import entity

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FOLDERS = sorted(path.name for path in (CONF / "entities").iterdir())
DDL = "id STRING NOT NULL, n INT, value STRING"


@pytest.mark.parametrize("name", FOLDERS)
def test_every_shipped_entity_is_sound(spark: SparkSession, name: str) -> None:
    shipped = entities.load(CONF / "entities" / name)
    found = schemas.columns(spark, shipped).fieldNames()
    assert set(shipped.keys) | set(shipped.derived) | set(shipped.partition_by) <= set(found)


@pytest.mark.parametrize(
    "sql",
    [
        "rand()", "uuid()", "now()", "current_date()", "unix_timestamp()", "current_user()",
        "input_file_name()", "monotonically_increasing_id()", "sum(n)", "explode(array(n))",
        "row_number() OVER (ORDER BY n)", "(SELECT 1)", "EXISTS (SELECT 1)", "no_such",
        "n +",
        "java_method('java.util.UUID', 'randomUUID')",
    ],
)  # fmt: skip
def test_an_expression_that_is_not_of_the_row_alone_is_refused(
    spark: SparkSession, sql: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        schemas.columns(spark, entity(DDL, f'keys = ["id"]\n[derived]\nbad = """{sql}"""'))
    assert (refused.value.code, refused.value.params["column"]) == ("BAD_EXPRESSION", "bad")


def test_a_sound_expression_has_its_type(spark: SparkSession) -> None:
    sound = entity(DDL, 'keys = ["id"]\n[derived]\nhalf = "n / 2"\nup = "upper(value)"')
    assert schemas.columns(spark, sound).simpleString().endswith("half:double,up:string>")


@pytest.mark.parametrize(
    ("ddl", "toml", "code", "named"),
    [
        ("id STRING NOT NULL, _offset BIGINT", 'keys = ["id"]', "RESERVED_COLUMN", "_offset"),
        (DDL, 'keys = ["id"]\n[derived]\n_x = "n"', "RESERVED_COLUMN", "_x"),
        ("id STRING NOT NULL, a INT, A INT", 'keys = ["id"]', "BAD_SCHEMA", "'a'"),
        (DDL, 'keys = ["id"]\n[derived]\nn = "1"', "BAD_SCHEMA", "'n'"),
        (DDL, 'keys = ["no"]', "BAD_SCHEMA", "'no'"),
        (DDL, 'keys = ["n"]', "BAD_SCHEMA", "NOT NULL"),
        ("id DOUBLE NOT NULL", 'keys = ["id"]', "BAD_SCHEMA", "DOUBLE"),
        (DDL, 'keys = ["id"]\nsequence_by = "no"', "BAD_SCHEMA", "'no'"),
        (DDL, 'keys = ["id"]\npartition_by = ["no"]', "BAD_VALUE", "no"),
        ("id STRING NOT NULL, x INTERVAL DAY", 'keys = ["id"]', "BAD_SCHEMA", "'x'"),
        ("id STRING NOT NULL, x STRUCT<y: INT NOT NULL>", 'keys = ["id"]', "BAD_SCHEMA", "'x.y'"),
        ("id STRING NOT NULL, x MAP<INT, INT>", 'keys = ["id"]', "BAD_SCHEMA", "'x'"),
        ("id STRING NOT NULL, `a b` INT", 'keys = ["id"]', "BAD_SCHEMA", "'a b'"),
        ("id STRING NOT NULL, x STRUCT<`a=b`: INT>", 'keys = ["id"]', "BAD_SCHEMA", "a=b"),
        (DDL, 'keys = ["id"]\n[derived]\nx = "NULL"', "BAD_SCHEMA", "'x'"),
        (
            "id STRING NOT NULL, x ARRAY<INT>",
            'keys = ["id"]\npartition_by = ["x"]',
            "BAD_VALUE",
            "'x'",
        ),
        ("id STRING NOT NULL, x NOSUCHTYPE", 'keys = ["id"]', "BAD_SCHEMA", "NOSUCHTYPE"),
    ],
)
def test_a_schema_that_cannot_work_is_refused_by_name(
    spark: SparkSession, ddl: str, toml: str, code: str, named: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        schemas.columns(spark, entity(ddl, toml))
    assert refused.value.code == code
    assert named in str(refused.value.params)
