"""An entity is data: a folder under conf/entities with a topic, keys and a schema."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, field_validator

from lakehouse.config import parse_toml, read_text, unknown_key, validated
from lakehouse.errors import ConfigError
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Part of every fingerprint: a message is judged again by the parser that judged it first, or not
# at all. Raise it whenever silver/ judges any message differently.
PARSER_VERSION = 1

FILES = ("entity.toml", "schema.ddl")
# A suite of expectations; an entity may do without.
OPTIONAL = ("expectations.json",)


def _name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ValueError("an entity's folder is named in lower case letters, digits and _")
    if name.endswith("_decisions"):
        raise ValueError("quarantine has a table of that name for the decisions on another entity")
    return name


class Limits(Settings):
    """Bounds beyond which a message is not even looked into."""

    # Jackson refuses strings over 20 million characters, so no larger value could be parsed.
    max_value_bytes: int = Field(default=20_000_000, ge=1, le=20_000_000)


class Entity(Settings):
    """What entity.toml and schema.ddl say: where messages come from and how they become rows.

    `sequence_by` absent: newest is by Kafka's timestamp alone. `partition_by` empty: silver is not
    partitioned. `deletion_vectors`: a MERGE marks old rows instead of writing their files again,
    which not every reader of Delta understands.
    """

    internal = frozenset({"name", "ddl", "source", "contents"})

    name: Annotated[str, AfterValidator(_name)]
    topic: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    keys: tuple[str, ...] = Field(min_length=1)
    sequence_by: str | None = None
    partition_by: tuple[str, ...] = ()
    derived: dict[str, str] = Field(default_factory=dict)
    deletion_vectors: bool = False
    limits: Limits = Limits()
    ddl: str = Field(exclude=True)
    source: str = Field(exclude=True, description="the folder it was read from, for messages")
    contents: dict[str, str] = Field(exclude=True, description="the files, as they are archived")

    @field_validator("keys", "partition_by", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            # TRY004: pydantic takes only a ValueError for a verdict.
            raise ValueError(f'write it as a list: ["{value}"]')
        return value

    def __hash__(self) -> int:
        return hash((self.name, self.fingerprint))

    @property
    def fingerprint(self) -> str:
        """The rules' name: the same content always has the same one, another content never."""
        digest = hashlib.sha256(
            json.dumps([PARSER_VERSION, self.name, self.contents], sort_keys=True).encode()
        )
        return digest.hexdigest()[:16]

    @property
    def suite(self) -> str | None:
        """The name of the suite of expectations, by its content; None where there is no suite."""
        text = self.contents.get("expectations.json")
        return None if text is None else hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def identity(self) -> str:
        """What must never change under a silver table, as JSON."""
        facts = self.model_dump(include={"topic", "keys", "sequence_by", "partition_by"})
        return json.dumps(facts, sort_keys=True)


def load(folder: Path) -> Entity:
    """Return the entity in *folder*.

    The schema is only read here; `lakehouse.schemas` proves that it is sound, which needs Spark.

    Raises:
        ConfigError: FILE_MISSING, FILE_UNREADABLE, UNKNOWN_KEY or BAD_VALUE.
    """
    purpose = "an entity is a folder with entity.toml and schema.ddl"
    there = (name for name in OPTIONAL if (folder / name).exists())
    contents = {name: read_text(folder / name, purpose) for name in (*FILES, *there)}
    return from_contents(folder.name, contents, str(folder))


def from_contents(name: str, contents: dict[str, str], source: str) -> Entity:
    """Return the entity that *contents*, the text of each of its files, describes."""
    file = f"{source}/entity.toml"
    written = parse_toml(contents["entity.toml"], file)
    for key in Entity.internal & written.keys():
        raise unknown_key(file, key, Entity)
    data = {
        **written,
        "name": name,
        "ddl": contents["schema.ddl"],
        "source": source,
        "contents": contents,
    }
    return validated(Entity, data, file)


def load_all(folder: Path, names: Iterable[str] = ()) -> list[Entity]:
    """Return the entities under *folder*/entities: those named, or all of them in order of name.

    Raises:
        ConfigError: also UNKNOWN_ENTITY, naming the ones there are.
    """
    home = folder / "entities"
    known = sorted(path.name for path in home.iterdir() if path.is_dir()) if home.is_dir() else []
    if not known:
        raise ConfigError("FILE_MISSING", file=home, purpose="its folders are the entities")
    for name in names:
        if name not in known:
            raise ConfigError("UNKNOWN_ENTITY", name=name, folder=home, known=", ".join(known))
    return [load(home / name) for name in dict.fromkeys(names or known)]
