"""What a commit says about itself, as JSON that others may rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from lakehouse import __version__
from lakehouse.audit.records import (
    VERSION,
    Expectations,
    Range,
    Record,
    Resumed,
    Rows,
    Verdict,
    stream_metadata,
)

FIRST = '{"sourceVersion":1,"reservoirId":"a-b","reservoirVersion":0,"index":-1}'
LAST = '{"sourceVersion":1,"reservoirId":"a-b","reservoirVersion":3,"index":0}'
RECORD = Record(
    stream="silver.matches",
    run_id="run",
    checkpoint="a-b-c",
    batch_id=15,
    source_from=FIRST,
    source_to=LAST,
    ranges=(Range("t", "id", 0, 5, 9, 4), Range("t", None, 1, 0, 0, 1)),
    rows=Rows(read=5, valid=3, quarantined=2, reasons={"not_json": 1, "wrong_type": 2}),
    rules="0123456789abcdef",
    at="2026-01-31T10:00:00+00:00",
    resumed=Resumed("me", "mended", "2026-01-31T11:00:00+00:00"),
    expectations=Expectations(
        "fedcba9876543210", success=False, rules={"towers": Verdict("critical", False, 5, 4, 1)}
    ),
)
EMPTY = replace(
    RECORD,
    batch_id=0,
    source_from=None,
    ranges=(),
    rows=Rows(0, 0, 0),
    expectations=None,
    resumed=None,
)


def test_a_record_has_the_published_shape() -> None:
    assert json.loads(RECORD.to_json()) == {
        "v": VERSION,
        "stream": "silver.matches",
        "run_id": "run",
        "checkpoint": "a-b-c",
        "batch_id": 15,
        "source": {
            "from": json.loads(FIRST),
            "to": json.loads(LAST),
            "ranges": [
                {"topic": "t", "topic_id": "id", "partition": 0, "min": 5, "max": 9, "count": 4},
                {"topic": "t", "topic_id": None, "partition": 1, "min": 0, "max": 0, "count": 1},
            ],
        },
        "rows": {
            "read": 5,
            "valid": 3,
            "quarantined": 2,
            "reasons": {"not_json": 1, "wrong_type": 2},
        },
        "rules": "0123456789abcdef",
        "at": "2026-01-31T10:00:00+00:00",
        "expectations": {
            "suite": "fedcba9876543210",
            "success": False,
            "rules": {
                "towers": {
                    "severity": "critical",
                    "success": False,
                    "rows": 5,
                    "judged": 4,
                    "unexpected": 1,
                }
            },
        },
        "resumed": {"by": "me", "why": "mended", "at": "2026-01-31T11:00:00+00:00"},
        "code": __version__,
    }


@pytest.mark.parametrize("record", [RECORD, EMPTY], ids=["full", "empty"])
def test_a_record_is_read_back_as_it_was_written(record: Record) -> None:
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize("record", [RECORD, EMPTY], ids=["full", "empty"])
def test_a_record_that_is_written_again_is_the_same_text(record: Record) -> None:
    assert Record.from_json(record.to_json()).to_json() == record.to_json()


def test_the_first_batch_comes_from_nowhere() -> None:
    source = json.loads(EMPTY.to_json())["source"]

    assert source == {"from": None, "to": json.loads(LAST), "ranges": []}


def test_a_record_keeps_the_version_and_the_code_that_wrote_it() -> None:
    old = replace(RECORD, v=0, code="0.0.1")

    found = Record.from_json(old.to_json())

    assert (found.v, found.code) == (0, "0.0.1")


def test_a_record_is_one_line_whatever_it_names() -> None:
    text = replace(RECORD, stream="silver.a\nb").to_json()

    assert len(text.splitlines()) == 1
    assert Record.from_json(text).stream == "silver.a\nb"


def test_a_commit_of_bronze_names_stream_run_code_and_topic() -> None:
    found = json.loads(stream_metadata("bronze.matches", "run", "esports", None))

    assert found == {
        "v": VERSION,
        "stream": "bronze.matches",
        "run_id": "run",
        "code": __version__,
        "topic": "esports",
        "topic_id": None,
    }


def test_reading_what_commits_say_needs_no_spark() -> None:
    code = "import sys, lakehouse.reading.trail; print('pyspark' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
