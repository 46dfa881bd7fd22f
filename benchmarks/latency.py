"""From Kafka's timestamp to the row readable in silver, at a steady rate."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from statistics import quantiles
from typing import TYPE_CHECKING, Any

import duckdb
from confluent_kafka import Producer
from deltalake import DeltaTable

from benchmarks.messages import PARTITIONS, Load, values
from benchmarks.place import ROOT
from benchmarks.rounds import Report, Series

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.place import Place

# What is produced before, and taken to its end, so that the JVM of the streams has compiled.
WARM_SECONDS = 30
PATIENCE = 120
TICK = 0.02


def produce_steadily(place: Place, load: Load, rate: int) -> None:
    """Send *load* at *rate* messages a second; Kafka's timestamp is when each was handed over."""
    producer = Producer({"bootstrap.servers": place.bootstrap, "acks": "1", "linger.ms": 5})
    began = time.perf_counter()
    for number, value in enumerate(values(load)):
        producer.produce(place.topic, value, partition=number % PARTITIONS)
        if number % max(1, int(rate * TICK)) == 0:
            producer.poll(0)
            time.sleep(max(0.0, began + number / rate - time.perf_counter()))
    producer.flush(60)


def watch(log: Path, seen: dict[int, float], ended: threading.Event) -> None:
    """Note when each version of a table could first be read, until *ended*."""
    while not ended.is_set():
        version = max(seen, default=-1) + 1
        if (log / f"{version:020d}.json").exists():
            seen[version] = time.time()
        else:
            time.sleep(0.005)


def latencies(place: Place, rate: int, seconds: int, trigger: str) -> list[float]:
    """Return the seconds from message to readable row, for each row of silver after the warm-up.

    A row that a newer one of its key has replaced by then is not there to be counted.
    """
    conf = place.root / "conf"
    shutil.copytree(ROOT / "conf", conf)
    file = conf / "entities" / "matches" / "entity.toml"
    file.write_text(file.read_text().replace('"esports-matches"', json.dumps(place.topic)))
    own = {
        "LAKEHOUSE__LAKE__ROOT": str(place.root / "lake"),
        "LAKEHOUSE__KAFKA__BOOTSTRAP": place.bootstrap,
        "LAKEHOUSE__STREAMS__TRIGGER": trigger,
    }
    command = [sys.executable, "-m", "lakehouse", "--conf", str(conf), "start", "all"]
    log = place.root / "lake" / "silver" / "matches" / "_delta_log"
    seen: dict[int, float] = {}
    ended = threading.Event()
    watcher = threading.Thread(target=watch, args=(log, seen, ended))
    with (place.root / "log").open("wb") as out:
        process = subprocess.Popen(
            [*command, "--entity", "matches"],
            cwd=ROOT,
            env={**os.environ, **own},
            stdout=out,
            stderr=out,
        )
    try:
        watcher.start()
        status = place.root / "lake" / "_state" / "silver.matches" / "status.json"
        _await(status, lambda said: said.get("state") in {"running", "idle"})
        warm = Load(rate * WARM_SECONDS)
        produce_steadily(place, warm, rate)
        _await(status, lambda said: said["rows"] >= warm.count)
        began = time.time()
        load = Load(rate * seconds, start=warm.count)
        produce_steadily(place, load, rate)
        _await(status, lambda said: said["rows"] >= warm.count + load.count)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)
        ended.set()
        watcher.join()
    return _measured(log.parent, seen, began)


def _await(status: Path, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until the status file says what *holds* asks for, or fail after two minutes."""
    deadline = time.monotonic() + PATIENCE
    while not holds(json.loads(status.read_text()) if status.exists() else {}):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{status} does not come to what is waited for")
        time.sleep(TICK)  # the file of another process: nothing wakes its reader


def _measured(table: Path, seen: dict[int, float], began: float) -> list[float]:
    batches = {}
    for version, at in seen.items():
        text = (table / "_delta_log" / f"{version:020d}.json").read_text()
        for line in text.split("\n")[:-1]:
            said = json.loads(line).get("commitInfo", {}).get("userMetadata")
            if said and "batch_id" in (record := json.loads(said)):
                batches[record["batch_id"]] = at
    found = DeltaTable(str(table)).to_pyarrow_table(columns=["_batch_id", "_timestamp"])
    with duckdb.connect() as db:
        db.register("found", found)
        sent = db.execute("SELECT _batch_id, epoch_ms(_timestamp) / 1000.0 FROM found").fetchall()
    return [batches[batch] - at for batch, at in sent if at >= began and batch in batches]


def measure(
    place: Place, report: Report, *, rates: tuple[int, ...], seconds: int, trigger: str = "500 ms"
) -> None:
    """Run the pipeline at each of the *rates*, one after the other, and report percentiles."""
    from benchmarks.messages import make
    from benchmarks.rounds import Ratio

    for rate in rates:
        own = place.at(f"latency.{rate}").on(f"latency-{rate}")
        own.root.mkdir(parents=True)
        make(own.bootstrap, own.topic)
        found = latencies(own, rate, seconds, trigger)
        cuts = quantiles(found, n=100)
        for name, value in (("p50", cuts[49]), ("p95", cuts[94]), ("p99", cuts[98])):
            report.add(
                f"latency at {rate} rows/s, trigger {trigger}, {len(found)} rows",
                Series(name, (value,)),
            )
        if rate == 5_000:
            value = round(cuts[94], 3)
            report.ratios["latency_p95_s_5k"] = Ratio(value, min(found), max(found), 1)
