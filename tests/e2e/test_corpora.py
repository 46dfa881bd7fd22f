"""Every case of two public corpora of bad input, sent as raw bytes through real Kafka."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import duckdb
import polars
import pytest

from lakehouse.proof.fates import Fate
from lakehouse.run import Run
from lakehouse.tables import POSITION
from tests.conftest import corpus, settings_for
from tests.e2e.harness import Kafka, Lakehouse
from tests.messages import entity, proven, run_once

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pyspark.sql import SparkSession

    from lakehouse.entities import Entity

DDL = "id STRING NOT NULL, text STRING, part STRING"
TOML = 'keys = ["id"]\npartition_by = ["part"]'


def sent_to(
    kafka: Kafka, name: str, keys: Sequence[bytes | None], values: Sequence[bytes]
) -> Entity:
    """Send *values* to a topic of their own and return an entity that reads it."""
    things = entity(DDL, TOML, name)
    kafka.create(things.topic)
    producer = kafka.producer()
    for key, value in zip(keys, values, strict=True):
        producer.produce(things.topic, value, key, partition=0)
    assert producer.flush(60) == 0
    return things


def through(spark: SparkSession, kafka: Kafka, root: Path, things: Entity) -> tuple[Lakehouse, Any]:
    """Run bronze and silver over what was sent, and return the lake and the proof."""
    config = settings_for(root)
    own = config.kafka.model_copy(update={"bootstrap": kafka.bootstrap})
    config = config.model_copy(update={"kafka": own})
    run_once(spark, config, [things], "bronze", "silver")
    return Lakehouse(root, kafka.bootstrap), proven(spark, things, Run(config).lake)


def back(row: dict[str, Any]) -> bytes:
    return bytes(row["value_raw"]) if row["value_raw"] is not None else row["value"].encode()


def test_every_case_of_the_json_test_suite_is_kept_and_has_one_fate(
    kafka: Kafka, spark: SparkSession, tmp_path: Path
) -> None:
    lines = corpus("jsontestsuite.jsonl").read_text().splitlines()
    cases = [json.loads(line) for line in lines]
    # As the whole message, and as one field of a message that is otherwise sound.
    whole = [base64.b64decode(case["base64"]) for case in cases]
    inside = [b'{"id":"%d","x":' % i + value + b"}" for i, value in enumerate(whole)]
    things = sent_to(kafka, "jsontestsuite", [None] * len(whole) * 2, whole + inside)
    product, proof = through(spark, kafka, tmp_path / "lake", things)

    assert [back(row) for row in product.rows("bronze", things.name)] == whole + inside
    assert proof.holds
    assert proof.bronze == len(whole) * 2
    silver = {row["_offset"] for row in product.rows("silver", things.name)}
    accepted = {i for i, case in enumerate(cases) if case["verdict"] == "accept"}
    rejected = {i for i, case in enumerate(cases) if case["verdict"] == "reject"}
    assert not silver & rejected
    embedded = {offset - len(whole) for offset in silver if offset >= len(whole)}
    assert not embedded & rejected
    # Sound JSON with Unicode text only is a sound field, whatever it holds.
    assert accepted - embedded <= {i for i in accepted if b"\\u" in whole[i] or not utf8(whole[i])}
    readable_everywhere(product, things.name)


def test_every_naughty_string_is_kept_as_field_as_key_and_as_id(
    kafka: Kafka, spark: SparkSession, tmp_path: Path
) -> None:
    strings: list[str] = json.loads(corpus("blns.json").read_text())
    as_field = [
        json.dumps({"id": f"f{i}", "text": s, "part": s}).encode() for i, s in enumerate(strings)
    ]
    as_id = [json.dumps({"id": s}, ensure_ascii=False).encode() for s in strings]
    as_value = [s.encode() for s in strings]
    values = as_field + as_id + as_value
    keys = [s.encode() for s in strings] * 3
    things = sent_to(kafka, "blns", keys, values)
    product, proof = through(spark, kafka, tmp_path / "lake", things)

    bronze = product.rows("bronze", things.name)
    assert [back(row) for row in bronze] == values
    assert [bytes(row["key"]) for row in bronze] == keys
    assert (proof.holds, proof.bronze) == (True, len(values))
    assert proof.counts[Fate.UNREAD] == 0
    silver = {row["id"]: row for row in product.rows("silver", things.name)}
    for i, text in enumerate(strings):
        assert silver[f"f{i}"]["text"] == text
        assert silver[f"f{i}"]["part"] == (text or None)
    clean = {s for s in strings if not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in s)}
    assert clean <= set(silver)
    readable_everywhere(product, things.name)


def utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def readable_everywhere(product: Lakehouse, name: str) -> None:
    """Read all three tables by delta-rs, DuckDB and Polars, and compare their row counts."""
    for layer in ("bronze", "silver", "quarantine"):
        table = product.table(layer, name)
        with duckdb.connect() as connection:
            connection.register("rows_of_it", table.to_pyarrow_dataset())
            # Each column is read, so none can hide a text that DuckDB refuses.
            told = "SELECT count(*), count(DISTINCT hash(COLUMNS(*))) FROM rows_of_it"
            (counted,) = connection.execute(told).fetchall()
        polar = polars.read_delta(str(product.root / layer / name))
        assert table.to_pyarrow_table().num_rows == counted[0] == polar.height
        assert polar.height == 0 or set(POSITION) & {c.lstrip("_") for c in polar.columns}


@pytest.mark.parametrize("missing", ["no-such-corpus.jsonl"])
def test_an_absent_corpus_is_skipped_with_a_clear_message(missing: str) -> None:
    with pytest.raises(pytest.skip.Exception, match="is not beside this checkout"):
        corpus(missing)
