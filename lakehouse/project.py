"""A new project: the settings, the sample entities and the notebooks that lakehouse ships.

They lie at the root of a checkout, and in `lakehouse/shipped` of an installed wheel, which
pyproject.toml has them copied to. There is no other copy of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import EEXIST, ENOTEMPTY
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

PARTS = ("conf", "notebooks")
ENTITIES = "conf/entities"
# What runs beside the project and must not be committed with it: lake.root and the broker's folder.
IGNORED = "/lake/\n/.lakehouse/\n.ipynb_checkpoints/\n"


@dataclass(frozen=True)
class Made:
    """What became of each file, by its name below the project's folder."""

    written: tuple[str, ...]
    left_alone: tuple[str, ...]


def make(folder: Path) -> Made:
    """Have *folder* hold every file of a project; what was there before is as it was.

    A file is made only where nothing of its name is, also when another process makes it just now.
    The sample entities come last and together, or not at all: where `conf/entities` holds anything
    but empty folders, another entity would be started with what is there. Killed at any moment, it
    can be run again; then a hidden folder of it may stay in `conf`.

    Raises:
        ConfigError: FOLDER_UNWRITABLE. The files before that are there, and none by half.
    """
    written: list[str] = []
    left_alone: list[str] = []
    samples: dict[str, bytes] = {}
    try:
        for name, content in _files():
            if name.startswith(f"{ENTITIES}/"):
                samples[name] = content
            else:
                (written if _create(folder / name, content) else left_alone).append(name)
        if _join(folder, samples):
            written += samples
        else:
            left_alone.append(ENTITIES)
    except OSError as error:
        reason = f"{error.filename or folder}: {error.strerror}"
        raise ConfigError("FOLDER_UNWRITABLE", folder=folder, reason=reason) from error
    return Made(tuple(sorted(written)), tuple(sorted(left_alone)))


def _files() -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file of a new project."""
    yield ".gitignore", IGNORED.encode()
    shipped = resources.files("lakehouse") / "shipped"
    # An editable install reads the checkout itself, so that a change there is in the next project.
    root = shipped if shipped.is_dir() else Path(str(resources.files("lakehouse"))).parent
    for part in PARTS:
        yield from _below(root / part, part)


def _below(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.name.startswith("."):  # an editor's or Jupyter's, not ours
            continue
        if one.is_dir():
            yield from _below(one, f"{name}/{one.name}")
        else:
            yield f"{name}/{one.name}", one.read_bytes()


def _join(folder: Path, samples: Mapping[str, bytes]) -> bool:
    """Have the entities of *folder* be the *samples*, or say that there are entities already."""
    own = folder / ENTITIES
    empty = list(own.iterdir()) if own.exists() else []
    if any(not one.is_dir() or any(one.iterdir()) for one in empty):
        return False
    with TemporaryDirectory(prefix=".entities-", dir=own.parent) as scratch:
        for name, content in samples.items():
            _create(Path(scratch) / name, content)
        try:
            for one in empty:
                one.rmdir()
            (Path(scratch) / ENTITIES).rename(own)
        except OSError as error:
            if error.errno not in {ENOTEMPTY, EEXIST}:
                raise
            return False  # another process has just made one
    return True


def _create(path: Path, content: bytes) -> bool:
    """Have *path* hold *content*, or say that something is there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except OSError:
        path.unlink()
        raise
    return True
