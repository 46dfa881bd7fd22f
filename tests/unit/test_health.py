"""Streams are watched together: what is logged, and when a backlog is called one."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import lag, log
from lakehouse.durations import BOUNDS
from lakehouse.health import BatchCounts, Health

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
    health.watch(BRONZE, "esports-matches", lambda _: behind(lags.pop(0) if lags else 0))
    health.watch(SILVER, "esports-matches", lambda _: None)
    return health, lags


def behind(lag: int | None) -> dict[str, int] | None:
    return None if lag is None else {"0": lag}


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


def counts(version: int) -> BatchCounts:
    return BatchCounts(
        valid=7,
        quarantined=3,
        reasons={"not_json": 2, "out_of_range": 2},
        failures={("kills_positive", "warn"): 1, ("kills_positive", "quarantine"): 2},
        superseded={"older": 3, "without_sequence": 1},
        versions={SILVER: version, "quarantine.matches": version},
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
    lags.extend([0] * 9 + [7])
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


def test_kafkas_lag_is_the_end_less_the_position_of_each_partition() -> None:
    source = {"latestOffset": {"t": {"0": 10, "1": 7}}, "endOffset": {"t": {"0": 4, "1": 7}}}
    told = SimpleNamespace(sources=[SimpleNamespace(json=json.dumps(source))])
    assert lag.behind_kafka(told) == {"0": 6, "1": 0}
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

    def behind(version: int, index: int) -> dict[str, int] | None:
        offset = {"endOffset": {"reservoirVersion": version, "index": index}}
        return tail.behind(SimpleNamespace(sources=[SimpleNamespace(json=json.dumps(offset))]))

    assert behind(1, -100) == {"all": 23}
    assert behind(1, 0) == {"all": 18}
    assert behind(2, -100) == {"all": 11}
    assert behind(3, -100) == {"all": 0}


def test_the_lag_is_what_each_batch_left_and_0_once_there_is_nothing_to_do() -> None:
    health, lags = watching(every=10)
    lags.extend([5, 3])
    for batch in range(2):
        health.onQueryProgress(progress(batch=batch))
    assert (health.streams[BRONZE].lag, health.streams[BRONZE].lag_by_partition) == (3, {"0": 3})
    health.onQueryProgress(progress(triggerExecution=3))
    assert (health.streams[BRONZE].lag, health.streams[BRONZE].lag_by_partition) == (0, {"0": 0})


@pytest.mark.parametrize("state", ["starting", "waiting for broker", "failing"])
def test_no_lag_is_shown_while_nobody_looks_at_the_source(state: str) -> None:
    health, lags = watching()
    lags.append(5)
    health.onQueryProgress(progress())
    health.set(BRONZE, state)
    assert (health.streams[BRONZE].lag, health.streams[BRONZE].lag_by_partition) == (None, {})


def test_a_source_that_does_not_tell_has_no_lag_even_when_there_is_nothing_to_do() -> None:
    health, lags = watching()
    lags.append(None)
    health.onQueryProgress(progress())
    health.set(BRONZE, "idle")
    assert (health.streams[BRONZE].lag, health.streams[BRONZE].lag_by_partition) == (None, {})


def test_a_lag_that_cannot_be_read_loses_no_batch_from_the_counts() -> None:
    health, _ = watching()

    def broken(_: Any) -> dict[str, int] | None:
        raise OSError

    health.watch(BRONZE, "esports-matches", broken)
    health.onQueryProgress(progress(rows=200))
    assert health.streams[BRONZE].outcomes == {"landed": 200}


def test_counts_of_silver_batches_add_up_and_versions_are_the_last() -> None:
    health, _ = watching()
    for version in (4, 5):
        health.count(SILVER, counts(version))
    known, _ = health.look(SILVER)
    assert known.outcomes == {"valid": 14, "quarantined": 6}
    assert known.reasons == {"not_json": 4, "out_of_range": 4}
    assert known.failures == {"kills_positive": {"warn": 2, "quarantine": 4}}
    assert known.superseded == {"older": 6, "without_sequence": 2}
    assert known.versions == {SILVER: 5, "quarantine.matches": 5}


def test_counts_of_a_stream_that_nobody_watches_are_no_error() -> None:
    health, _ = watching()
    health.count("silver.unwatched", counts(1))
    assert set(health.streams) == {BRONZE, SILVER}


def test_what_is_looked_at_does_not_change_any_more_and_is_json() -> None:
    health, _ = watching()
    health.count(SILVER, counts(1))
    known, _ = health.look(SILVER)
    health.count(SILVER, counts(2))
    assert known.versions[SILVER] == 1
    assert json.loads(json.dumps(asdict(known))) == asdict(known)


def test_the_time_of_batches_is_kept_by_part_and_by_length() -> None:
    health, _ = watching()
    for batch in range(2):
        health.onQueryProgress(progress(batch=batch, addBatch=900, walCommit=50))
    known, durations = health.look(BRONZE)
    assert known.last_batch_ms == {"addBatch": 900, "walCommit": 50}
    assert durations.part_seconds == pytest.approx({"addBatch": 1.8, "walCommit": 0.1})
    assert durations.seconds == pytest.approx(2.0)
    assert dict(zip(BOUNDS, durations.batches, strict=False))[1.0] == 2


def test_an_event_that_comes_after_the_end_changes_no_state() -> None:
    health, _ = watching()
    health.set(BRONZE, "stopped")
    health.onQueryProgress(progress(rows=200))
    assert (health.streams[BRONZE].state, health.streams[BRONZE].rows) == ("stopped", 200)


def test_health_is_settled_once_the_end_of_each_query_was_told() -> None:
    health, _ = watching()
    assert health.settle(0)
    health.onQueryStarted(SimpleNamespace(id="7", name=BRONZE))  # type: ignore[arg-type]  # what is read of the event
    assert not health.settle(0)
    end = threading.Thread(target=health.onQueryTerminated, args=[SimpleNamespace(id="7")])
    end.start()
    assert health.settle(10)
    end.join()
