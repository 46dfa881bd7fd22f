"""What a session is started with, without starting one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse import session

if TYPE_CHECKING:
    from lakehouse.settings import Config

JARS = [Path("/jars/one.jar"), Path("/jars/two.jar")]
NONE = Path("/jars/no.jsa")


def with_options(config: Config, master: str = "local[*]", **options: str) -> Config:
    spark = config.spark.model_copy(update={"options": options, "master": master})
    return config.model_copy(update={"spark": spark})


def test_options_of_java_are_added_to_ours(config: Config) -> None:
    own = with_options(config, **{session.JAVA: "-Dtheir=own"})
    said = session.options_of(own, JARS, NONE)[session.JAVA]
    assert said.startswith(session.JAVA_OPTIONS)
    assert said.endswith(" -Dtheir=own")


def test_jars_of_the_user_come_after_the_locked_ones(config: Config) -> None:
    own = with_options(config, **{session.CLASSPATH: "/their/own.jar"})
    said = session.options_of(own, JARS, NONE)[session.CLASSPATH]
    assert said.split(os.pathsep) == ["/jars/one.jar", "/jars/two.jar", "/their/own.jar"]


def test_executors_elsewhere_are_sent_the_jars(config: Config) -> None:
    far = with_options(config, master="spark://far:7077")
    assert session.options_of(far, JARS, NONE)["spark.jars"] == "/jars/one.jar,/jars/two.jar"
    near = session.options_of(with_options(config, master="local-cluster[2,1,1024]"), JARS, NONE)
    assert "spark.jars" in near
    assert near.items() >= session.LOCAL.items()
    assert "spark.jars" not in session.options_of(config, JARS, NONE)


def test_an_archive_of_classes_is_taken_where_there_is_one(config: Config, tmp_path: Path) -> None:
    archive = tmp_path / "some classes.jsa"
    assert "SharedArchiveFile" not in session.options_of(config, JARS, archive)[session.JAVA]
    archive.touch()
    said = session.options_of(config, JARS, archive)[session.JAVA]
    assert f'"-XX:SharedArchiveFile={archive}"' in said


def test_a_collector_of_the_user_stands_instead_of_ours(config: Config) -> None:
    own = with_options(config, **{session.JAVA: "-XX:+UseG1GC"})
    said = session.options_of(own, JARS, NONE)[session.JAVA]
    assert "-XX:-DontCompileHugeMethods" in said
    assert "-XX:+UseG1GC" in said
    assert session.COLLECTOR not in said
