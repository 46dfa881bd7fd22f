"""One broker for the whole run; a lake and topics of its own for each test."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from lakehouse import broker
from lakehouse.config import load
from tests.conftest import CONF
from tests.e2e.harness import Kafka, Lakehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SETTINGS = {
    # Large messages are part of what is tested.
    "message.max.bytes": "20000000",
    "replica.fetch.max.bytes": "20000000",
    # The cleaner looks after compacted topics at once, not every fifteen seconds.
    "log.cleaner.backoff.ms": "200",
}


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    data = tmp_path_factory.mktemp("a kafka")
    with broker.running(data, load(CONF).jars.dir, settings=SETTINGS) as running:
        yield Kafka(running.bootstrap)


@pytest.fixture
def topics(kafka: Kafka, tmp_path: Path) -> Callable[..., Path]:
    """Make a conf of the test's own, whose entities read topics of the test's own."""

    def make(partitions: int = 1, **settings: str) -> Path:
        conf = tmp_path / "conf"
        shutil.copytree(CONF, conf)
        for folder in (conf / "entities").iterdir():
            file = folder / "entity.toml"
            topic = kafka.create(f"esports-{folder.name}.{tmp_path.name}", partitions, **settings)
            file.write_text(file.read_text().replace(f'"esports-{folder.name}"', f'"{topic}"'))
        return conf

    return make


@pytest.fixture
def lakehouse(kafka: Kafka, topics: Callable[..., Path], tmp_path: Path) -> Iterator[Lakehouse]:
    """The product on a new lake, with topics of one partition."""
    product = Lakehouse(tmp_path / "a lake", kafka.bootstrap, topics())
    yield product
    for one in product.running:
        if one.members():
            one.kill()


@pytest.fixture
def matches_topic(tmp_path: Path) -> str:
    return f"esports-matches.{tmp_path.name}"
