"""What the tests in one Spark session share."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from lakehouse.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from lakehouse.settings import Config
    from lakehouse.tables import Lake


@pytest.fixture
def lake(made: Path, config: Config) -> Lake:
    """A lake of the test's own: a copy of the one that its file has `made`."""
    shutil.copytree(made, config.lake.root)
    return Run(config).lake
