"""The tables of a lake by their names, as those who only read meet them: no JVM."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse import entities
from lakehouse.config import nearest
from lakehouse.errors import ConfigError
from lakehouse.reading import files, positions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.settings import Config

STREAMED = ("bronze", "silver", "quarantine")
LAYERS = (*STREAMED, "audit")
# A name becomes a path, so it holds nothing that leads out of the lake.
NAME = re.compile(
    rf"(?:audit\.)?(?:{'|'.join(STREAMED)})\.[a-z][a-z0-9_]*|audit\.silver\.[a-z][a-z0-9_]*\.validations"
)


@dataclass(frozen=True)
class Table:
    """A table by its name, such as `silver.matches` or `audit.silver.matches`, and its path."""

    name: str
    path: str

    @property
    def layer(self) -> str:
        """The part of the name before the first dot."""
        return self.name.partition(".")[0]

    @property
    def entity(self) -> str:
        """The part of the name after the first dot."""
        return self.name.partition(".")[2]

    @property
    def stream(self) -> str:
        """The stream whose owner writes it: silver's also writes quarantine, decisions, trails."""
        layer, _, rest = self.name.removeprefix("audit.").partition(".")
        entity = rest.partition(".")[0].removesuffix("_decisions")
        return f"{'bronze' if layer == 'bronze' else 'silver'}.{entity}"

    def exists(self) -> bool:
        """Say whether there is a log at the path."""
        return not files.absent(self.path, ["_delta_log"])

    def keys(self, properties: Mapping[str, str], columns: Sequence[str]) -> tuple[str, ...]:
        """Return the columns that tell one row from another; none where that is not known.

        Of silver those of the entity that it was built for, as its property says; of bronze and
        quarantine the position in Kafka; of a trail the version.
        """
        if self.layer == "silver":
            said = json.loads(properties.get("lakehouse.entity") or "{}")
            return tuple(said.get("keys", ()))
        known = positions.COLUMNS if self.layer != "audit" else ("version", "at", "rule")
        there = tuple(name for name in known if name in columns)
        return there if self.layer == "audit" or there == known else ()


@dataclass(frozen=True)
class Catalog:
    """The lake at *location*, and the *entities* that its configuration names."""

    location: str
    entities: tuple[str, ...]

    def names(self) -> list[str]:
        """Return the names of the tables that the lake can have, whether they exist or not."""
        streamed = [f"{layer}.{one}" for one in self.entities for layer in STREAMED]
        decided = [f"quarantine.{one}_decisions" for one in self.entities]
        checked = [f"audit.silver.{one}.validations" for one in self.entities]
        return [*streamed, *decided, *(f"audit.{name}" for name in streamed), *checked]

    def table(self, name: str) -> Table:
        """Return the table of that *name*: one of the entities', or one that is there.

        Raises:
            ConfigError: UNKNOWN_TABLE, naming the nearest.
        """
        layer, _, rest = name.partition(".")
        found = Table(name, f"{self.location.rstrip('/')}/{layer}/{rest}")
        if NAME.fullmatch(name) and (name in self.names() or found.exists()):
            return found
        raise ConfigError("UNKNOWN_TABLE", name=name, nearest=nearest(name, self.names()))

    def existing(self) -> list[Table]:
        """Return the tables that are there."""
        return [one for one in map(self.table, self.names()) if one.exists()]


def catalog(config: Config) -> Catalog:
    """Return the tables of the lake that *config* names.

    Raises:
        ConfigError: where an entity's folder is not sound.
    """
    known = entities.load_all(config.folder)
    return Catalog(config.lake.location, tuple(one.name for one in known))
