"""All contestants side by side in one run: `make bench`; `make bench-full` has more of each."""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks import (
    ablations,
    drains,
    expectations,
    generator,
    landings,
    latency,
    memory,
    merges,
    messages,
    plots,
    reading,
    several,
    sizes,
    small_batches,
    starts,
)
from benchmarks.place import ROOT, Place
from benchmarks.rounds import Report, Series
from benchmarks.workers import Jvm, Worker, working
from lakehouse import broker
from lakehouse import config as settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RESULTS = ROOT / "benchmarks" / "results"
SCENARIOS = (
    "generator",
    "landing",
    "small",
    "drain",
    "merge",
    "expectations",
    "start",
    "latency",
)
FULL = ("reading", "sizes", "several", "memory", "ablations")
# A driver of its own, or none: the others share those of JVMS.
ALONE = {"generator", "start", "latency", "reading", "memory", "ablations"}
JVMS = (
    Jvm("ours"),
    Jvm("stock", stock=True),
    Jvm("snappy", options={"spark.sql.parquet.compression.codec": "snappy"}),
    Jvm("plain", spark=False),
)


@click.command()
@click.option("--full", is_flag=True, help="More messages, larger tables, all rates and sizes.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice((*SCENARIOS, *FULL)),
    help="Not the other scenarios, and results are shown but not kept.",
)
@click.option("--repeats", type=click.IntRange(3), default=3, show_default=True)
def main(*, full: bool, only: tuple[str, ...], repeats: int) -> None:
    """Measure the product beside what a user would pick instead, and write benchmarks/results."""
    report = Report(repeats)
    wanted = only or (SCENARIOS + FULL if full else SCENARIOS)
    try:
        _measure(report, wanted, full=full)
    finally:  # what was measured is not lost to the scenario that fails
        document, text = told(report, full=full)
        click.echo(text)
        click.echo(json.dumps(document, indent=2))
    if not only:
        keep(report, document, text)


def _measure(report: Report, wanted: tuple[str, ...], *, full: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        root = Path(folder)
        jars = settings.load(ROOT / "conf").jars.dir
        own = stack.enter_context(
            broker.running(root / "kafka", jars, settings={"message.max.bytes": "20000000"})
        )
        place = Place(own.bootstrap, "drain", root / "lakes")
        if "generator" in wanted:
            _timed("generator", lambda: generator.measure(report))
        if set(wanted) - ALONE:
            with _working(JVMS, root) as workers:
                _shared(place, workers, report, wanted=wanted, full=full)
                _peaks(workers, report)
        if "start" in wanted:
            messages.produce(own.bootstrap, "esports-matches", messages.Load(1_000))
            own_topic = place.on("esports-matches")
            _timed("start", lambda: starts.measure(own_topic, report))
        if "latency" in wanted:
            rates = (1_000, 5_000, 20_000) if full else (5_000,)
            seconds = 60 if full else 20
            _timed("latency", lambda: latency.measure(place, report, rates=rates, seconds=seconds))
        if "reading" in wanted:
            _timed("reading", lambda: reading.measure(root / "large", report))
        _alone(place, root, report, wanted=wanted)


@contextmanager
def _working(jvms: Iterable[Jvm], root: Path) -> Iterator[dict[str, Worker]]:
    with ExitStack() as stack:
        yield {jvm.name: stack.enter_context(working(jvm, root / "jvms")) for jvm in jvms}


def _shared(
    place: Place,
    workers: dict[str, Worker],
    report: Report,
    *,
    wanted: tuple[str, ...],
    full: bool,
) -> None:
    """Run what is measured in the JVMs that contestants share."""
    if "landing" in wanted:
        load = messages.Load(1_000_000 if full else 500_000)
        own = place.on("landing")
        messages.produce(own.bootstrap, own.topic, load)
        _timed("landing", lambda: landings.measure(own, load, workers, report, full=full))
    if "small" in wanted:
        few, commits = replace(place, rows=1_000), (20, 500, 2_000) if full else (20, 500)
        _timed("small", lambda: small_batches.measure(few, workers, report, commits))
    if "drain" in wanted:
        load = messages.Load(1_000_000 if full else 100_000)
        messages.produce(place.bootstrap, place.topic, load)
        _timed("drain", lambda: drains.measure(place, load, workers, report, full=full))
    if "merge" in wanted:
        rows, fewer = 10_000_000, 1_000_000
        table, smaller = place.root / "merge" / "lake", place.root / "merge" / "smaller"
        _timed("fill", lambda: workers["ours"].run(merges.fill, table, rows))
        for keys in merges.KEYS if full else merges.KEYS[:1]:
            kind = keys, rows
            measure = partial(merges.measure, table, workers, report, kind, full=full)
            _timed(f"merge {keys}", measure)
        if full:
            ours = workers["ours"]
            _timed("small merges", lambda: merges.measure_few(table, ours, report, rows))
            ours.run(merges.fill, smaller, fewer)
            _timed("small table", lambda: merges.measure_few(smaller, ours, report, fewer))
    if "expectations" in wanted:
        judge = partial(expectations.measure, workers["ours"], report, full=full)
        _timed("expectations", judge)
    if "sizes" in wanted:
        _timed("sizes", lambda: sizes.measure(place, workers["ours"], report))
    if "several" in wanted:
        few = replace(place, rows=1_000)
        _timed("several", lambda: several.measure(few, workers["ours"], report))


def _alone(place: Place, root: Path, report: Report, *, wanted: tuple[str, ...]) -> None:
    """Run what needs JVMs of its own."""
    if "memory" in wanted:
        load = messages.Load(1_000_000)
        backlog = place.on("backlog")
        messages.produce(place.bootstrap, backlog.topic, load)
        with working(memory.JVM, root / "jvms") as worker:
            _timed("memory", lambda: memory.measure(backlog, load, worker, report))
    if "ablations" in wanted:
        large, few = replace(place.on("many"), rows=100_000), replace(place, rows=1_000)
        # Four batches: what is compiled in the first is only fast in the third.
        messages.produce(place.bootstrap, large.topic, messages.Load(400_000))
        if "start" not in wanted:  # which has this topic filled
            messages.produce(place.bootstrap, "esports-matches", messages.Load(1_000))
        with _working(ablations.JVMS, root) as workers:
            _timed("ablations", lambda: ablations.measure(large, few, workers, report))


def _peaks(workers: dict[str, Worker], report: Report) -> None:
    found = {name: worker.peak_mib() for name, worker in workers.items()}
    peaks = (Series(name, (value,), "MiB") for name, value in found.items())
    report.add("the most memory each process and its JVM had, over all scenarios", *peaks)


def _timed(name: str, measure: Callable[[], object]) -> None:
    began = time.monotonic()
    measure()
    click.echo(f"{name}: {time.monotonic() - began:.0f} s", err=True)


def told(report: Report, *, full: bool) -> tuple[dict[str, Any], str]:
    """Return what was found, for programs and, as tables in Markdown, for people."""
    machine = {
        "cpus": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "full": full,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    ratios = {name: asdict(one) for name, one in sorted(report.ratios.items())}
    lines = []
    for scenario, series in report.series.items():
        lines += [f"### {scenario}", "", "| contestant | median | least | most | unit | rounds |"]
        lines.append("|---|---|---|---|---|---|")
        for one in series:
            least, most = min(one.figures), max(one.figures)
            figures = f"{one.median:.3g} | {least:.3g} | {most:.3g}"
            lines.append(f"| {one.name} | {figures} | {one.unit} | {len(one.figures)} |")
        lines.append("")
    return {"machine": machine, "ratios": ratios}, "\n".join(lines)


def keep(report: Report, document: dict[str, Any], text: str) -> None:
    """Have benchmarks/results hold what was found, with pictures of it."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(document, indent=2) + "\n")
    (RESULTS / "latest.md").write_text(text)
    plots.ratios(document["ratios"], RESULTS / "ratios.svg")
    plots.scenarios(report.series, RESULTS / "scenarios.svg")


if __name__ == "__main__":
    main()
