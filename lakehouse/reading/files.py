"""The files of a table, in a folder of this machine or at a URL.

pyarrow knows both. A folder is read without it all the same: its import alone takes longer than
most answers, and it asks for the size of each of ten thousand files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyarrow.fs import FileSystem


def is_local(root: str) -> bool:
    """Say whether *root* is a folder of this machine."""
    return "://" not in root


def names(root: str, folder: str) -> list[str]:
    """Return the names in a *folder* below *root*, in no order.

    Raises:
        OSError: there is no such folder, or it cannot be listed.
    """
    if is_local(root):
        return os.listdir(f"{root}/{folder}")  # noqa: PTH208 - a Path for each of many names is slow
    from pyarrow import fs

    return [one.base_name for one in system(root).get_file_info(fs.FileSelector(folder))]


def text(root: str, file: str) -> str:
    """Return the text of a *file* below *root*.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    if is_local(root):
        return Path(root, file).read_text(encoding="utf-8")
    with system(root).open_input_stream(file) as stream:
        return str(stream.read().decode())


def absent(root: str, files: Iterable[str]) -> list[str]:
    """Return those of the *files* below *root* that are not there."""
    if is_local(root):
        return [one for one in files if not os.path.exists(f"{root}/{one}")]  # noqa: PTH110 - as above
    from pyarrow import fs

    looked = system(root).get_file_info(list(files))
    return [one.path for one in looked if one.type == fs.FileType.NotFound]


def size(root: str, files: Iterable[str]) -> int:
    """Return how many bytes the *files* below *root* have together; those that are there."""
    if is_local(root):
        there = (Path(root, one) for one in files)
        return sum(one.stat().st_size for one in there if one.exists())
    return sum(one.size or 0 for one in system(root).get_file_info(list(files)))


def system(root: str) -> FileSystem:
    """Return the file system whose root is *root*, for what reads Parquet."""
    from pyarrow import fs

    files, folder = fs.FileSystem.from_uri(root)
    return fs.SubTreeFileSystem(folder, files)
