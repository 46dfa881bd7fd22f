"""The product as its users run it: the command line, in processes of its own, on a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from deltalake import DeltaTable

from lakehouse.run import Run
from tests.conftest import CONF, ROOT, SHORT_LIVED, settings_for
from tests.messages import as_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from lakehouse.tables import Lake
    from tests.messages import Value

LAKEHOUSE = [sys.executable, "-m", "lakehouse"]


def eventually(check: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """Return what *check* gives once it is true, or fail saying *what* was awaited in vain."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.02)
    return found


@dataclass
class Kafka:
    """A broker, and what tests do to it."""

    bootstrap: str

    def create(self, topic: str, partitions: int = 1, **settings: str) -> str:
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        new = NewTopic(topic, partitions, 1, config=settings)
        for created in admin.create_topics([new]).values():
            created.result()
        return topic

    def producer(self, **options: Any) -> Producer:
        limits = {"message.max.bytes": 20_000_000, "queue.buffering.max.kbytes": 200_000}
        return Producer({"bootstrap.servers": self.bootstrap, **limits, **options})

    def send(self, topic: str, values: Iterable[Value], *, partition: int = 0, **more: Any) -> None:
        producer = self.producer()
        failed: list[Any] = []
        for value in values:
            producer.produce(
                topic,
                as_bytes(value),
                partition=partition,
                on_delivery=lambda error, _: failed.append(error) if error else None,
                **more,
            )
            producer.poll(0)
        assert producer.flush(60) == 0
        assert not failed


@dataclass
class Lakehouse:
    """The product over one lake and one configuration, by its command line."""

    root: Path
    bootstrap: str
    conf: Path = CONF
    settings: dict[str, str] = field(default_factory=dict)
    running: list[Running] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        own = {
            "LAKEHOUSE__LAKE__ROOT": str(self.root),
            "LAKEHOUSE__KAFKA__BOOTSTRAP": self.bootstrap,
            "LAKEHOUSE__SPARK__MASTER": "local[2]",
            "LAKEHOUSE__STREAMS__TRIGGER": "500 ms",
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **SHORT_LIVED, **own, **self.settings}

    def call(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*LAKEHOUSE, "--conf", str(self.conf), *arguments],
            env={**self.environment(), **settings},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def once(self, *arguments: str) -> str:
        """Run `start ... --once` to its end, which must be a good one, and return its log."""
        done = self.call("start", *arguments, "--once")
        assert done.returncode == 0, done.stderr
        return done.stderr

    def start(self, *arguments: str, **settings: str) -> Running:
        """Start streams in a process group of their own."""
        return self.begin("start", *arguments, **settings)

    def begin(self, *arguments: str, **settings: str) -> Running:
        """Run a command in a process group of its own, and go on."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        log = self.root.parent / f"{self.root.name}.{len(self.running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*LAKEHOUSE, "--conf", str(self.conf), *arguments],
                env={**self.environment(), **settings},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        started = Running(process, log)
        self.running.append(started)
        return started

    def table(self, layer: str, name: str = "matches") -> DeltaTable:
        return DeltaTable(str(self.root / layer / name))

    def rows(self, layer: str, name: str = "matches") -> list[dict[str, Any]]:
        """Return the rows of a table by position, or none while there is no table."""
        if not (self.log_of(layer, name) / f"{0:020d}.json").exists():
            return []
        found: list[dict[str, Any]] = self.table(layer, name).to_pyarrow_table().to_pylist()
        prefix = "_" if layer == "silver" else ""
        return sorted(found, key=lambda r: (r[f"{prefix}partition"], r[f"{prefix}offset"]))

    def log_of(self, layer: str, name: str = "matches") -> Path:
        return self.root / layer / name / "_delta_log"

    def checkpoint(self, layer: str, name: str = "matches") -> Path:
        return self.root / "_checkpoints" / f"{layer}.{name}"

    def lake(self) -> Lake:
        """Return the lake, for those who look into it with a session of their own."""
        return Run(settings_for(self.root)).lake

    def status(self, stream: str) -> dict[str, Any]:
        path = self.root / "_state" / stream / "status.json"
        if not path.exists():
            return {}
        status: dict[str, Any] = json.loads(path.read_text())
        return status


@dataclass
class Running:
    """A running `lakehouse start`: the Python process and its JVM are one process group."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self, text: str) -> bool:
        return text in self.log.read_text()

    def until(self, text: str, seconds: float = 90.0) -> None:
        """Wait until the log says *text*."""

        def look() -> bool:
            assert self.process.poll() is None or self.said(text), self.log.read_text()
            return self.said(text)

        eventually(look, f"the log says {text!r}", seconds)

    def members(self) -> list[psutil.Process]:
        """Return the processes of the group that still run."""
        found = []
        for one in psutil.process_iter():
            try:
                if os.getpgid(one.pid) == self.process.pid and one.status() != "zombie":
                    found.append(one)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found

    def jvm(self) -> psutil.Process:
        return next(one for one in self.members() if one.name() == "java")

    def kill(self) -> None:
        """Kill the whole group at once, the JVM included, and wait until it is gone."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        eventually(lambda: not self.members(), "the group is gone", 20)

    def stop(self, number: int = signal.SIGTERM, *, group: bool = False) -> int:
        """Ask the process, or its whole group, to stop, and return the exit code."""
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.process.wait(120)
