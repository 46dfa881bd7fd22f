"""Bronze against its commits: each landed just the rows that it says, and each row has a commit."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.proof.view import held, ranges, span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import Row

    from lakehouse.audit.commits import Commit
    from lakehouse.audit.records import Range
    from lakehouse.proof.view import View

EXAMPLES = 5


def differences(seen: View) -> Iterator[str]:
    """Say how bronze's rows differ from what its commits say that they landed."""
    landed = [one for one in seen.commits["bronze"] if one.data_change and one.facts.get("stream")]
    by = ranges(seen.spark, landed)
    inside = held(seen.bronze, by, span(landed))
    grouped = inside.groupBy("_version", "topic", "topic_id", "partition").agg(
        F.count("*").alias("count"), F.min("offset").alias("min"), F.max("offset").alias("max")
    )
    found: dict[int, dict[tuple[str, str | None, int], Row]] = defaultdict(dict)
    for row in grouped.collect():
        found[row["_version"]][row["topic"], row["topic_id"], row["partition"]] = row
    for commit in landed:
        yield from _of_commit(seen, commit, found[commit.version])
    total, covered = (
        seen.bronze.count(),
        sum(r["count"] for v in found.values() for r in v.values()),
    )
    if total != covered:
        yield f"bronze.{seen.entity} holds {total} rows, and {covered} lie in ranges of its commits"


def _of_commit(
    seen: View, commit: Commit, rows: dict[tuple[str, str | None, int], Row]
) -> Iterator[str]:
    where = f"bronze.{seen.entity} version {commit.version}"
    said = sum(one.count for one in commit.ranges)
    if commit.rows_added != said:
        yield f"{where}: it added {commit.rows_added} rows, and its files tell of {said} positions"
    planned = {(one.topic, one.partition): one for one in commit.planned}
    for one in commit.ranges:
        there = rows.get((one.topic, one.topic_id, one.partition))
        if there is None or (there["min"], there["max"], there["count"]) != (
            *(one.min, one.max, one.count),
        ):
            now = "none" if there is None else f"{there['count']} of {there['min']}-{there['max']}"
            yield (
                f"{where}: it landed {one.count} rows of {one.topic}:{one.partition}:{one.min}-"
                f"{one.max}, and there are {now}{_absent(seen, one)}"
            )
        plan = planned.get((one.topic, one.partition))
        if plan is not None and not ((plan.start or 0) <= one.min and one.max < plan.end):
            yield (
                f"{where}: it holds {one.topic}:{one.partition}:{one.min}-{one.max}, planned were "
                f"{plan.start}-{plan.end - 1}"
            )


def _absent(seen: View, one: Range) -> str:
    """Name a few offsets of the range that bronze does not have; some may be Kafka's own gaps."""
    expected = seen.spark.range(one.min, one.max + 1).toDF("offset")
    partition = (F.col("topic") == one.topic) & (F.col("partition") == one.partition)
    there = seen.bronze.where(partition).select("offset")
    gone = expected.join(there, "offset", "left_anti").orderBy("offset").limit(EXAMPLES).collect()
    return f"; not there: {', '.join(str(row['offset']) for row in gone)}" if gone else ""
