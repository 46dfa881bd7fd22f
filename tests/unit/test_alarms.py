"""An alarm is told once, and its end; no destination holds anything up; no secret is told."""

from __future__ import annotations

import json
import logging
import queue
import subprocess
import sys
import threading
import traceback
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from pydantic import SecretStr

from lakehouse import alarms, destinations, log, pipeline, streams
from lakehouse.alarms import Alarm, Alarms
from lakehouse.demo import story
from lakehouse.errors import ConfigError, LakehouseError, SourceError, TableError
from lakehouse.health import Health
from lakehouse.run import Run
from lakehouse.settings import AlarmSettings
from lakehouse.signals import Asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lakehouse.entities import Entity
    from lakehouse.settings import Config
    from lakehouse.turns import Turn

STREAM = "silver.matches"
CANARY = "CANARY-7f3a"
# Long enough that a call which waited for the destination would not pass for one that did not.
FOREVER = 300.0

ENDS = """
import sys
from pathlib import Path
from pydantic import SecretStr
from lakehouse import log
from lakehouse.alarms import Alarm, Alarms
from lakehouse.settings import AlarmSettings
log.set_up(level="info", style="text")
urls = SecretStr(sys.argv[2]) if len(sys.argv) > 2 else None
alarms = Alarms(Path(sys.argv[1]), AlarmSettings(urls=urls, timeout_seconds=300))
alarms.raised("silver.matches", Alarm.STREAM_FAILED, "text")
sys.stdin.read()
alarms.close(0)
print("apprise" in sys.modules)
"""


class Receiver(ThreadingHTTPServer):
    """Keeps each note it is sent, and answers it once it may, with the next of *statuses*."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.notes: queue.Queue[dict[str, str]] = queue.Queue()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.answered = 0
        self.statuses: list[int] = []

    @property
    def url(self) -> str:
        return f"json://user:{CANARY}@127.0.0.1:{self.server_port}/{CANARY}"

    def next(self) -> dict[str, str]:
        """Return the next note that arrives."""
        return self.notes.get(timeout=20)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.notes.put(json.loads(body))
        self.server.may_answer.wait()
        self.server.answered += 1
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "PAUSES", (0.0, 0.0))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.may_answer.set()
        server.shutdown()
        thread.join(10)


@pytest.fixture(autouse=True)
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    log.set_up(level="debug", style="json")
    logging.getLogger().addHandler(caplog.handler)
    logging.getLogger().setLevel(logging.DEBUG)
    yield caplog
    logging.getLogger().removeHandler(caplog.handler)
    logging.getLogger().setLevel(logging.WARNING)
    structlog.reset_defaults()


def settings(*urls: str, seconds: float = 10.0) -> AlarmSettings:
    return AlarmSettings(urls=SecretStr(" ".join(urls)), timeout_seconds=seconds)


@contextmanager
def telling(state: Path, *urls: str) -> Iterator[Alarms]:
    """Have alarms over *state* inside the block, and all of them delivered after it."""
    with Alarms(state, settings(*urls)) as told:
        yield told


def said(lines: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """Return what was logged as *event*."""
    found = [record.msg for record in lines.records if isinstance(record.msg, dict)]
    return [one for one in found if one["event"].startswith(event)]


def kept(state: Path) -> dict[str, Any]:
    """Return what stands, as the next process will read it."""
    found: dict[str, Any] = json.loads((state / STREAM / "alarms.json").read_text())
    return found


def closed_port() -> str:
    """Return the URL of a destination where nobody listens."""
    with Receiver() as gone:
        return gone.url


# What is told


def test_an_alarm_arrives_once_and_so_does_its_end(tmp_path: Path, receiver: Receiver) -> None:
    with telling(tmp_path, receiver.url) as told:
        for _ in range(3):
            told.raised(STREAM, Alarm.BREAKER_TRIPPED, "half of batch 7 is bad\nwhy: a producer")
        for _ in range(3):
            told.ended(STREAM, Alarm.BREAKER_TRIPPED, "batch 8 is good")

    first, last = receiver.next(), receiver.next()
    assert receiver.notes.empty()
    assert (first["title"], first["type"]) == (
        "lakehouse: silver.matches tripped its breaker",
        "failure",
    )
    assert first["message"].startswith("half of batch 7 is bad\nwhy: a producer\nhost: ")
    assert "\ntime: " in first["message"]
    assert (last["title"], last["type"]) == (
        "lakehouse: silver.matches closed its breaker again",
        "success",
    )


def test_what_never_began_has_no_end(tmp_path: Path, receiver: Receiver) -> None:
    with telling(tmp_path, receiver.url) as told:
        told.ended(STREAM, Alarm.STREAM_FAILED, "it runs")

    assert receiver.notes.empty()
    assert not (tmp_path / STREAM).exists()


def test_alarms_of_one_kind_are_told_apart_by_what_they_are_about(
    tmp_path: Path, receiver: Receiver
) -> None:
    with telling(tmp_path, receiver.url) as told:
        for rule in ("wins", "dates", "wins"):
            told.raised(STREAM, Alarm.EXPECTATION_FAILED, "too many", about=rule)
        told.ended(STREAM, Alarm.EXPECTATION_FAILED, "enough", about="wins")

    titles = [receiver.next()["title"].rpartition("silver.matches ")[2] for _ in range(3)]
    assert titles == [
        "fails an expectation: wins",
        "fails an expectation: dates",
        "meets its expectation again: wins",
    ]
    assert receiver.notes.empty()
    assert list(kept(tmp_path)) == ["EXPECTATION_FAILED: dates"]


def test_an_alarm_may_be_raised_again_after_its_end(tmp_path: Path, receiver: Receiver) -> None:
    with telling(tmp_path, receiver.url) as told:
        for _ in range(2):
            told.raised(STREAM, Alarm.STREAM_FAILED, "text")
            told.ended(STREAM, Alarm.STREAM_FAILED, "text")

    assert [receiver.next()["type"] for _ in range(4)] == ["failure", "success"] * 2


def test_each_kind_has_words_for_its_beginning_and_its_end() -> None:
    assert set(alarms.SAYS) == set(Alarm)


def test_what_an_error_says_cannot_drive_a_terminal(tmp_path: Path, receiver: Receiver) -> None:
    with telling(tmp_path, receiver.url) as told:
        told.raised(STREAM, Alarm.STREAM_FAILED, "a\x1b[31mb\r\n\u202ec", about="x\ny")

    note = receiver.next()
    assert note["message"].startswith("a\\x1b[31mb\n\\u202ec\n")
    assert note["title"].isprintable()


# The next process


def test_the_next_process_raises_nothing_again_and_ends_what_stands(
    tmp_path: Path, receiver: Receiver
) -> None:
    with telling(tmp_path, receiver.url) as told:
        told.raised(STREAM, Alarm.DATA_LOSS, "text")
    with telling(tmp_path, receiver.url) as told:
        told.raised(STREAM, Alarm.DATA_LOSS, "text")
        told.ended(STREAM, Alarm.DATA_LOSS, "text")
        told.ended(STREAM, Alarm.STREAM_FAILED, "text")

    assert [receiver.next()["type"] for _ in range(2)] == ["failure", "success"]
    assert receiver.notes.empty()
    assert kept(tmp_path) == {}


def test_what_nobody_was_told_the_next_process_tells(tmp_path: Path, receiver: Receiver) -> None:
    with telling(tmp_path, closed_port()) as told:
        told.raised(STREAM, Alarm.STREAM_FAILED, "first")
    assert kept(tmp_path)["STREAM_FAILED"]["told"] is False
    with telling(tmp_path, receiver.url) as told:
        told.raised(STREAM, Alarm.STREAM_FAILED, "second")

    assert receiver.next()["message"].startswith("second")
    assert kept(tmp_path)["STREAM_FAILED"]["told"] is True


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", '{"a": 1}', '{"STREAM_FAILED": {}}', "\ud800"]
)
def test_a_file_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / STREAM).mkdir()
    (tmp_path / STREAM / "alarms.json").write_bytes(text.encode("utf-8", "surrogatepass"))

    with telling(tmp_path) as told:
        told.ended(STREAM, Alarm.STREAM_FAILED, "text")
        told.raised(STREAM, Alarm.STREAM_FAILED, "text")

    assert list(kept(tmp_path)) == ["STREAM_FAILED"]


def test_a_state_folder_that_cannot_be_written_hides_no_error(
    tmp_path: Path, receiver: Receiver, lines: pytest.LogCaptureFixture
) -> None:
    (tmp_path / STREAM).write_text("a file in place of a folder")

    with telling(tmp_path, receiver.url) as told:
        told.raised(STREAM, Alarm.STREAM_FAILED, "text")

    assert receiver.next()["type"] == "failure"
    assert said(lines, "Alarms could not be kept")


# Without destinations


def test_without_urls_alarms_are_kept_and_logged_once(
    tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with telling(tmp_path) as told:
            told.raised(STREAM, Alarm.STREAM_FAILED, "text")
    assert list(kept(tmp_path)) == ["STREAM_FAILED"]
    with telling(tmp_path) as told:
        told.ended(STREAM, Alarm.STREAM_FAILED, "text")

    assert [one["alarm"] for one in said(lines, "Alarm raised")] == ["STREAM_FAILED"]
    assert [one["alarm"] for one in said(lines, "Alarm ended")] == ["STREAM_FAILED"]


def test_without_urls_apprise_is_not_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS, tmp_path], input="", capture_output=True, text=True, check=True
    )

    assert done.stdout == "False\n"


# Destinations that do not answer


def test_a_destination_that_never_answers_holds_nothing_up(
    tmp_path: Path, receiver: Receiver, lines: pytest.LogCaptureFixture
) -> None:
    receiver.may_answer.clear()
    told = Alarms(tmp_path, settings(receiver.url, seconds=FOREVER))
    told.raised(STREAM, Alarm.STREAM_FAILED, "text")
    receiver.next()

    told.raised(STREAM, Alarm.DATA_LOSS, "text")
    told.ended(STREAM, Alarm.STREAM_FAILED, "text")
    told.close(0.01)

    assert receiver.answered == 0
    assert receiver.notes.empty()
    assert said(lines, "Alarms were still on their way")
    receiver.may_answer.set()
    assert [receiver.next()["type"] for _ in range(2)] == ["failure", "success"]
    told.close(20)


def test_a_process_ends_while_a_destination_does_not_answer(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.may_answer.clear()
    command = [sys.executable, "-c", ENDS, str(tmp_path), receiver.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            receiver.next()
            out, _ = process.communicate(b"", timeout=30)
        finally:
            process.kill()

    assert (process.returncode, out) == (0, b"True\n")
    assert receiver.answered == 0


def test_a_destination_that_refuses_is_tried_again_and_given_up_without_its_url(
    tmp_path: Path, receiver: Receiver, lines: pytest.LogCaptureFixture
) -> None:
    receiver.statuses = [500] * 3

    with telling(tmp_path, receiver.url) as told:
        told.raised(STREAM, Alarm.STREAM_FAILED, "text")

    (line,) = said(lines, "Alarm not delivered")
    assert (line["destination"], line["attempts"]) == ("1 (json)", 3)
    assert receiver.notes.qsize() == 3
    assert CANARY not in lines.text


def test_a_destination_that_is_away_is_given_up_without_its_url(
    tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    with telling(tmp_path, closed_port()) as told:
        told.raised(STREAM, Alarm.STREAM_FAILED, "text")

    assert said(lines, "Alarm not delivered")
    assert CANARY not in lines.text


def test_a_destination_that_comes_back_is_told_once(tmp_path: Path, receiver: Receiver) -> None:
    receiver.statuses = [500, 200]

    with telling(tmp_path, receiver.url) as told:
        told.raised(STREAM, Alarm.STREAM_FAILED, "text")

    assert receiver.notes.qsize() == 2
    assert kept(tmp_path)["STREAM_FAILED"]["told"] is True


def test_one_destination_that_is_away_keeps_nothing_from_another(
    tmp_path: Path, receiver: Receiver, lines: pytest.LogCaptureFixture
) -> None:
    with telling(tmp_path, closed_port(), receiver.url) as told:
        told.raised(STREAM, Alarm.STREAM_FAILED, "text")

    assert receiver.notes.qsize() == 1
    assert [one["destination"] for one in said(lines, "Alarm not delivered")] == ["1 (json)"]
    assert kept(tmp_path)["STREAM_FAILED"]["told"] is True


def test_when_too_many_wait_an_alarm_is_dropped_and_said_to_be(
    tmp_path: Path,
    receiver: Receiver,
    lines: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alarms, "CAPACITY", 1)
    receiver.may_answer.clear()
    with telling(tmp_path, receiver.url) as told:
        told.raised(STREAM, Alarm.EXPECTATION_FAILED, "text", about="in hand")
        receiver.next()
        told.raised(STREAM, Alarm.EXPECTATION_FAILED, "text", about="waiting")
        told.raised(STREAM, Alarm.EXPECTATION_FAILED, "text", about="too many")
        receiver.may_answer.set()

    assert told.dropped == 1
    assert "too many" in said(lines, "Alarm dropped")[0]["title"]
    assert receiver.next()["title"].endswith("waiting")
    assert receiver.notes.empty()


# URLs


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"nope://{CANARY}/x", "(nope)"),
        (f"slack://{CANARY}", "(slack)"),
        (f"https://hooks.example.org:port/{CANARY}", "(https)"),
        (f"json://[::1/{CANARY}", "(json)"),
        (CANARY, "(no schema)"),
        (f"{CANARY}://host", "(no schema)"),
    ],
)
def test_a_url_that_cannot_be_read_is_named_by_its_place_and_never_shown(
    lines: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], url: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        destinations.read(settings("json://127.0.0.1", url))

    assert (caught.value.code, caught.value.params["key"]) == ("BAD_VALUE", "alarms.urls")
    assert f"URL 2 {told}" in str(caught.value.params["reason"])
    trace = "".join(traceback.format_exception(caught.value))
    assert CANARY not in trace + lines.text + "".join(capfd.readouterr())


def test_urls_are_separated_by_any_white_space() -> None:
    found = destinations.read(settings(" json://a", "\n", "xml://b\tmailto://u:p@example.org "))

    assert [one.name for one in found] == ["1 (json)", "2 (xml)", "3 (mailto)"]


@pytest.mark.parametrize("given", [AlarmSettings(), settings(""), settings(" \n")])
def test_without_urls_there_is_no_destination(given: AlarmSettings) -> None:
    assert destinations.read(given) == []


def test_the_demo_tells_no_destination_of_productions(config: Config) -> None:
    own = config.model_copy(update={"alarms": settings("json://127.0.0.1")})

    assert story.apart(own, "127.0.0.1:1").alarms == AlarmSettings()


# What streams raise


class Query:
    """As much of a streaming query as running it takes."""

    def __init__(self, failure: str = "", *, active: bool) -> None:
        self.isActive = active
        said = SimpleNamespace(toString=lambda: failure, getCause=lambda: None)
        found = SimpleNamespace(isDefined=lambda: bool(failure), get=lambda: said)
        self._jsq = SimpleNamespace(exception=lambda: found)

    def stop(self) -> None:
        self.isActive = False


def run_all(
    config: Config,
    start: Callable[[Turn], Query],
    *,
    states: Sequence[str] = (),
    once: bool = False,
) -> None:
    """Run one stream that *start* starts; it gets into each of *states*, then is asked to stop."""
    health = Health(progress_every=10, backlog_after=3)
    health.watch(STREAM, "topic", lambda _: None)
    table: Any = SimpleNamespace(name=STREAM, checkpoint="checkpoint")
    stream = streams.Stream(table, "topic", start)  # type: ignore[arg-type]  # as much as it takes
    left = list(states)
    (config.state_dir / STREAM).mkdir(parents=True, exist_ok=True)

    def asked() -> int:
        if stream.query is not None:
            if not left:
                return 1
            health.set(STREAM, left.pop(0))
        return 0

    spark: Any = None
    run = Run(config, once=once)
    with run.alarms:
        streams.run_all(spark, [stream], run, health, asked=asked)


def failing(error: Exception) -> Callable[[Turn], Query]:
    def start(_: Turn) -> Query:
        raise error

    return start


LOST = SourceError("OFFSETS_LOST", stream=STREAM, range="0..5", reason="gone")
RECREATED = SourceError("TOPIC_RECREATED", topic="topic", before="a", now="b")
MISSING = SourceError("TOPIC_MISSING", topic="topic", bootstrap="b")
AWAY = SourceError("BROKER_UNREACHABLE", retryable=True, bootstrap="b", reason="away")
CONFLICT = TableError("SCHEMA_CONFLICT", table=STREAM, entity="matches", difference="a")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (LOST, Alarm.DATA_LOSS),
        (RECREATED, Alarm.DATA_LOSS),
        (MISSING, Alarm.STREAM_FAILED),
        (CONFLICT, Alarm.STREAM_FAILED),
        (RuntimeError(CANARY), Alarm.STREAM_FAILED),
    ],
    ids=lambda value: getattr(value, "code", str(value)),
)
def test_a_stream_that_ends_with_an_error_raises_an_alarm_with_its_lines(
    config: Config, receiver: Receiver, error: Exception, kind: Alarm
) -> None:
    own = config.model_copy(update={"alarms": settings(receiver.url)})

    with pytest.raises(type(error)):
        run_all(own, failing(error))

    note = receiver.next()
    assert receiver.notes.empty()
    assert list(kept(config.state_dir)) == [kind]
    assert CANARY not in note["message"]
    if isinstance(error, LakehouseError):
        assert all(line in note["message"] for line in (*error.message, error.code))


def test_a_query_that_failed_raises_one_alarm(config: Config, receiver: Receiver) -> None:
    own = config.model_copy(update={"alarms": settings(receiver.url)})

    with pytest.raises(TableError):
        run_all(own, lambda _: Query("java.lang.Error: [SOME_CONDITION] it broke", active=False))

    assert "SOME_CONDITION" in receiver.next()["message"]
    assert receiver.notes.empty()


def test_a_stream_that_waits_for_its_source_raises_no_alarm(config: Config) -> None:
    tries: list[Turn] = []
    patient = config.kafka.model_copy(update={"retry_first_seconds": 0.001})

    def start(turn: Turn) -> Query:
        tries.append(turn)
        if len(tries) < 3:
            raise AWAY
        return Query(active=True)

    run_all(config.model_copy(update={"kafka": patient}), start, states=["running"])

    assert len(tries) == 3
    assert not (config.state_dir / STREAM / "alarms.json").exists()


def test_a_run_that_waited_long_enough_for_its_source_raises_an_alarm(config: Config) -> None:
    impatient = config.kafka.model_copy(update={"once_wait_seconds": 0.0})

    with pytest.raises(SourceError):
        run_all(config.model_copy(update={"kafka": impatient}), failing(AWAY), once=True)

    assert list(kept(config.state_dir)) == [Alarm.STREAM_FAILED]


@pytest.mark.parametrize("state", ["running", "idle"])
@pytest.mark.parametrize("error", [LOST, CONFLICT], ids=lambda error: error.code)
def test_a_stream_that_runs_again_ends_what_the_process_before_raised(
    config: Config, receiver: Receiver, error: Exception, state: str
) -> None:
    own = config.model_copy(update={"alarms": settings(receiver.url)})
    with pytest.raises(LakehouseError):
        run_all(own, failing(error))

    run_all(own, lambda _: Query(active=True))  # started and stopped, but it took nothing yet
    assert receiver.notes.qsize() == 1
    run_all(own, lambda _: Query(active=True), states=[state])

    assert [receiver.next()["type"] for _ in range(2)] == ["failure", "success"]
    assert kept(config.state_dir) == {}


def test_a_run_that_took_all_there_is_ends_its_alarm(config: Config) -> None:
    with pytest.raises(LakehouseError):
        run_all(config, failing(CONFLICT), once=True)

    run_all(config, lambda _: Query(active=False), states=["starting"], once=True)

    assert kept(config.state_dir) == {}


def test_a_run_ends_once_its_alarms_are_delivered(
    config: Config, matches: Entity, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = config.model_copy(update={"alarms": settings(receiver.url)})
    spark = SimpleNamespace(streams=SimpleNamespace(removeListener=lambda _: None))
    monkeypatch.setattr("lakehouse.session.start", lambda *_, **__: spark)
    monkeypatch.setattr("lakehouse.session.stop", lambda _: None)

    def build(_: object, run: Run, *__: object) -> tuple[list[streams.Stream], Health]:
        health = Health(progress_every=10, backlog_after=3)
        table = run.lake.table("silver", "matches")
        health.watch(table.name, "topic", lambda _: None)
        return [streams.Stream(table, "topic", failing(CONFLICT))], health  # type: ignore[arg-type]  # it never returns a query

    monkeypatch.setattr(pipeline, "build", build)

    run = Run(own)
    with pytest.raises(TableError):
        pipeline.run(run, [matches], ["silver"], Asked())

    assert receiver.notes.qsize() == 1
    assert not run.alarms._thread.is_alive()


def test_the_losses_are_errors_of_the_source() -> None:
    assert set(SourceError.catalogue) > alarms.LOSSES
