"""Small text files beside the tables, on whatever file system the lake's root names.

Through Hadoop's FileSystem, so that a folder and an object-store URL work alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def names(spark: SparkSession, folder: str) -> list[str]:
    """Return the names in *folder*, in no order; none when there is no such folder."""
    files, path = _open(spark, folder)
    if not files.exists(path):
        return []
    return [str(status.getPath().getName()) for status in files.listStatus(path)]


def read(spark: SparkSession, file: str) -> str | None:
    """Return the text of *file*, or None when there is none."""
    files, path = _open(spark, file)
    if not files.exists(path):
        return None
    stream = files.open(path)
    try:
        return str(_jvm(spark).org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
    finally:
        stream.close()


def write_once(spark: SparkSession, file: str, text: str) -> None:
    """Have *file* hold *text*: written whole under another name first; kept if it is there."""
    files, path = _open(spark, file)
    if files.exists(path):
        return
    scratch = _jvm(spark).org.apache.hadoop.fs.Path(
        f"{file}.{_jvm(spark).java.util.UUID.randomUUID()}"
    )
    stream = files.create(scratch, True)
    try:
        stream.write(bytearray(text.encode()))
    finally:
        stream.close()
    if not files.rename(scratch, path):
        files.delete(scratch, False)


def delete(spark: SparkSession, folder: str) -> None:
    """Have *folder* and all that is in it be gone."""
    files, path = _open(spark, folder)
    files.delete(path, True)


def _open(spark: SparkSession, name: str) -> tuple[Any, Any]:
    path = _jvm(spark).org.apache.hadoop.fs.Path(name)
    return path.getFileSystem(spark._jsparkSession.sessionState().newHadoopConf()), path  # noqa: SLF001 - as _jvm


def _jvm(spark: SparkSession) -> Any:
    return spark._jvm  # noqa: SLF001 - pyspark has no public way to Hadoop's FileSystem
