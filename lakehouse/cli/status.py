"""`lakehouse status`."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from lakehouse.reading.status import Status, Stream, Verdict

# As often as a batch can end and be told of.
WATCH_SECONDS = 2.0
HEADS = ("stream", "state", "batch", "rows/s", "lag", "version", "committed", "refused", "restarts")
# More partitions would leave no room for the rest of the line.
PARTITIONS = 6


@click.command()
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@json_option
@click.pass_context
def status(ctx: click.Context, *, watch: bool, as_json: bool) -> None:
    """Show how each stream is doing, what is in quarantine, and the last verdicts. No Spark.

    A stream is starting, waiting for broker, waiting for bronze, running, idle, failing, tripped
    or stopped, as it said itself; dead where its process ended without a word; or not started.
    Lag is in records, by partition where the stream knows it.

    Example: `lakehouse status --watch`

    JSON: `{at, streams: [{stream, state, pid, host, since, batch_id, rows_per_second, lag,
    lag_by_partition, version, committed_at, share, restarts, error, hint, silent, alarms,
    metrics}], quarantined: {TABLE: messages}, verdicts: [{table, version, of, rule, severity,
    success, observed}], unreadable: {TABLE: why}}`, one line each time with --watch. `share` is
    that of the messages refused lately, `quarantined` counts what is neither released nor
    discarded, `of` is rows or table.
    """
    from lakehouse.config import load
    from lakehouse.reading import tables
    from lakehouse.reading.status import status as look

    config = load(ctx.obj["conf"], ctx.obj["env"])
    known = tables.catalog(config)
    while True:
        found = look(known, config.state_dir)
        text = "\n".join(_lines(found))
        if watch and not as_json:
            click.clear()  # of a terminal only
        show(_facts(found), text, as_json=as_json)
        if not watch:
            return
        try:
            time.sleep(WATCH_SECONDS)  # what it shows are files of other processes
        except KeyboardInterrupt:
            return


def _facts(found: Status) -> dict[str, Any]:
    from lakehouse.reading.versions import stamp

    streams = [
        {**vars(one), "committed_at": one.committed_at and stamp(one.committed_at)}
        for one in found.streams
    ]
    return {
        "at": stamp(found.at),
        "streams": streams,
        "quarantined": found.quarantined,
        "verdicts": [vars(one) for one in found.verdicts],
        "unreadable": found.unreadable,
    }


def _lines(found: Status) -> Iterator[str]:
    from lakehouse.cli.rows import table
    from lakehouse.log import escaped

    cells = [[escaped(cell) for cell in _cells(one, found.at)] for one in found.streams]
    head, rule, *lines = table(HEADS, cells).split("\n")
    yield from (head, rule)
    for one, line in zip(found.streams, lines, strict=True):
        yield line
        yield from (escaped(f"    {said}") for said in _troubles(one))
    yield ""
    for name, rows in found.quarantined.items():
        yield f"{name}: {rows} messages, neither released nor discarded"
    yield from (escaped(f"{name}: {why}") for name, why in found.unreadable.items())
    by_check: dict[tuple[str, int, str], list[Verdict]] = defaultdict(list)
    for verdict in found.verdicts:
        by_check[verdict.table, verdict.version, verdict.of].append(verdict)
    for (name, version, of), verdicts in by_check.items():
        met = sum(one.success is True for one in verdicts)
        yield f"{name} version {version}, expectations of {of}: {met} of {len(verdicts)} met"
        yield from (escaped(f"    {_said(one)}") for one in verdicts if one.success is not True)


def _cells(one: Stream, now: datetime) -> tuple[str, ...]:
    rate = "" if one.rows_per_second is None else f"{one.rows_per_second:.0f}"
    return (
        one.stream,
        one.state,
        "" if one.batch_id is None else str(one.batch_id),
        rate,
        _lag(one),
        "" if one.version is None else str(one.version),
        "" if one.committed_at is None else f"{_age((now - one.committed_at).total_seconds())} ago",
        "" if one.share is None else f"{100 * one.share:.1f} %",
        str(one.restarts),
    )


def _lag(one: Stream) -> str:
    if one.lag is None:
        return "unknown"
    parts = {name: n for name, n in one.lag_by_partition.items() if name != "all"}
    told = " ".join(f"{name}:{n}" for name, n in list(parts.items())[:PARTITIONS])
    more = f" +{len(parts) - PARTITIONS}" if len(parts) > PARTITIONS else ""
    return f"{one.lag} ({told}{more})" if parts and one.lag else str(one.lag)


def _troubles(one: Stream) -> Iterator[str]:
    if one.error:
        yield f"error: {one.error}"
    if one.hint:
        yield f"do: {one.hint}"
    if one.silent:
        yield f"silent: process {one.pid} on {one.host} has told nothing for {_age(one.silent)}"
    for name, since in one.alarms.items():
        yield f"alarm: {name} since {since}"


def _said(one: Verdict) -> str:
    said = "ERROR" if one.success is None else "FAILED"
    return f"{one.severity:<8} {said:<6} {one.rule}: {one.observed}"


def _age(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
