"""A real broker on a free port: it answers, keeps to itself, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # two lack an explicit export
    AdminClient,
    ConfigResource,
    NewTopic,
)

from lakehouse import broker
from lakehouse.config import load
from lakehouse.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
# 127.0.0.1 as the kernel prints it, for IPv4 sockets and for those of IPv6 that speak IPv4.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
# A value that must be escaped on its way into Kafka's settings file.
SETTINGS = {"num.partitions": "3", "sasl.kerberos.kinit.cmd": r"C:\münchen = x"}


def lakehouse(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would."""
    command = [sys.executable, "-m", "lakehouse", "--conf", str(ROOT / "conf"), *arguments]
    # S603: our own command line, without a shell.
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def jars_folder() -> Path:
    """The folder with the broker's jars."""
    return load(ROOT / "conf").jars.dir


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What `broker start` told about the broker that these tests share."""
    # A comma separates folders in Kafka's settings, and those are not UTF-8.
    data = str(tmp_path_factory.mktemp("broker") / "a, bé")
    options = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    try:
        done = lakehouse("broker", "start", "--port", "0", "--data", data, *options, "--json")
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        yield json.loads(done.stdout)
    finally:
        broker.stop(Path(data))


def create(bootstrap: str, topic: str) -> None:
    """Create a topic of one partition."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([NewTopic(topic, num_partitions=1)])[topic].result(timeout=30)


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    """Write one message."""
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def consume(bootstrap: str, topic: str) -> bytes | None:
    """Read the first message as a member of a group."""
    settings = {"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    try:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def listening(pid: int) -> set[str]:
    """The addresses, as the kernel prints them, on which the process accepts connections."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    rows = [
        row.split()
        for family in ("tcp", "tcp6")
        for row in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]
    ]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}


def test_the_broker_outlives_the_command_and_answers(started: dict[str, Any]) -> None:
    client = AdminClient({"bootstrap.servers": started["bootstrap"]})

    nodes = client.list_topics(timeout=10).brokers

    assert [f"{node.host}:{node.port}" for node in nodes.values()] == [started["bootstrap"]]
    assert started["bootstrap"] == f"127.0.0.1:{started['port']}"


def test_status_tells_what_start_told(started: dict[str, Any]) -> None:
    status = lakehouse("broker", "status", "--data", started["data"], "--json")

    assert status.returncode == 0
    assert json.loads(status.stdout) == started
    assert started["running"] is True


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are told by /proc only")
def test_the_broker_listens_on_the_loopback_address_only(started: dict[str, Any]) -> None:
    addresses = listening(started["pid"])

    assert addresses
    assert addresses <= LOOPBACK


def test_a_message_written_is_read_back(started: dict[str, Any]) -> None:
    create(started["bootstrap"], "matches")

    produce(started["bootstrap"], "matches", b"a message")

    assert consume(started["bootstrap"], "matches") == b"a message"


def test_a_transaction_is_committed(started: dict[str, Any]) -> None:
    create(started["bootstrap"], "committed")
    settings = {"bootstrap.servers": started["bootstrap"], "transactional.id": "committed"}
    # The coordinator's first answer may be that it is still loading, which the client logs.
    producer = Producer({**settings, "log_level": 0})

    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce("committed", b"once")
    producer.commit_transaction(30)

    assert consume(started["bootstrap"], "committed") == b"once"


def test_settings_reach_the_broker_as_given(started: dict[str, Any]) -> None:
    client = AdminClient({"bootstrap.servers": started["bootstrap"]})
    node = ConfigResource(ConfigResource.Type.BROKER, "1")

    settings = client.describe_configs([node])[node].result(timeout=30)

    assert {key: settings[key].value for key in SETTINGS} == SETTINGS
    assert settings["auto.create.topics.enable"].value == "false"


def test_a_second_start_names_the_running_broker(started: dict[str, Any]) -> None:
    again = lakehouse("broker", "start", "--port", "0", "--data", started["data"])

    assert again.returncode == 6
    assert f"pid {started['pid']} at {started['bootstrap']} [BROKER_RUNNING]" in again.stderr


def test_a_port_that_is_taken_is_named(
    started: dict[str, Any], tmp_path: Path, jars_folder: Path
) -> None:
    with pytest.raises(MachineError) as caught:
        broker.start(tmp_path, jars_folder, port=started["port"], settings={})

    assert caught.value.code == "BROKER_FAILED"
    assert "in use" in caught.value.message.why
    assert str(started["port"]) in caught.value.message.why


def test_a_setting_that_kafka_rejects_is_named(tmp_path: Path, jars_folder: Path) -> None:
    with pytest.raises(MachineError) as caught:
        broker.start(tmp_path, jars_folder, port=0, settings={"num.partitions": "many"})

    assert caught.value.code == "BROKER_FAILED"
    assert "num.partitions" in caught.value.message.why
    assert caught.value.params["log"] == tmp_path / "broker.log"
    assert broker.status(tmp_path) is None


def test_a_broker_that_dies_on_its_way_up_says_why(tmp_path: Path, jars_folder: Path) -> None:
    with broker.running(tmp_path, jars_folder):
        pass
    identity = tmp_path / "kafka" / "meta.properties"
    identity.write_text(identity.read_text().replace("node.id=1", "node.id=7"))

    with pytest.raises(MachineError) as caught:
        broker.start(tmp_path, jars_folder, port=0, settings={})

    assert caught.value.code == "BROKER_FAILED"
    assert "7" in caught.value.message.why
    assert broker.status(tmp_path) is None


def test_stopping_leaves_no_process_and_keeps_the_messages(
    tmp_path: Path, jars_folder: Path
) -> None:
    with broker.running(tmp_path, jars_folder) as first:
        create(first.bootstrap, "players")
        produce(first.bootstrap, "players", b"kept")

    with pytest.raises(ProcessLookupError):
        os.kill(first.pid, 0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", first.port), timeout=5)
    assert not (tmp_path / "broker.json").exists()
    with broker.running(tmp_path, jars_folder) as second:
        assert consume(second.bootstrap, "players") == b"kept"
