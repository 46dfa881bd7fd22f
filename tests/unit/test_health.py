"""Streams are watched together: what is logged, and when a backlog is called one."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import lag, log
from lakehouse.health import Health

if TYPE_CHECKING:
    from collections.abc import Iterator

BRONZE, SILVER = "bronze.matches", "silver.matches"


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    log.set_up(level="info", style="json")
    logging.getLogger().addHandler(caplog.handler)
    yield caplog
    logging.getLogger().removeHandler(caplog.handler)


def watching(*, every: int = 1, after: int = 3) -> tuple[Health, list[int | None]]:
    """Return a health over two streams, and the list from which bronze's lags are taken."""
    lags: list[int | None] = []
    health = Health(progress_every=every, backlog_after=after)
    health.watch(BRONZE, "esports-matches", lambda _: lags.pop(0) if lags else 0)
    health.watch(SILVER, "esports-matches", lambda _: None)
    return health, lags


def progress(name: str = BRONZE, batch: int = 0, rows: int = 200, **durations: int) -> Any:
    return SimpleNamespace(
        progress=SimpleNamespace(
            name=name,
            batchId=batch,
            numInputRows=rows,
            inputRowsPerSecond=20.0,
            processedRowsPerSecond=float("inf"),
            batchDuration=1000,
            durationMs=durations or {"addBatch": 900},
            sources=[],
        )
    )


def events(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.msg for record in caplog.records if isinstance(record.msg, dict)]


def test_each_bronze_batch_is_logged_with_its_count_and_topic(
    lines: pytest.LogCaptureFixture,
) -> None:
    health, _ = watching(every=10)
    health.onQueryProgress(progress(batch=15))
    (said,) = events(lines)
    assert said["event"] == "Batch 15 landed"
    assert (said["batch_id"], said["record_count"], said["topic"]) == (15, 200, "esports-matches")


def test_query_progress_is_logged_every_so_many_batches(lines: pytest.LogCaptureFixture) -> None:
    health, lags = watching(every=10)
    lags.extend([7])
    for batch in range(19):
        health.onQueryProgress(progress(SILVER if batch % 2 else BRONZE, batch))
    (said,) = [one for one in events(lines) if one["event"] == "Query progress"]
    assert said["batch_id"] == 18
    assert said["offsets_behind"] == 7
    assert said["batch_duration_ms"] == 1000
    assert said["streams"] == {BRONZE: "running", SILVER: "running"}
    assert {"input_rows", "input_rows_per_second", "processed_rows_per_second"} <= set(said)


@pytest.mark.parametrize(
    ("seen", "warnings"),
    [([1, 2, 3, 4], 1), ([1, 2, 3], 0), ([4, 4, 4, 4], 0), ([1, 2, 2, 3], 0), ([9, 1, 2, 3, 4], 1)],
)
def test_a_backlog_is_warned_of_when_it_grew_so_often_in_a_row(
    lines: pytest.LogCaptureFixture, seen: list[int], warnings: int
) -> None:
    health, lags = watching(after=3)
    lags.extend(seen)
    for batch in range(len(seen)):
        health.onQueryProgress(progress(batch=batch))
    said = [one for one in events(lines) if "Backlog keeps growing" in one["event"]]
    assert len(said) == warnings


def test_a_trigger_without_data_is_idle_and_no_batch(lines: pytest.LogCaptureFixture) -> None:
    health, _ = watching()
    health.onQueryProgress(progress(triggerExecution=3))
    assert (health.streams[BRONZE].state, health.streams[BRONZE].batches) == ("idle", 0)
    assert events(lines) == []


def test_a_query_that_waits_for_data_is_idle_and_its_error_forgotten_once_it_runs() -> None:
    health, _ = watching()
    health.onQueryStarted(SimpleNamespace(id="7", name=BRONZE))  # type: ignore[arg-type]  # what is read of the event
    health.set(BRONZE, "waiting for broker", error="away")
    health.onQueryIdle(SimpleNamespace(id="7"))  # type: ignore[arg-type]  # as above
    assert (health.streams[BRONZE].state, health.streams[BRONZE].error) == ("idle", None)
    health.onQueryProgress(progress())
    assert (health.streams[BRONZE].state, health.streams[BRONZE].error) == ("running", None)


def test_a_fault_in_watching_never_reaches_the_query(lines: pytest.LogCaptureFixture) -> None:
    health, _ = watching()
    health.onQueryProgress(SimpleNamespace(progress=SimpleNamespace(name=BRONZE)))  # type: ignore[arg-type]  # not an event, on purpose
    assert [one["event"] for one in events(lines)] == ["Progress could not be read"]


def test_a_rate_that_is_no_number_is_shown_as_none() -> None:
    health, _ = watching()
    health.onQueryProgress(progress())
    assert health.streams[BRONZE].rows_per_second == 0.0


def test_kafkas_lag_is_the_end_less_the_position_over_all_partitions() -> None:
    source = {"latestOffset": {"t": {"0": 10, "1": 7}}, "endOffset": {"t": {"0": 4, "1": 7}}}
    told = SimpleNamespace(sources=[SimpleNamespace(json=json.dumps(source))])
    assert lag.behind_kafka(told) == 6
    silent = SimpleNamespace(sources=[SimpleNamespace(json='{"latestOffset": null}')])
    assert lag.behind_kafka(silent) is None


def test_silvers_lag_is_what_bronze_committed_after_its_position(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def commit(*rows: int) -> str:
        adds = [{"add": {"dataChange": True, "stats": json.dumps({"numRecords": n})}} for n in rows]
        return "\n".join(json.dumps(one) for one in [{"commitInfo": {}}, *adds])

    log_of = {
        f"root/_delta_log/{v:020d}.json": text
        for v, text in enumerate([commit(), commit(5, 7), commit(11)])
    }
    monkeypatch.setattr("lakehouse.storage.read", lambda _, path: log_of.get(path))
    tail = lag.Tail(None, SimpleNamespace(path="root"))  # type: ignore[arg-type]  # the storage is a dictionary

    def behind(version: int, index: int) -> int | None:
        offset = {"endOffset": {"reservoirVersion": version, "index": index}}
        return tail.behind(SimpleNamespace(sources=[SimpleNamespace(json=json.dumps(offset))]))

    assert behind(1, -100) == 23
    assert behind(1, 0) == 18
    assert behind(2, -100) == 11
    assert behind(3, -100) == 0
