"""The jars that Spark and the embedded broker need: locked by hash, fetched on request only.

`jars.lock.toml` names each jar's Maven coordinate and sha256, by group. `fetch` asks Ivy, which
ships inside the pyspark wheel, so no HTTP code and no address live here; a mirror is configured
as for any Ivy user, in `~/.ivy2/ivysettings.xml`. Streams only ever `verify`.

Beside the jars may lie an archive of the classes that a stream loads from them, as the JVM keeps
them for its class-data sharing: `lakehouse.demo.rehearsal` makes it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lakehouse.errors import MachineError

GROUPS = ("spark", "broker")
OLDEST_JAVA = 17
ARCHIVE = "classes-"


@dataclass(frozen=True)
class Jar:
    """One locked jar."""

    organisation: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """The name under which the jar lies in the jars folder."""
        return f"{self.organisation}.{self.artifact}-{self.version}.jar"


def locked(group: str) -> list[Jar]:
    """Return the jars of *group* as the lock file names them."""
    lock = tomllib.loads(resources.files("lakehouse").joinpath("jars.lock.toml").read_text())
    found = []
    for coordinate, sha256 in lock[group].items():
        organisation, artifact, version = coordinate.split(":")
        found.append(Jar(organisation, artifact, version, sha256))
    return found


def verify(group: str, folder: Path) -> list[Path]:
    """Return the paths of *group*'s jars, each proven to be the locked one.

    Raises:
        MachineError: JARS_UNSOUND when a jar is missing or differs from the lock.
    """
    reasons = [reason for jar in locked(group) if (reason := _fault(jar, folder))]
    if reasons:
        raise MachineError(
            "JARS_UNSOUND",
            group=group,
            folder=folder,
            count=len(reasons),
            reasons="; ".join(reasons[:3]) + (" ..." if len(reasons) > 3 else ""),
        )
    return [folder / jar.filename for jar in locked(group)]


def fetch(group: str, folder: Path) -> list[Path]:
    """Bring the missing or altered jars of *group* into *folder*, then verify them all.

    Jars that are already sound are not fetched again. A jar is moved into place only once it is
    whole, so an interrupted fetch leaves no half a jar behind.

    Raises:
        MachineError: JAVA_MISSING, JARS_UNFETCHABLE, or JARS_UNSOUND when what came is not what
            the lock names.
    """
    wanted = [jar for jar in locked(group) if _fault(jar, folder)]
    if wanted:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            _ask_ivy(wanted, group, Path(scratch))
            for jar in wanted:
                arrived = Path(scratch) / "jars" / jar.filename
                if arrived.exists():
                    arrived.replace(folder / jar.filename)
    return verify(group, folder)


def java() -> str:
    """Return the java command: of JAVA_HOME where that is set, else the one on the PATH.

    Raises:
        MachineError: JAVA_MISSING, also for one older than 17.
    """
    home = os.environ.get("JAVA_HOME")
    command = str(Path(home) / "bin" / "java") if home else "java"
    found = shutil.which(command)
    if found is None:
        raise MachineError("JAVA_MISSING", reason=f"'{command}' is not an executable file")
    # S603: the command is the Java that was just found.
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < OLDEST_JAVA:
        first = said.strip().partition("\n")[0] or "it says nothing"
        raise MachineError("JAVA_MISSING", reason=f"{found} is too old or not Java: {first}")
    return found


def archive(folder: Path) -> Path:
    """Return where the archive of classes lies in *folder*, or would.

    Another Java, another pyspark and other jars give it another name, since a JVM takes an archive
    only with the very files that it was made with.

    Raises:
        MachineError: JAVA_MISSING.
    """
    files = [Path(java()).resolve(), *sorted(_pyspark().glob("*.jar"))]
    files += [folder / jar.filename for jar in locked("spark")]
    known = [(path, path.stat()) for path in files if path.exists()]
    text = "\n".join(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in known)
    return folder / f"{ARCHIVE}{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsa"


def _fault(jar: Jar, folder: Path) -> str | None:
    path = folder / jar.filename
    if not path.is_file():
        return f"{jar.filename} is missing"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return None if digest == jar.sha256 else f"{jar.filename} was altered"


def _ask_ivy(wanted: list[Jar], group: str, scratch: Path) -> None:
    root = ET.Element("ivy-module", version="2.0")
    ET.SubElement(root, "info", organisation="lakehouse", module="jars")
    configurations = ET.SubElement(root, "configurations", defaultconfmapping="*->default")
    ET.SubElement(configurations, "conf", name="default")
    dependencies = ET.SubElement(root, "dependencies")
    for jar in wanted:
        ET.SubElement(
            dependencies,
            "dependency",
            org=jar.organisation,
            name=jar.artifact,
            rev=jar.version,
            transitive="false",
        )
    ivy_file = scratch / "ivy.xml"
    ET.ElementTree(root).write(ivy_file)
    pattern = scratch / "jars" / "[organisation].[artifact]-[revision].[ext]"
    command = [java(), "-jar", str(_ivy()), "-ivy", str(ivy_file), "-cache", str(scratch / "cache")]
    command += ["-retrieve", str(pattern), "-types", "jar", "bundle"]
    settings = Path.home() / ".ivy2" / "ivysettings.xml"
    if settings.is_file():
        command += ["-settings", str(settings)]
    # S603: the command is built from the lock file and fixed options, and runs without a shell.
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
        said = [line for line in lines if "not found" in line or "Exception" in line]
        raise MachineError(
            "JARS_UNFETCHABLE", group=group, reason=(said or lines or ["no output"])[-1]
        )


def _ivy() -> Path:
    return next(_pyspark().glob("ivy-*.jar"))


def _pyspark() -> Path:
    """Return the folder of the jars that the pyspark wheel brings."""
    # Found without importing pyspark, which takes a quarter of a second.
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise MachineError("JARS_UNFETCHABLE", group="any", reason="pyspark is not installed")
    return Path(spec.origin).parent / "jars"
