"""All contestants side by side in one run: `make bench`; `make bench-full` has more of each."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks import drains, expectations, latency, merges, messages, small_batches, starts
from benchmarks.place import ROOT, Place
from benchmarks.rounds import Report
from benchmarks.workers import Jvm, Worker, working
from lakehouse import broker, session
from lakehouse import config as settings

if TYPE_CHECKING:
    from collections.abc import Callable

RESULTS = ROOT / "benchmarks" / "results"
SCENARIOS = ("drain", "small", "merge", "expectations", "start", "latency")
JVMS = (
    Jvm("ours"),
    Jvm("stock", stock=True),
    # The product refuses to judge messages under ANSI, so what it runs on keeps what it requires.
    Jvm("required", stock=True, options=session.REQUIRED),
    Jvm(
        "snappy",
        options={
            "spark.sql.parquet.compression.codec": "snappy",
            "spark.hadoop.parquet.enable.dictionary#value": "true",
        },
    ),
    Jvm("plain", spark=False),
)


@click.command()
@click.option("--full", is_flag=True, help="More messages, larger tables, all rates.")
@click.option(
    "--only", multiple=True, type=click.Choice(SCENARIOS), help="Not the other scenarios."
)
@click.option("--repeats", type=click.IntRange(3), default=3, show_default=True)
def main(*, full: bool, only: tuple[str, ...], repeats: int) -> None:
    """Measure the product beside what a user would pick instead, and write benchmarks/results."""
    report, wanted = Report(repeats), only or SCENARIOS
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        jars = settings.load(ROOT / "conf").jars.dir
        own = stack.enter_context(
            broker.running(root / "kafka", jars, settings={"message.max.bytes": "20000000"})
        )
        place = Place(own.bootstrap, "drain", root / "lakes")
        if set(wanted) - {"start", "latency"}:
            with ExitStack() as jvms:
                workers = {
                    jvm.name: jvms.enter_context(working(jvm, root / "jvms")) for jvm in JVMS
                }
                _inside(place, workers, report, wanted=wanted, full=full)
        if "start" in wanted:
            messages.produce(own.bootstrap, "esports-matches", messages.Load(1_000))
            own_topic = place.on("esports-matches")
            _timed("start", lambda: starts.measure(own_topic, report))
        if "latency" in wanted:
            rates = (1_000, 5_000, 20_000) if full else (5_000,)
            seconds = 60 if full else 20
            _timed("latency", lambda: latency.measure(place, report, rates=rates, seconds=seconds))
    write(report, full=full)


def _inside(
    place: Place,
    workers: dict[str, Worker],
    report: Report,
    *,
    wanted: tuple[str, ...],
    full: bool,
) -> None:
    if "drain" in wanted:
        load = messages.Load(1_000_000)
        messages.produce(place.bootstrap, place.topic, load)
        _timed("drain", lambda: drains.measure(place, load, workers, report))
    if "small" in wanted:
        messages.produce(place.bootstrap, "small", messages.Load(9_000))
        few = Place(place.bootstrap, "small", place.root, rows=1_000)
        _timed("small", lambda: small_batches.measure(few, workers, report))
    if "merge" in wanted:
        rows = 10_000_000
        table = place.root / "merge" / "lake"
        _timed("fill", lambda: workers["ours"].run(merges.fill, table, rows))
        for keys in merges.KEYS if full else merges.KEYS[:1]:
            measure = partial(merges.measure, table, workers, report, rows=rows, keys=keys)
            _timed(f"merge {keys}", measure)
    if "expectations" in wanted:
        _timed("expectations", lambda: expectations.measure(workers["ours"], report))


def _timed(name: str, measure: Callable[[], object]) -> None:
    began = time.monotonic()
    measure()
    click.echo(f"{name}: {time.monotonic() - began:.0f} s", err=True)


def write(report: Report, *, full: bool) -> None:
    """Write what was found as JSON for programs and as a table for people."""
    machine = {
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "full": full,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    ratios = {name: asdict(one) for name, one in sorted(report.ratios.items())}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": machine, "ratios": ratios}, indent=2)
    (RESULTS / "latest.json").write_text(text + "\n")
    lines = []
    for scenario, series in report.series.items():
        lines += [f"### {scenario}", "", "| contestant | median | least | most | unit | rounds |"]
        lines.append("|---|---|---|---|---|---|")
        for one in series:
            least, most = min(one.figures), max(one.figures)
            figures = f"{one.median:.3g} | {least:.3g} | {most:.3g}"
            lines.append(f"| {one.name} | {figures} | {one.unit} | {len(one.figures)} |")
        lines.append("")
    (RESULTS / "latest.md").write_text("\n".join(lines))
    click.echo("\n".join(lines))
    click.echo(text)


if __name__ == "__main__":
    main()
