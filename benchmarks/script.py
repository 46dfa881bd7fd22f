"""The script with a stock session that `benchmarks.starts` starts: Kafka to Delta, once."""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.contestants import textbook_bronze
from benchmarks.place import Place
from benchmarks.workers import Jvm, begin


def main(bootstrap: str, topic: str, root: str) -> None:
    """Land *topic* under *root* with a session of stock settings."""
    begin(Jvm("stock", stock=True), Path(root).with_suffix(".session"))
    textbook_bronze(SparkSession.active(), Place(bootstrap, topic, Path(root)))


if __name__ == "__main__":
    main(*sys.argv[1:])
