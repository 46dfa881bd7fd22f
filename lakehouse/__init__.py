"""Lakehouse: Kafka to bronze, silver and quarantine in Delta Lake, each message with one fate."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.lake import Lake

__version__ = "0.1.0"


def open(conf: str | Path = "conf", env: str | None = None) -> Lake:  # noqa: A001 - as lakehouse.open it is plain
    """Return the lake that the configuration in the folder *conf* names, to read it without Spark.

    *env* applies conf/env/NAME.toml over it, as `--env` does; LAKEHOUSE_ENV where it is not given.

    Raises:
        ConfigError: as `lakehouse check` tells it.
    """
    from lakehouse import lake

    return lake.open(conf, env)
