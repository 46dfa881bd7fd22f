"""What Prometheus reads is what happened, from this machine alone, and it never stops a stream."""

from __future__ import annotations

import logging
import socket
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lakehouse import figures, log, metrics
from lakehouse.health import BatchCounts, Health
from lakehouse.run import Run
from tests.unit.test_health import BRONZE, SILVER, progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lakehouse.settings import Config

COUNTS = BatchCounts(
    valid=7,
    quarantined=3,
    reasons={"not_json": 2, "out_of_range": 1},
    failures={("kills_positive", "warn"): 4},
    superseded={"older": 5},
    versions={SILVER: 12, "quarantine.matches": 4},
)


@pytest.fixture
def health() -> Health:
    """A health over two streams, each of which has done one batch."""
    known = Health(progress_every=100, backlog_after=3)
    known.watch(BRONZE, "esports-matches", lambda _: {"0": 11, "1": 0})
    known.watch(SILVER, "esports-matches", lambda _: {"all": 9})
    known.onQueryProgress(progress(BRONZE, rows=200, addBatch=900, walCommit=50))
    known.onQueryProgress(progress(SILVER, rows=10))
    known.count(SILVER, COUNTS)
    return known


@pytest.fixture
def endpoint(health: Health) -> Iterator[metrics.Endpoint]:
    """The metrics of bronze, served."""
    served = metrics.serve(health, "bronze", 0)
    yield served
    served.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    log.set_up(level="info", style="json")
    logging.getLogger().addHandler(caplog.handler)
    yield caplog
    logging.getLogger().removeHandler(caplog.handler)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def values(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the values in *text* by metric and by the values of its labels, sorted by label."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def written(health: Health, layer: str, folder: Path) -> dict[str, dict[tuple[str, ...], float]]:
    path = folder / f"{layer}.prom"
    metrics.write(health, layer, path)
    return values(path.read_text())


# What is told


def test_bronze_tells_what_landed_how_long_it_took_and_what_is_left(
    health: Health, tmp_path: Path
) -> None:
    told = written(health, "bronze", tmp_path)
    stream = ("matches", "bronze")
    assert told["lakehouse_rows_total"] == {(*stream, "landed"): 200}
    assert told["lakehouse_batches_total"] == {stream: 1}
    assert told["lakehouse_lag_records"] == {(*stream, "0"): 11, (*stream, "1"): 0}
    assert told["lakehouse_batch_part_seconds_total"] == {
        (*stream, "addBatch"): 0.9,
        (*stream, "walCommit"): 0.05,
    }
    assert 0 <= told["lakehouse_seconds_since_last_batch"][stream] < 60
    assert told["lakehouse_restarts_total"] == {stream: 0}


def test_the_histogram_adds_up_to_the_batches_and_their_seconds(
    health: Health, tmp_path: Path
) -> None:
    told = written(health, "bronze", tmp_path)
    buckets = told["lakehouse_batch_duration_seconds_bucket"]
    assert buckets["matches", "bronze", "0.5"] == 0
    assert buckets["matches", "bronze", "1.0"] == 1
    assert buckets["matches", "bronze", "+Inf"] == 1
    assert told["lakehouse_batch_duration_seconds_count"] == {("matches", "bronze"): 1}
    assert told["lakehouse_batch_duration_seconds_sum"] == {("matches", "bronze"): 1.0}


def test_silver_tells_what_became_of_each_row(health: Health, tmp_path: Path) -> None:
    told = written(health, "silver", tmp_path)
    assert told["lakehouse_rows_total"] == {
        ("matches", "silver", "valid"): 7,
        ("matches", "silver", "quarantined"): 3,
    }
    assert told["lakehouse_quarantined_total"] == {
        ("matches", "not_json"): 2,
        ("matches", "out_of_range"): 1,
    }
    assert told["lakehouse_expectation_failures_total"] == {
        ("matches", "kills_positive", "warn"): 4
    }
    assert told["lakehouse_superseded_total"] == {
        ("matches", "older"): 5,
        ("matches", "without_sequence"): 0,
    }
    assert told["lakehouse_table_version"] == {(SILVER,): 12, ("quarantine.matches",): 4}
    assert told["lakehouse_lag_records"] == {("matches", "silver", "all"): 9}


@pytest.mark.parametrize("state", figures.STATES)
def test_exactly_one_state_is_1(health: Health, tmp_path: Path, state: str) -> None:
    health.set(BRONZE, state)
    told = written(health, "bronze", tmp_path)["lakehouse_stream_state"]
    assert told == {("matches", "bronze", one): float(one == state) for one in figures.STATES}


def test_before_the_first_batch_counts_are_0_and_what_is_not_known_is_absent(
    tmp_path: Path,
) -> None:
    fresh = Health(progress_every=100, backlog_after=3)
    fresh.watch(SILVER, "esports-matches", lambda _: None)
    told = written(fresh, "silver", tmp_path)
    assert set(told["lakehouse_rows_total"].values()) == {0}
    assert set(told["lakehouse_batch_duration_seconds_bucket"].values()) == {0}
    absent = ("lag_records", "seconds_since_last_batch", "last_batch_timestamp_seconds")
    assert not {f"lakehouse_{name}" for name in absent} & set(told)


def test_each_metric_has_a_help_and_a_name_of_ours(health: Health) -> None:
    for family in metrics.Exporter(health, "silver").collect():
        assert family.name.startswith("lakehouse_")
        assert family.documentation.endswith(".")


def test_reading_while_batches_come_is_safe(health: Health) -> None:
    done = threading.Event()
    faults: list[BaseException] = []

    def read() -> None:
        try:
            while not done.is_set():
                list(metrics.Exporter(health, "silver").collect())
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test tells it
            faults.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for batch in range(300):
        reasons = {f"reason_{batch}": 1}
        health.count(SILVER, BatchCounts(1, 1, reasons, {(f"r{batch}", "warn"): 1}, {}, {}))
    done.set()
    reader.join()
    assert faults == []


# At an address


def test_metrics_are_served_while_the_endpoint_is_open(
    health: Health, endpoint: metrics.Endpoint
) -> None:
    assert values(get(endpoint.url))["lakehouse_batches_total"] == {("matches", "bronze"): 1}
    health.onQueryProgress(progress(BRONZE, batch=1))
    assert values(get(endpoint.url))["lakehouse_batches_total"] == {("matches", "bronze"): 2}


def test_only_this_machine_is_served(endpoint: metrics.Endpoint) -> None:
    assert endpoint.server.socket.getsockname()[0] == "127.0.0.1"
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", endpoint.port))


def test_a_closed_endpoint_serves_no_more_and_its_port_is_free(health: Health) -> None:
    endpoint = metrics.serve(health, "bronze", 0)
    endpoint.close()
    assert not endpoint.thread.is_alive()
    with pytest.raises(urllib.error.URLError):
        get(endpoint.url)
    again = metrics.serve(health, "bronze", endpoint.port)
    again.close()
    assert again.port == endpoint.port


def test_a_busy_port_is_a_warning_and_another_port(
    health: Health, endpoint: metrics.Endpoint, lines: pytest.LogCaptureFixture
) -> None:
    other = metrics.serve(health, "silver", endpoint.port)
    try:
        assert other.port != endpoint.port
        assert "lakehouse_quarantined_total" in get(other.url)
    finally:
        other.close()
    (said,) = [record for record in lines.records if record.levelname == "WARNING"]
    told: Any = said.msg
    assert told["event"] == f"Metrics are at another port than {endpoint.port}"
    assert told["metrics"] == other.url


# For a run


def test_a_running_layer_is_served_and_its_status_says_where(
    health: Health, config: Config
) -> None:
    with metrics.published(health, ["bronze", "silver"], Run(config)):
        urls = {name: str(health.look(name)[0].metrics) for name in (BRONZE, SILVER)}
        told = {name: values(get(url))["lakehouse_batches_total"] for name, url in urls.items()}
        assert told == {BRONZE: {("matches", "bronze"): 1}, SILVER: {("matches", "silver"): 1}}
    for url in urls.values():
        with pytest.raises(urllib.error.URLError):
            get(url)
    assert not list(config.state_dir.glob("*.prom"))


def test_nothing_is_served_if_the_settings_say_so(health: Health, config: Config) -> None:
    off = config.metrics.model_copy(update={"serve": False})
    quiet = config.model_copy(update={"metrics": off})
    with metrics.published(health, ["bronze"], Run(quiet)):
        assert health.look(BRONZE)[0].metrics is None


def test_a_run_with_once_leaves_a_file_even_when_it_failed(health: Health, config: Config) -> None:
    config.state_dir.mkdir(parents=True)

    def fail() -> None:
        with metrics.published(health, ["bronze"], Run(config, once=True)):
            assert health.look(BRONZE)[0].metrics is None
            health.onQueryProgress(progress(BRONZE, batch=1))
            raise RuntimeError("of the stream")

    with pytest.raises(RuntimeError, match="of the stream"):
        fail()
    (path,) = config.state_dir.glob("*")
    assert path.name == "bronze.prom"
    assert values(path.read_text())["lakehouse_batches_total"] == {("matches", "bronze"): 2}


def test_a_file_that_cannot_be_written_is_a_warning(
    health: Health, tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    metrics.write(health, "bronze", tmp_path / "missing" / "bronze.prom")
    told: Any = lines.records[-1].msg
    assert told["event"] == "Metrics could not be written"
