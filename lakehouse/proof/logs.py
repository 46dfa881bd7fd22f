"""Commits against commits: batches follow each other, and trail and log say the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lakehouse.audit.commits import Commit
    from lakehouse.proof.view import View


@dataclass
class Notes:
    """What was found: differences, and apart from them figures that a retry of Spark made high."""

    differences: list[str] = field(default_factory=list)
    counted_twice: list[str] = field(default_factory=list)


def compare(seen: View) -> Notes:
    """Return how the commits of *seen* disagree with each other, with their log or themselves."""
    found = Notes()
    for layer, commits in seen.commits.items():
        name = f"{layer}.{seen.entity}"
        kept = {one.version: one for one in seen.kept[layer]}
        for one in seen.logs[layer]:
            before = kept.get(one.version)
            if before is not None and _lasting(before) != _lasting(one):
                found.differences.append(
                    f"{name} version {one.version}: the log is not what it was"
                )
        said = [*_missing(commits), *_foreign(layer, commits)]
        said += _sequence(commits) if layer != "quarantine" else []
        found.differences += [f"{name} {one}" for one in said]
        for one in commits:
            if (figure := _output_rows(one)) is not None:
                # Spark counts too much where it repeats a stage, never too little. A log that was
                # edited looks the same, unless the trail had kept it before.
                high = figure > (one.rows_added or 0) and one.version in kept
                told = f"numOutputRows is {figure}, its files hold {one.rows_added}"
                into = found.counted_twice if high else found.differences
                into.append(f"{name} version {one.version}: {told}")
    return found


def _lasting(commit: Commit) -> Commit:
    """Return *commit* without what is only known for as long as the checkpoint keeps it."""
    return replace(commit, planned=(), started_at=None)


def _missing(commits: Sequence[Commit]) -> Iterator[str]:
    """Say which versions are in neither log nor trail."""
    versions = [one.version for one in commits]
    for before, after in pairwise([-1, *versions]):
        if after > before + 1:
            yield f"versions {before + 1} to {after - 1} are in neither its log nor its trail"


def _foreign(layer: str, commits: Sequence[Commit]) -> Iterator[str]:
    """Say which commits changed rows and are not a batch of the table's stream."""
    for one in commits:
        written = one.checkpoint is not None and one.facts.get("stream")
        if one.data_change and not written:
            yield f"version {one.version}: {one.operation} changed rows outside its stream"
        elif written and layer != "bronze":
            facts = one.facts
            if (facts.get("checkpoint"), facts.get("batch_id")) != (one.checkpoint, one.batch_id):
                yield (
                    f"version {one.version}: the record says batch {facts.get('batch_id')}, "
                    f"the transaction {one.batch_id}"
                )


def _sequence(commits: Sequence[Commit]) -> Iterator[str]:
    """Say where batches do not follow each other: in number, or in what they take."""
    batches = [one for one in commits if one.checkpoint is not None and one.is_batch]
    for one in batches[:1]:
        if one.batch_id != 0:
            yield f"version {one.version}: the first batch is {one.batch_id}"
    for before, after in pairwise(batches):
        if after.batch_id != (before.batch_id or 0) + 1:
            yield f"version {after.version}: batch {after.batch_id} follows batch {before.batch_id}"
        source = (before.facts.get("source") or {}, after.facts.get("source") or {})
        if source[0].get("to") != source[1].get("from"):
            yield f"version {after.version}: it does not begin where version {before.version} ended"
        ends = {(one.topic, one.partition): one.end for one in before.planned}
        for plan in after.planned:
            end = ends.get((plan.topic, plan.partition))
            if end is not None and plan.start is not None and plan.start != end:
                yield (
                    f"version {after.version}: planned from "
                    f"{plan.topic}:{plan.partition}:{plan.start}"
                    f", where version {before.version} ended at {end}"
                )


def _output_rows(commit: Commit) -> int | None:
    """Return the figure of Spark for a batch of bronze that is not what its files hold."""
    said = commit.metrics.get("numOutputRows")
    plain = commit.data_change and commit.operation in {"STREAMING UPDATE", "WRITE"}
    if said is None or commit.rows_added is None or not plain:
        return None
    return int(said) if int(said) != commit.rows_added else None
