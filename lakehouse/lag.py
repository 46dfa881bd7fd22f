"""How far a stream is behind what it reads, in records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lakehouse import storage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.tables import Table


def behind_kafka(progress: Any) -> dict[str, int] | None:
    """Return the records from where a query with one topic is to the end of each partition.

    None where the source does not say, as in a run with `--once`. Costs nothing: the progress
    holds both ends.
    """
    source = json.loads(progress.sources[0].json)
    latest, end = source.get("latestOffset"), source.get("endOffset")
    if not latest or not end:
        return None
    return {
        partition: int(position) - int(end.get(topic, {}).get(partition, 0))
        for topic, partitions in latest.items()
        for partition, position in partitions.items()
    }


class Tail:
    """The end of a bronze table: the records of each file that a reader has yet to take.

    Reads each commit of the table once, so the lag costs one small file per bronze batch.
    """

    def __init__(self, spark: SparkSession, table: Table) -> None:
        self._spark = spark
        self._log = f"{table.path}/_delta_log"
        self._files: dict[int, list[int]] = {}
        self._next: int | None = None

    def behind(self, progress: Any) -> dict[str, int] | None:
        """Return the bronze rows after the end offset of a query with this table as its source.

        One figure, under "all": a commit does not say of which partitions its rows are.
        """
        offset = json.loads(progress.sources[0].json).get("endOffset")
        if not offset:
            return None
        version, index = int(offset["reservoirVersion"]), int(offset["index"])
        self._follow(version)
        self._files = {v: rows for v, rows in self._files.items() if v >= version}
        left = sum(
            rows
            for v, files in self._files.items()
            for i, rows in enumerate(files)
            if v > version or i > index
        )
        return {"all": left}

    def _follow(self, version: int) -> None:
        self._next = version if self._next is None else max(self._next, version)
        while (
            commit := storage.read(self._spark, f"{self._log}/{self._next:020d}.json")
        ) is not None:
            added = [json.loads(line).get("add") for line in commit.split("\n") if line]
            self._files[self._next] = [
                int(json.loads(add["stats"])["numRecords"])
                for add in added
                if add and add["dataChange"] and add.get("stats")
            ]
            self._next += 1
