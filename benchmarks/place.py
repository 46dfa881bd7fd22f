"""Where a contestant works: which topic it reads, which folder it writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse import config as settings
from lakehouse.entities import Entity, from_contents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.settings import Config

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "conf" / "entities" / "matches"


@dataclass(frozen=True)
class Place:
    """A topic of a broker, and a folder that one run of a contestant has for itself.

    Batches hold `rows`; a silver batch is bounded in bytes, and takes one bronze commit.
    """

    bootstrap: str
    topic: str
    root: Path
    rows: int = 500_000

    def at(self, name: str) -> Place:
        """Return the same with a folder of its own below this one."""
        return replace(self, root=self.root / name)

    def on(self, topic: str) -> Place:
        """Return the same for another topic."""
        return replace(self, topic=topic)


def config(
    root: Path,
    *,
    bootstrap: str = "",
    options: Mapping[str, str] | None = None,
    memory: str = "",
    **streams: Any,
) -> Config:
    """Return the shipped configuration over the lake *root*."""
    loaded = settings.load(ROOT / "conf")
    lake = loaded.lake.model_copy(update={"root": str(root)})
    spark = loaded.spark.model_copy(
        update={"options": dict(options or {}), "driver_memory": memory or "2g"}
    )
    kafka = loaded.kafka.model_copy(update={"bootstrap": bootstrap or loaded.kafka.bootstrap})
    own = loaded.streams.model_copy(update=streams)
    return loaded.model_copy(update={"lake": lake, "spark": spark, "kafka": kafka, "streams": own})


def matches(
    topic: str, suite: list[dict[str, Any]] | None = None, *, name: str = "matches"
) -> Entity:
    """Return the shipped matches on *topic*, with another *suite* or *name* if one is given."""
    contents = {file.name: file.read_text() for file in FOLDER.iterdir()}
    own = contents["entity.toml"].replace('"esports-matches"', json.dumps(topic))
    contents["entity.toml"] = own
    if suite is not None:
        contents.pop("expectations.json")
        if suite:
            contents["expectations.json"] = json.dumps({"name": "bench", "expectations": suite})
    return from_contents(name, contents, str(FOLDER))
