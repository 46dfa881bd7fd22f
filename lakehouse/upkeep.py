"""What the owner of a stream does for its tables between batches."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakehouse import compaction, log
from lakehouse.alarms import Alarm
from lakehouse.audit import trail, validation
from lakehouse.reading.decisions import table_of
from lakehouse.vacuum import vacuum

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from pyspark.sql import SparkSession

    from lakehouse.audit.validation import Validation
    from lakehouse.entities import Entity
    from lakehouse.owner import Request
    from lakehouse.run import Run
    from lakehouse.tables import Table
    from lakehouse.turns import Turn


@dataclass
class Upkeep:
    """The upkeep of the tables that one stream writes.

    Every `trail.FOLD_AFTER` batches, and every hour, their commits are folded into the audit trail.
    Every `compaction.COMPACT_AFTER` batches their small files are put together, in the stream's
    turn, so that no batch is at work meanwhile; and at the end of a run that ends by itself, where
    there are as many, for none of many short runs may have had so many batches.
    Every `upkeep.vacuum_hours` the files that no readable version needs are deleted.
    The silver table's own expectations are checked as [validation] says, in a thread of their own,
    since they take seconds; what fails at severity critical is an alarm until it holds again.
    """

    spark: SparkSession
    run: Run
    entity: Entity
    written: Sequence[Table]
    folded: int = 0
    folded_at: float = field(default_factory=time.monotonic)
    checked: int = 0
    checked_at: float = field(default_factory=time.monotonic)
    compacted: int = 0
    vacuumed_at: float = field(default_factory=time.monotonic)
    running: Future[None] | None = None

    def close(self) -> None:
        """Wait for the check in hand: it reads through the session that is about to end."""
        if self.running is not None:
            self.running.cancel()
            wait([self.running])

    def asked(self, request: Request) -> dict[str, Any]:
        """Do what *request* asks for, optimize or vacuum, to each table that it names.

        Returns for each what was done.

        Raises:
            TableError: VACUUM_REFUSED.
        """
        do = {"optimize": self.optimize, "vacuum": self.vacuum}[request.verb]
        wanted = request.args["tables"]
        return {"tables": {one.name: do(one) for one in self.tables() if one.name in wanted}}

    def tables(self) -> list[Table]:
        """Return the tables that the owner of this stream writes and that are there."""
        lake, names = self.run.lake, [table.name for table in self.written]
        beside = [lake.trail(name) for name in names]
        if names[0].startswith("silver."):
            beside.append(lake.table("quarantine", table_of(self.entity.name)))
            beside.append(validation.validations(lake, names[0]))
        return [table for table in (*self.written, *beside) if table.exists(self.spark)]

    def optimize(self, table: Table) -> dict[str, Any]:
        """Put the small files of *table* together."""
        files = compaction.compact(self.spark, table, self.run.id)
        if files:
            log.get(table.name).info("Small files put together", files=files)
        return {"files": files, "version": table.version(self.spark)}

    def vacuum(self, table: Table) -> dict[str, Any]:
        """Delete the files of *table* that no readable version needs, once its trail is folded."""
        if table in self.written:
            trail.fold(self.spark, table, self.run.lake)
        done = vacuum(self.spark, table, self.run.lake, self.run.id)
        if done["files"]:
            told = {"files": done["files"], "oldest_readable": done["remaining"]}
            log.get(table.name).info("Old files deleted", **told)
        return done

    def after(self, batches: int, turn: Turn, *, ended: bool = False) -> None:
        """Do what is due after so many batches of this process, the stream's *turn* being whose.

        With *ended* there is no batch to come.
        """
        hour_ago = time.monotonic() - trail.FOLD_EVERY.total_seconds()
        if batches >= self.folded + trail.FOLD_AFTER or (batches and self.folded_at < hour_ago):
            for table in self.written:
                trail.fold(self.spark, table, self.run.lake)
            self.folded, self.folded_at = batches, time.monotonic()
        if ended or batches >= self.compacted + compaction.COMPACT_AFTER:
            self.compacted = batches
            with turn.lock:
                self._compact(only_due=ended)
        hours = self.run.config.upkeep.vacuum_hours
        if hours and time.monotonic() >= self.vacuumed_at + 3600 * hours:
            self.vacuumed_at = time.monotonic()
            with turn.lock:
                self._vacuum()
        if self._is_due(batches):
            self.checked, self.checked_at = batches, time.monotonic()
            pool = ThreadPoolExecutor(1, "validation")
            self.running = pool.submit(self._check)
            pool.shutdown(wait=False)  # the thread ends with its check

    def _is_due(self, batches: int) -> bool:
        """Say whether it is time to check; by the clock also when nothing came: it may be stale."""
        settings, new = self.run.config.validation, batches - self.checked
        if not self.written[0].name.startswith("silver.") or self.entity.suite is None:
            return False
        if self.running is not None and not self.running.done():
            return False
        by_batches = bool(settings.every_batches) and new >= settings.every_batches
        seconds = time.monotonic() - self.checked_at
        return by_batches or 0 < settings.every_minutes * 60 <= seconds

    def _compact(self, *, only_due: bool) -> None:
        for table in self.written:
            try:
                if only_due and not compaction.is_due(self.spark, table):
                    continue
                self.optimize(table)
            except Exception:  # noqa: BLE001 - slower reading is no reason to end a stream
                log.get(table.name).exception("Small files could not be put together")

    def _vacuum(self) -> None:
        for table in self.tables():
            try:
                self.vacuum(table)
            except Exception:  # noqa: BLE001 - files that stay are no reason to end a stream
                log.get(table.name).exception("Old files could not be deleted")

    def _check(self) -> None:
        table = self.written[0]
        try:
            version = table.version(self.spark)
            found = validation.validate(self.spark, self.entity, table, version)
            if found.findings:
                validation.keep(self.spark, found, self.run.lake)
                self._tell(found)
        except Exception:  # noqa: BLE001 - a check that breaks must not end the stream that it checks
            log.get(table.name).exception("The table's expectations could not be checked")

    def _tell(self, found: Validation) -> None:
        for one in found.findings:
            text = f"{found.table} version {found.version}: {one.rule}: {one.meaning}"
            if one.severity == "critical" and one.success is not None:
                tell = self.run.alarms.ended if one.success else self.run.alarms.raised
                observed = "" if one.success else f"\nobserved: {one.observed}"
                tell(found.table, Alarm.EXPECTATION_FAILED, text + observed, about=one.rule)
        log.get(found.table).info(
            f"Version {found.version} validated",
            met=sum(one.success is True for one in found.findings),
            failed={one.rule: one.severity for one in found.failed("critical", "warning", "info")},
            errors={one.rule: one.error for one in found.errors},
        )
