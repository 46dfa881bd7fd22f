"""Too many refused messages: silver stops before it writes, people hear of it, and resume it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

from lakehouse import entities
from tests.e2e.harness import eventually
from tests.messages import proven

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from tests.e2e.harness import Kafka, Lakehouse


@pytest.fixture
def heard() -> Iterator[tuple[str, list[str]]]:
    """A receiver of alarms: its address, and the titles of what it was told."""
    titles: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            titles.append(json.loads(body)["title"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/", titles
    server.shutdown()
    thread.join()
    server.server_close()


def good(first: int, count: int) -> list[str]:
    return [f'{{"match_id": "{i}"}}' for i in range(first, first + count)]


def metrics(lakehouse: Lakehouse, stream: str) -> str:
    with urlopen(lakehouse.status(stream)["metrics"]) as response:
        text: str = response.read().decode()
    return text


def test_a_flood_of_bad_messages_stops_silver_alone_until_a_person_resumes_it(
    kafka: Kafka,
    lakehouse: Lakehouse,
    matches_topic: str,
    spark: SparkSession,
    heard: tuple[str, list[str]],
) -> None:
    url, titles = heard
    # Rules are not what refuses here, and they cost each start and batch some seconds.
    (lakehouse.conf / "entities" / "matches" / "expectations.json").unlink()
    lakehouse.settings.update(
        LAKEHOUSE__BREAKER__SHARE="0.5",
        LAKEHOUSE__BREAKER__LEAST_ROWS="8",
        LAKEHOUSE__BREAKER__WINDOW_ROWS="8",
        LAKEHOUSE__ALARMS__URLS=url,
    )
    silver = "silver.matches"
    job = lakehouse.start("all", "--entity", "matches")
    job.until("bronze.matches | INFO | Stream started")
    kafka.send(matches_topic, good(0, 8))
    eventually(lambda: len(lakehouse.rows("silver")) == 8, "good messages are rows")
    kafka.send(matches_topic, ["junk"] * 10)
    eventually(lambda: lakehouse.status(silver).get("state") == "tripped", "silver has tripped")
    assert "[BREAKER_TRIPPED]" in lakehouse.status(silver)["error"]
    kafka.send(matches_topic, good(8, 5))
    eventually(lambda: len(lakehouse.rows("bronze")) == 23, "bronze goes on")
    assert lakehouse.rows("quarantine") == []
    eventually(lambda: titles == ["lakehouse: silver.matches tripped its breaker"], "an alarm")
    shown = metrics(lakehouse, silver)
    assert 'lakehouse_stream_state{entity="matches",layer="silver",state="tripped"} 1.0' in shown
    assert 'lakehouse_rows_total{entity="matches",layer="silver",outcome="valid"} 8.0' in shown
    landed = 'lakehouse_rows_total{entity="matches",layer="bronze",outcome="landed"} 23.0'
    eventually(lambda: landed in metrics(lakehouse, "bronze.matches"), "its rows are counted")
    assert 'lakehouse_table_version{table="bronze.matches"}' in metrics(lakehouse, "bronze.matches")
    resumed = lakehouse.call("resume", silver, "--why", "the producer is mended", "--json")
    assert json.loads(resumed.stdout)["tripped"]["refused"] == 10
    eventually(lambda: len(lakehouse.rows("silver")) == 13, "silver goes on")
    assert len(lakehouse.rows("quarantine")) == 10
    told = "lakehouse: silver.matches closed its breaker again"
    eventually(lambda: titles[1:] == [told], "the end of the alarm")
    assert job.stop() == 0

    shown = lakehouse.call("audit", "log", silver, "--json").stdout
    (commit,) = [one for one in json.loads(shown)[silver] if one["resumed"]]
    assert commit["resumed"]["why"] == "the producer is mended"
    assert commit["rows"]["quarantined"] == 10
    again = lakehouse.call("resume", silver, "--why", "once more")
    assert again.stdout == "silver.matches: its breaker has not tripped\n"
    matches = entities.load(lakehouse.conf / "entities" / "matches")
    proven(spark, matches, lakehouse.lake())
