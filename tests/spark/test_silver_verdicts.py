"""What each kind of bad input gets, as a table: every trap of from_json, and a verdict for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lakehouse.schemas import schema
from quarantine.reasons import Reason
from tests.messages import Value, entity, judged

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

    from lakehouse.entities import Entity

DDL = """m STRING NOT NULL, n INT, b BIGINT, d DOUBLE, f FLOAT, ts TIMESTAMP, nz TIMESTAMP_NTZ,
dt DATE, dec DECIMAL(10,2), a STRING, t BOOLEAN, `we.ird` STRING"""
THING = entity(DDL, 'keys = ["m"]')

# code, column, expected, got
Reasons = list[tuple[str, str | None, str | None, str | None]]

NO_VALUE: Reasons = [(Reason.NO_VALUE, None, None, None)]
EMPTY: Reasons = [(Reason.EMPTY, None, None, None)]
NOT_JSON: Reasons = [(Reason.NOT_JSON, None, None, None)]
NOT_UTF8: Reasons = [(Reason.NOT_UTF8, None, None, None)]
DUPLICATE: Reasons = [(Reason.DUPLICATE_KEY, None, None, None)]
KEY = "STRING NOT NULL without control characters"


def wrong(column: str, expected: str, got: str) -> Reasons:
    return [("wrong_type", column, expected, got)]


def out(column: str, expected: str, got: str) -> Reasons:
    return [("out_of_range", column, expected, got)]


def root(got: str) -> Reasons:
    return [("root_not_object", None, None, got)]


MISSING: Reasons = [(Reason.KEY_MISSING, "m", KEY, None)]

# Value, and the reasons as (code, column, expected, got); none means it lands in silver.
VERDICTS: list[tuple[Value, Reasons]] = [
    # The document
    ('{"m":"001"} junk', NOT_JSON),
    ('{"m":"001"}{"m":"002"}', NOT_JSON),
    ('{"m":"001"}\n{"m":"002"}', NOT_JSON),
    ('{"m":"001"},{"m":"002"}', NOT_JSON),
    ('{"m":"001"}#', NOT_JSON),
    ('{"m":"001"}/**/', NOT_JSON),
    ('{"m":"001",}', NOT_JSON),
    ('{"m":"001"', NOT_JSON),
    ('{"invalid": json}', NOT_JSON),
    ("{'m':'001'}", NOT_JSON),
    ('{"m":"1","d":NaN}', NOT_JSON),
    ('{"m":"1","d":-Infinity}', NOT_JSON),
    ('\ufeff{"m":"001"}', NOT_JSON),
    ('{"m":"001"}'.encode("utf-16"), NOT_UTF8),
    ('{"m":"001"}],"x":[{}', NOT_JSON),
    ('{"m":"001"},{"n0":"0"}]}', NOT_JSON),
    ("[" * 2000, NOT_JSON),
    ("", EMPTY),
    (" \t\r\n", EMPTY),
    (None, NO_VALUE),
    ("null", root("null")),
    ("42", root("42")),
    ('"x"', root('"x"')),
    ("true", root("true")),
    ("[]", root("[]")),
    ('[{"m":"001"}]', root('[{"m":"001"}]')),
    ('[{"m":"001"},{"m":"002"}]', root('[{"m":"001"},{"m":"002"}]')),
    # The text
    (b'{"m":"\xff"}', NOT_UTF8),
    (b'{"m":"\xc0\xaf"}', NOT_UTF8),
    (b'{"m":"\xed\xa0\x80"}', NOT_UTF8),
    ('{"m":"\\ud800"}', NOT_UTF8),
    ('{"m":"1","a":"\\uD800x"}', NOT_UTF8),
    ('{"m":"1","zz":"\\udc00\\ud800"}', NOT_UTF8),
    ('{"m":"1","\\uDEAD":1}', NOT_UTF8),
    ('{"m":"1","a":"\\ud83d\\ude00"}', []),
    ('{"m":"1","a":"\\\\ud800"}', []),
    # The key
    ("{}", MISSING),
    ('{"M":"001"}', MISSING),
    ('{"m":null}', MISSING),
    ('{"_corrupt":"x"}', MISSING),
    ('{"m":7}', wrong("m", KEY, "7")),
    ('{"m":true}', wrong("m", KEY, "true")),
    ('{"m":{"a":1}}', wrong("m", KEY, '{"a":1}')),
    ('{"m":{"a":1,"a":2}}', wrong("m", KEY, '{"a":1,"a":2}')),
    ('{"m":["1"]}', wrong("m", KEY, '["1"]')),
    ('{"m":"a\\u0000b"}', wrong("m", KEY, '"a\\u0000b"')),
    ('{"m":"a\\nb"}', wrong("m", KEY, '"a\\nb"')),
    ('{"m":""}', []),
    ('{"m":"1","m":"2"}', DUPLICATE),
    ('{"m":"5","m":null}', DUPLICATE + MISSING),
    ('{"m":"1","\\u006d":"2"}', DUPLICATE),
    ('{"m":"1","zz":1,"zz":1}', DUPLICATE),
    # Numbers
    ('{"m":"1","n":2147483647}', []),
    ('{"m":"1","n":2147483648}', out("n", "INT", "2147483648")),
    ('{"m":"1","b":9223372036854775808}', out("b", "BIGINT", "9223372036854775808")),
    ('{"m":"1","n":1.0}', wrong("n", "INT", "1.0")),
    ('{"m":"1","n":"10"}', wrong("n", "INT", '"10"')),
    ('{"m":"1","n":""}', wrong("n", "INT", '""')),
    ('{"m":"1","n":true}', wrong("n", "INT", "true")),
    ('{"m":"1","n":[1]}', wrong("n", "INT", "[1]")),
    ('{"m":"1","n":null}', []),
    ('{"m":"1","d":1}', []),
    ('{"m":"1","d":"1.5"}', wrong("d", "DOUBLE", '"1.5"')),
    ('{"m":"1","d":"NaN"}', wrong("d", "DOUBLE", '"NaN"')),
    ('{"m":"1","d":1e400}', out("d", "DOUBLE", "a number beyond the range of DOUBLE")),
    ('{"m":"1","d":-1e400}', out("d", "DOUBLE", "a number beyond the range of DOUBLE")),
    ('{"m":"1","f":1e39}', out("f", "FLOAT", "1.0E39")),
    ('{"m":"1","dec":1.23}', []),
    ('{"m":"1","dec":1.2300}', []),
    ('{"m":"1","dec":"1.23"}', []),
    ('{"m":"1","dec":1239e-1}', []),
    ('{"m":"1","dec":1.239}', out("dec", "DECIMAL(10,2)", "1.239")),
    ('{"m":"1","dec":123456789.1}', out("dec", "DECIMAL(10,2)", "123456789.1")),
    ('{"m":"1","dec":0E-8}', []),
    ('{"m":"1","dec":1e400}', out("dec", "DECIMAL(10,2)", "a number beyond the range of DOUBLE")),
    ('{"m":"1","dec":{"a":1}}', wrong("dec", "DECIMAL(10,2)", '{"a":1}')),
    ('{"m":"1","dec":null}', []),
    ('{"m":"1","dec":"one"}', wrong("dec", "DECIMAL(10,2)", '"one"')),
    ('{"m":"1","dec":true}', wrong("dec", "DECIMAL(10,2)", "true")),
    # Text
    ('{"m":"1","a":7}', []),
    ('{"m":"1","a":true}', []),
    ('{"m":"1","a":"{x"}', []),
    ('{"m":"1","a":{"z":1.0}}', wrong("a", "STRING", '{"z":1.0}')),
    ('{"m":"1","a":[1,2]}', wrong("a", "STRING", "[1,2]")),
    ('{"m":"1","a":1e400}', out("a", "STRING", "a number beyond the range of DOUBLE")),
    ('{"m":"1","a":"Infinity"}', []),
    ('{"m":"1","we.ird":{}}', wrong("we.ird", "STRING", "{}")),
    ('{"m":"1","t":"true"}', wrong("t", "BOOLEAN", '"true"')),
    ('{"m":"1","t":1}', wrong("t", "BOOLEAN", "1")),
    # Times
    ('{"m":"1","ts":"2026-01-31"}', []),
    ('{"m":"1","ts":"2026-01-31 10:00"}', []),
    ('{"m":"1","ts":"2026-01-31T10:00:10.123456789+05:30"}', []),
    ('{"m":"1","ts":"0001-01-01T00:00:00Z"}', []),
    ('{"m":"1","ts":"9999-12-31T23:59:59.999999Z"}', []),
    ('{"m":"1","ts":"10:00"}', wrong("ts", "TIMESTAMP", '"10:00"')),
    ('{"m":"1","ts":1700000000}', wrong("ts", "TIMESTAMP", "1700000000")),
    ('{"m":"1","ts":99999999999999999}', wrong("ts", "TIMESTAMP", "99999999999999999")),
    ('{"m":"1","ts":"2026-02-30"}', wrong("ts", "TIMESTAMP", '"2026-02-30"')),
    ('{"m":"1","ts":"2026-01-31T24:00:00Z"}', wrong("ts", "TIMESTAMP", '"2026-01-31T24:00:00Z"')),
    ('{"m":"1","ts":""}', wrong("ts", "TIMESTAMP", '""')),
    ('{"m":"1","ts":"0000-12-31"}', out("ts", "TIMESTAMP", '"0000-12-31"')),
    ('{"m":"1","ts":"10000-01-01"}', out("ts", "TIMESTAMP", '"10000-01-01"')),
    ('{"m":"1","ts":"-0001-01-01"}', out("ts", "TIMESTAMP", '"-0001-01-01"')),
    (
        '{"m":"1","ts":"0001-01-01T00:00:00+01:00"}',
        out("ts", "TIMESTAMP", '"0001-01-01T00:00:00+01:00"'),
    ),
    ('{"m":"1","nz":"2026-01-31T10:00:10"}', []),
    ('{"m":"1","nz":"2026-01-31 10:00Z"}', wrong("nz", "TIMESTAMP_NTZ", '"2026-01-31 10:00Z"')),
    ('{"m":"1","dt":"9999-12-31"}', []),
    ('{"m":"1","dt":"2026-1-1"}', wrong("dt", "DATE", '"2026-1-1"')),
    ('{"m":"1","dt":19000}', wrong("dt", "DATE", "19000")),
    ('{"m":"1","dt":"10000-01-01"}', out("dt", "DATE", '"10000-01-01"')),
    # Several at once
    (
        '{"m":"1","n":"x","a":[1],"ts":"x"}',
        wrong("n", "INT", '"x"') + wrong("ts", "TIMESTAMP", '"x"') + wrong("a", "STRING", "[1]"),
    ),
    ('{"n":"x"}', MISSING + wrong("n", "INT", '"x"')),
]  # fmt: skip


@pytest.fixture(scope="module")
def verdicts(spark: SparkSession) -> list[Row]:
    return judged(spark, [value for value, _ in VERDICTS], THING)


@pytest.mark.parametrize("index", range(len(VERDICTS)), ids=lambda i: repr(VERDICTS[i][0])[:60])
def test_each_kind_of_input_gets_its_verdict(verdicts: list[Row], index: int) -> None:
    _, expected = VERDICTS[index]
    reasons = verdicts[index]["_reasons"]
    found = [(r["code"], r["column"], r["expected"], r["got"]) for r in reasons]
    assert found == expected


def test_valid_values_are_read_as_what_they_say(verdicts: list[Row]) -> None:
    read = {value: row.asDict() for (value, _), row in zip(VERDICTS, verdicts, strict=True)}
    assert read['{"m":"1","a":7}']["a"] == "7"
    assert read['{"m":"1","a":"\\\\ud800"}']["a"] == "\\ud800"
    assert str(read['{"m":"1","dec":1239e-1}']["dec"]) == "123.90"
    assert str(read['{"m":"1","ts":"2026-01-31T10:00:10.123456789+05:30"}']["ts"]).startswith(
        "2026-01-31 04:30:10.123456"
    )


def test_a_decimal_keeps_every_digit(spark: SparkSession) -> None:
    wide = entity("m STRING NOT NULL, dec DECIMAL(38,10)", 'keys = ["m"]')
    sent = "1234567890123456789012345678.0123456789"
    values: list[Value] = [f'{{"m":"1","dec":{sent}}}', f'{{"m":"1","dec":"{sent}"}}']
    assert [str(row["dec"]) for row in judged(spark, values, wide)] == [sent, sent]


def test_a_value_over_the_limit_is_not_parsed(spark: SparkSession) -> None:
    small = entity(DDL, 'keys = ["m"]\n[limits]\nmax_value_bytes = 20')
    fits, over, raw = judged(
        spark, ['{"m":"0000000000"}', '{"m":"00000000000000"}', b"\xff" * 21], small
    )
    assert fits["_reasons"] == []
    for row, size in ((over, "22"), (raw, "21")):
        assert [(r["code"], r["expected"], r["got"]) for r in row["_reasons"]] == [
            ("too_large", "at most 20 bytes", size)
        ]


def test_a_valid_row_carries_no_message_and_a_corrupt_one_does(verdicts: list[Row]) -> None:
    for (_, expected), row in zip(VERDICTS, verdicts, strict=True):
        assert (row["_message"] is None) == (not expected)


WRONG = {
    "string": ({"an": "object"}, '{"an":"object"}'),
    "int": ("many", '"many"'),
    "bigint": ("many", '"many"'),
    "double": ("much", '"much"'),
    "timestamp": ("soon", '"soon"'),
    "boolean": ("perhaps", '"perhaps"'),
}


@pytest.mark.parametrize("name", ["matches", "players"])
def test_one_wrong_field_names_that_column_alone(
    spark: SparkSession, name: str, request: pytest.FixtureRequest
) -> None:
    shipped: Entity = request.getfixturevalue(name)
    fields = schema(shipped).fields
    sound = dict.fromkeys(shipped.keys, "1")
    values: list[Value] = [{**sound, f.name: WRONG[f.dataType.simpleString()][0]} for f in fields]
    found = [
        [(r["column"], r["got"]) for r in row["_reasons"]] for row in judged(spark, values, shipped)
    ]
    assert found == [[(f.name, WRONG[f.dataType.simpleString()][1])] for f in fields]


@pytest.mark.parametrize("name", ["matches", "players"])
def test_two_wrong_fields_name_those_two_columns(
    spark: SparkSession, name: str, request: pytest.FixtureRequest
) -> None:
    shipped: Entity = request.getfixturevalue(name)
    fields = schema(shipped).fields
    sound = dict.fromkeys(shipped.keys, "1")
    pairs = list(zip(fields, [*fields[1:], fields[0]], strict=True))
    values: list[Value] = [
        {**sound, **{f.name: WRONG[f.dataType.simpleString()][0] for f in pair}} for pair in pairs
    ]
    for pair, row in zip(pairs, judged(spark, values, shipped), strict=True):
        found = {
            (r["code"], r["column"], r["expected"].split()[0], r["got"]) for r in row["_reasons"]
        }
        assert found == {
            (
                "wrong_type",
                f.name,
                f.dataType.simpleString().upper(),
                WRONG[f.dataType.simpleString()][1],
            )
            for f in pair
        }


NESTED = entity(
    """a STRING NOT NULL, k BIGINT NOT NULL,
    s STRUCT<x: INT, y: STRING, ts: TIMESTAMP, z: STRUCT<q: DECIMAL(5,1)>>,
    arr ARRAY<STRUCT<v: STRING, i: INT>>, ai ARRAY<INT>, mp MAP<STRING, DATE>, r INT NOT NULL""",
    'keys = ["a", "k"]',
)
NESTED_VERDICTS: list[tuple[str, list[tuple[str, str | None]]]] = [
    ('"k":2,"r":1,"s":{"x":1,"y":"q","ts":"2026-01-01","z":{"q":1.5}},"arr":[{"v":"a"},null]', []),
    ('"k":"2","r":1', [("wrong_type", "k")]),
    ('"r":1', [("key_missing", "k")]),
    ('"k":2', [("required_missing", "r")]),
    ('"k":2,"r":1,"s":{"x":"1"}', [("wrong_type", "s")]),
    ('"k":2,"r":1,"s":{"y":{"p":1}}', [("wrong_type", "s")]),
    ('"k":2,"r":1,"s":{"ts":"soon"}', [("wrong_type", "s")]),
    ('"k":2,"r":1,"s":{"z":{"q":1.55}}', [("out_of_range", "s")]),
    ('"k":2,"r":1,"arr":[{"v":"a"},{"v":[1]}]', [("wrong_type", "arr")]),
    ('"k":2,"r":1,"arr":[{"i":1.0}]', [("wrong_type", "arr")]),
    ('"k":2,"r":1,"ai":[1,null]', []),
    ('"k":2,"r":1,"ai":[1,"x"]', [("wrong_type", "ai")]),
    ('"k":2,"r":1,"mp":{"a":"2026-01-01","b":"x"}', [("wrong_type", "mp")]),
    ('"k":2,"r":1,"s":5,"ai":"q"', [("wrong_type", "s"), ("wrong_type", "ai")]),
    ('"k":2,"r":1,"s":{"x":1,"x":2}', [("duplicate_key", None)]),
    ('"k":2,"r":1,"zz":[{"x":1,"x":2}]', [("duplicate_key", None)]),
]


def test_nested_columns_are_looked_into(spark: SparkSession) -> None:
    values: list[Value] = [f'{{"a":"1",{rest}}}' for rest, _ in NESTED_VERDICTS]
    found = [
        [(r["code"], r["column"]) for r in row["_reasons"]] for row in judged(spark, values, NESTED)
    ]
    assert found == [expected for _, expected in NESTED_VERDICTS]


def test_a_derived_column_that_divides_by_zero_is_null(spark: SparkSession) -> None:
    ratio = entity("m STRING NOT NULL, n INT", 'keys = ["m"]\n[derived]\nratio = "1 / n"')
    zero, two = judged(spark, ['{"m":"1","n":0}', '{"m":"2","n":2}'], ratio)
    assert (zero["_reasons"], zero["ratio"], two["ratio"]) == ([], None, 0.5)


def test_a_partition_column_without_text_is_null(spark: SparkSession, matches: Entity) -> None:
    values: list[Value] = [{"match_id": "1", "status": text} for text in ("", "live")]
    empty, live = judged(spark, values, matches)
    assert (empty["status"], empty["is_completed"], live["status"]) == (None, None, "live")
