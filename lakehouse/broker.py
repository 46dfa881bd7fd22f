"""A Kafka broker of one node on this machine, for development, the demo and the tests.

It is Apache Kafka itself, run from the locked jars, bound to 127.0.0.1 and to nothing else. All it
owns lies in one data folder: the records (`kafka/`), `server.properties`, `broker.log` of the
latest start, and `broker.json`, which says which process serves the folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import signal
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, admin

from lakehouse import jars
from lakehouse.errors import ConfigError, MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HOST = "127.0.0.1"
ANSWER_SECONDS = 60.0
# Kafka gives its own shutdown a few seconds; past this it hangs.
STOP_SECONDS = 30.0

INTERNAL_TOPICS = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
DEFAULTS = {
    # One node cannot replicate, and few partitions start fast.
    **{f"{topic}.replication.factor": "1" for topic in INTERNAL_TOPICS},
    **{f"{topic}.num.partitions": "4" for topic in INTERNAL_TOPICS},
    **{f"{topic}.min.isr": "1" for topic in INTERNAL_TOPICS[1:]},
    "group.initial.rebalance.delay.ms": "0",
    # Touching the default of 128 MB costs half a second of every start.
    "log.cleaner.dedupe.buffer.size": "8388608",
    "auto.create.topics.enable": "false",
    "num.partitions": "2",
    # Messages may carry timestamps of years ago; retention by time would drop them at once.
    "log.retention.ms": "-1",
}

REFUSED = re.compile(
    r"process\.roles|(node|broker)\.id|(metadata\.)?log\.dirs?|(advertised\.)?listeners"
    r"|listener\..+|controller\.(listener|quorum)\..+|(security\.)?inter\.broker\..+"
)

# Kafka prints its 400 settings at every start; they would bury what went wrong.
LOGGING = """\
appender.file.type = File
appender.file.name = FILE
appender.file.fileName = broker.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %m (%c)%n
logger.settings.name = org.apache.kafka.common.config
logger.settings.level = warn
rootLogger = info, FILE
"""


@dataclass(frozen=True)
class Broker:
    """A broker that runs; `began` tells its process from a later one of the same pid."""

    pid: int
    bootstrap: str
    port: int
    data: Path
    began: str


def start(data: Path, jars_folder: Path, *, port: int, settings: Mapping[str, str]) -> Broker:
    """Run a broker on *data* that has answered a client, and return it.

    Port 0 means any free port. *settings* are Kafka's own and stand over the defaults. The broker
    outlives this process and writes nothing to its terminal. If it does not come to answer, no
    process is left behind.

    Raises:
        ConfigError: BAD_OPTION for a setting that would open or split the broker, or move its data.
        MachineError: BROKER_RUNNING, BROKER_FAILED, JARS_UNSOUND or JAVA_MISSING.
    """
    for key in filter(REFUSED.fullmatch, settings):
        reason = "it keeps the broker on 127.0.0.1, a single node, and inside its data folder"
        raise ConfigError("BAD_OPTION", key=key, reason=reason)
    data = data.resolve()
    classpath = os.pathsep.join(map(str, jars.verify("broker", jars_folder.resolve())))
    java = [jars.java(), "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp", classpath]
    try:
        data.mkdir(parents=True, exist_ok=True)
        with (data / "broker.lock").open("w") as lock:
            # Two starts on one folder follow each other, so that the second sees the first.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if other := status(data):
                raise MachineError("BROKER_RUNNING", pid=other.pid, bootstrap=other.bootstrap)
            port = _write_settings(data, port, settings)
            return _launch(data, java, port)
    except OSError as error:
        raise _failed(data, re.sub(r"^\[Errno \d+\] ", "", str(error))) from error


def stop(data: Path) -> Broker | None:
    """Leave no broker running on *data*, and return the one that was, if any.

    The records stay. Only the process that `start` began is ever signalled: a pid that another
    process has come to bear is left alone.
    """
    if broker := status(data):
        _end(broker)
    (data / "broker.json").unlink(missing_ok=True)
    return broker


def status(data: Path) -> Broker | None:
    """Return the broker that runs on *data*, or None; nothing is changed."""
    try:
        state = json.loads((data / "broker.json").read_text())
        broker = Broker(**{**state, "data": data.resolve()})
    except (OSError, ValueError, TypeError):
        return None
    return broker if _alive(broker) else None


@contextmanager
def running(
    data: Path, jars_folder: Path, *, port: int = 0, settings: Mapping[str, str] | None = None
) -> Iterator[Broker]:
    """Give the block a broker on *data*, which is stopped however the block ends."""
    broker = start(data, jars_folder, port=port, settings=settings or {})
    try:
        yield broker
    finally:
        stop(data)


def _write_settings(data: Path, port: int, settings: Mapping[str, str]) -> int:
    """Write the files that Kafka reads, and return the port it will listen on."""
    (data / "broker.log").write_bytes(b"")
    with socket.create_server((HOST, port)) as ours, socket.create_server((HOST, 0)) as inner:
        # Both are held for a moment, so they are free and differ.
        port, controller = ours.getsockname()[1], inner.getsockname()[1]
    own = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        # Relative to the data folder, where the broker runs: a path may hold a comma or an accent.
        "log.dirs": "kafka",
    }
    # JSON escapes a string just as Java's property files want it.
    escaped = {k: json.dumps(v.strip())[1:-1] for k, v in {**DEFAULTS, **settings, **own}.items()}
    lines = [f"{key}={value}\n" for key, value in escaped.items()]
    (data / "server.properties").write_text("".join(lines), encoding="utf-8")
    (data / "logging.properties").write_text(LOGGING, encoding="utf-8")
    return port


def _launch(data: Path, java: list[str], port: int) -> Broker:
    if not (data / "kafka" / "meta.properties").exists():
        tool = ["-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format"]
        tool += [f"--cluster-id={secrets.token_urlsafe(16)}", "--config=server.properties"]
        if _spawn(data, [*java, *tool]).wait() != 0:
            raise _failed(data)
    logging = "-Dlog4j2.configurationFile=logging.properties"
    process = _spawn(data, [*java, "-Xmx512m", logging, "kafka.Kafka", "server.properties"])
    # It is meant to outlive this process; `_alive` lays it to rest where it does not.
    process.returncode = 0
    broker = Broker(process.pid, f"{HOST}:{port}", port, data, _seen(process.pid)[1])
    try:
        (data / "broker.json").write_text(json.dumps(asdict(broker), default=str))
        _await_answer(broker)
    except BaseException:
        _end(broker)
        raise
    return broker


def _spawn(data: Path, command: list[str]) -> Popen[bytes]:
    with (data / "broker.log").open("ab") as log:
        # S603: java with the locked jars and our own files, without a shell.
        return Popen(  # noqa: S603
            command, cwd=data, stdin=DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _await_answer(broker: Broker) -> None:
    meta = (broker.data / "kafka" / "meta.properties").read_text(encoding="ascii")
    quiet = {"log_level": 0, "reconnect.backoff.max.ms": 100}
    client = admin.AdminClient({"bootstrap.servers": broker.bootstrap, **quiet})
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        if not _alive(broker):
            raise _failed(broker.data)
        with suppress(KafkaException):
            answer = client.list_topics(timeout=0.5)
            # Whoever holds the port may be another broker, while ours is about to give up.
            if answer.brokers and f"cluster.id={answer.cluster_id}\n" in meta:
                return
    raise _failed(broker.data, f"it did not answer within {ANSWER_SECONDS:.0f} s")


def _failed(data: Path, reason: str = "") -> MachineError:
    log = data / "broker.log"
    if not reason:
        said = log.read_text(errors="replace").strip()
        thrown = re.findall(r"^\S.*(?:Exception|Error): (.+)", said, re.MULTILINE)
        reason = (thrown or said.splitlines() or ["it ended without a word"])[-1]
    return MachineError("BROKER_FAILED", reason=reason, log=log)


def _end(broker: Broker) -> None:
    for request in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_SECONDS
        if _alive(broker):
            os.kill(broker.pid, request)
        while _alive(broker) and time.monotonic() < deadline:
            time.sleep(0.05)


def _alive(broker: Broker) -> bool:
    """Whether that very process still runs; a child of ours that ended is laid to rest."""
    runs, began = _seen(broker.pid)
    if began == broker.began and not (runs and began):
        with suppress(ChildProcessError):
            os.waitpid(broker.pid, os.WNOHANG)
    return runs and began == broker.began


def _seen(pid: int) -> tuple[bool, str]:
    """Return whether a process of that pid runs, and when it began, as far as this is known."""
    try:
        if not Path("/proc/self/stat").exists():
            os.kill(pid, 0)
            return True, ""
        # The name of the process, in parentheses, may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return False, ""
    # A zombie (Z) with more than one thread has yet to end: it still holds its ports and files.
    return fields[0] != "Z" or int(fields[17]) > 1, fields[19]
