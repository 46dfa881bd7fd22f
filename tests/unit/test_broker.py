"""What the broker refuses, and how it knows its own process; no broker is started."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from lakehouse import broker
from lakehouse.cli.broker import broker as command
from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Stands for the broker's process: waits until it is told to end, or its test is over.
WAITING = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until its test is over."""
    # S603: a fixed command, without a shell.
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def record(data: Path, pid: int, began: str) -> None:
    """Write the state file as a start of the broker leaves it."""
    state = {"pid": pid, "bootstrap": "127.0.0.1:9", "port": 9, "data": str(data), "began": began}
    (data / "broker.json").write_text(json.dumps(state), encoding="utf-8")


def began(process: subprocess.Popen[bytes]) -> str:
    """When the process began, in the words of the state file."""
    return broker._seen(process.pid)[1]


@pytest.mark.parametrize(
    "key",
    [
        "listeners",
        "advertised.listeners",
        "controller.listener.names",
        "controller.quorum.voters",
        "listener.security.protocol.map",
        "inter.broker.listener.name",
        "process.roles",
        "node.id",
        "broker.id",
        "log.dir",
        "log.dirs",
        "metadata.log.dir",
    ],
)
def test_a_setting_that_opens_splits_or_moves_the_broker_is_refused(
    key: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        broker.start(
            tmp_path / "data", tmp_path, port=0, settings={"num.partitions": "3", key: "x"}
        )

    assert caught.value.code == "BAD_OPTION"
    assert caught.value.params["key"] == key
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("key", ["log.retention.ms", "num.partitions", "message.max.bytes"])
def test_any_other_setting_is_not_refused(key: str) -> None:
    assert broker.REFUSED.fullmatch(key) is None


def test_a_folder_that_no_broker_ever_served_has_none(tmp_path: Path) -> None:
    assert broker.status(tmp_path / "absent") is None
    assert broker.stop(tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()


def test_the_state_file_tells_which_process_serves_the_folder(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    record(tmp_path, process.pid, began(process))

    found = broker.status(tmp_path)

    assert found == broker.Broker(process.pid, "127.0.0.1:9", 9, tmp_path, began(process))


def test_a_reused_pid_is_not_mistaken_for_the_broker(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    record(tmp_path, process.pid, "1")

    assert broker.status(tmp_path) is None


def test_stop_leaves_a_process_alone_that_only_bears_the_pid(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    record(tmp_path, process.pid, "1")

    assert broker.stop(tmp_path) is None
    assert process.poll() is None
    assert not (tmp_path / "broker.json").exists()


def test_stop_ends_the_process_and_forgets_it(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    record(tmp_path, process.pid, began(process))

    stopped = broker.stop(tmp_path)

    assert stopped is not None
    assert process.poll() is not None
    assert not (tmp_path / "broker.json").exists()
    assert broker.stop(tmp_path) is None


def test_a_process_that_ended_is_no_broker(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    record(tmp_path, process.pid, began(process))
    process.kill()
    process.wait()

    assert broker.status(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": 1, "surprise": 2}'])
def test_a_damaged_state_file_means_no_broker(tmp_path: Path, content: str) -> None:
    (tmp_path / "broker.json").write_text(content, encoding="utf-8")

    assert broker.status(tmp_path) is None


def test_status_of_no_broker_has_every_key_and_exit_code_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["status", "--data", str(tmp_path), "--json"])

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "running": False,
        "bootstrap": None,
        "pid": None,
        "port": None,
        "data": str(tmp_path.resolve()),
    }


@pytest.mark.parametrize("pair", ["num.partitions", "=3", ""])
def test_a_setting_without_key_or_value_is_a_usage_error(tmp_path: Path, pair: str) -> None:
    result = CliRunner().invoke(command, ["start", "--data", str(tmp_path), "--set", pair])

    assert result.exit_code == 2
    assert "KEY=VALUE" in result.stderr
