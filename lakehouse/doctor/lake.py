"""The lake: its root, who owns its streams, and whether checkpoints and tables are in order.

All of it is read by plain files and delta-rs, and of a local root alone.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse import layout, owner
from lakehouse.doctor.finding import fail, of, ok, warn
from lakehouse.doctor.machine import nearest
from lakehouse.errors import TableError
from lakehouse.reading.status import state_of, stated, trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lakehouse.doctor.finding import Finding
    from lakehouse.entities import Entity
    from lakehouse.owner import Holder
    from lakehouse.settings import LakeSettings

LAYERS = ("bronze", "silver", "quarantine")
# Of which a lock or a rename may not be what it is on a disk of this machine.
SHARED = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "fuse.s3fs", "ceph", "lustre"}
MOUNTS = Path("/proc/self/mounts")


def root(lake: LakeSettings, state_dir: Path) -> Iterator[Finding]:
    """Look whether the lake and its state can be written; nothing that has a name is."""
    if lake.is_local:
        yield writable("root", "lake.root", Path(lake.location))
    else:
        yield warn(
            "root",
            f"{lake.root} is not a folder of this machine: neither it nor its tables, checkpoints"
            " and disk were looked at",
            "none is needed; `lakehouse audit verify` looks at the tables",
        )
    if not lake.is_local or not state_dir.is_relative_to(lake.location):
        yield writable("state", "state.dir", state_dir)


def writable(check: str, setting: str, folder: Path) -> Finding:
    """Look whether *folder* of that *setting* can be written, or made where there is none yet."""
    there = nearest(folder)
    cure = f"correct {setting}, or the folder's owner and permissions"
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0")
            file.flush()
    except OSError as error:
        return fail(check, f"{folder} cannot be written: {error.strerror} ({there})", cure)
    text = MOUNTS.read_text(encoding="utf-8", errors="replace") if MOUNTS.exists() else ""
    kind = filesystem(there.resolve(), text)
    if kind in SHARED:
        said = f"{folder} is on {kind}, where two machines could both win a commit or a lock"
        return warn(check, said, "run the streams of one lake on one machine only, or use a disk")
    return ok(check, f"{folder} can be written" + ("" if there == folder else ", once made"))


def filesystem(path: Path, mounts: str) -> str:
    """Return the kind of file system that *path* is on, as *mounts* of Linux has it, or nothing."""
    found = [line.split()[1:3] for line in mounts.splitlines() if line.count(" ") >= 2]
    under = [(len(at), kind) for at, kind in found if path.is_relative_to(_unescaped(at))]
    return max(under)[1] if under else ""


def _unescaped(mount: str) -> str:
    return mount.replace("\\040", " ")


def locks(state_dir: Path, streams: Sequence[str]) -> Iterator[Finding]:
    """Look who owns each of *streams*, and of those that ran here before."""
    ran = sorted(path.parent.name for path in state_dir.glob("*/lock"))
    for stream in dict.fromkeys((*streams, *ran)):
        held = owner.holder(state_dir, stream)
        file = state_dir / stream / "status.json"
        try:
            status = dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}
        except (ValueError, TypeError) as error:
            cure = "remove it: the owner of the stream writes it anew"
            yield warn("locks", f"{file} is not a status: {error}", cure, stream)
        else:
            tripped = stated(state_dir / stream / "breaker.json").get("tripped")
            yield lock(stream, held, status, tripped, alive=held is None or _alive(held))


def lock(
    stream: str,
    held: Holder | None,
    status: Mapping[str, Any],
    tripped: Mapping[str, Any] | None,
    *,
    alive: bool,
) -> Finding:
    """Compare who holds the lock of *stream* with what its *status* and its breaker say."""
    state, at = state_of(status, held, tripped), status.get("at")
    error, _ = trouble(stream, state, status, tripped)
    layer, _, name = stream.partition(".")
    start = f"`lakehouse start {layer} --entity {name}`"
    if state == "tripped":
        said = f"its circuit breaker has tripped: {error}"
        return warn("locks", said, f"`lakehouse resume {stream} --why REASON`", stream)
    if state == "failing":
        said = f"it failed at {at}: {error}"
        cure = f"mend the cause, then {start}; docs/how-to/when-a-stream-stops.md has the codes"
        return warn("locks", said, cure, stream)
    if held is None:
        if state == "not started":
            return ok("locks", "it has not run here yet", stream)
        if state == "stopped":
            return ok("locks", "nobody owns it", stream)
        last = f"its status of {at} says '{status.get('state')}'"
        said = f"{last}, and nobody owns it: its process was killed"
        return warn("locks", said, f"{start}: what was in hand is done again", stream)
    who = f"pid {held.pid} on {held.host} since {held.since}"
    if not alive:
        said = f"{who} is gone, and its JVM still holds the lock"
        cure = f"wait some seconds; if it stays so, find it with `fuser` on the lock of {stream}"
        return warn("locks", said, cure, stream)
    if state.startswith("waiting"):
        return warn("locks", f"{who} is {state}", "see the lines on broker and topics", stream)
    return ok("locks", f"{who} owns it: {state}", stream)


def _alive(held: Holder) -> bool:
    """Say whether the process of *held* runs, as far as this machine can tell."""
    if held.host != socket.gethostname() or not held.pid:
        return True
    try:
        os.kill(held.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def properties(
    table: str, found: Mapping[str, str], entity: Entity, lake: LakeSettings
) -> Iterator[Finding]:
    """Compare the properties *found* of *table* with what every table of its layer promises."""
    layer = table.partition(".")[0]
    promised = layout.promised(layer, lake.time_travel)
    if found.get(layout.LAYOUT) != promised.pop(layout.LAYOUT):
        there, wanted = found.get(layout.LAYOUT), layout.VERSION
        error = TableError("LAYOUT_UNKNOWN", table=table, found=there, expected=wanted)
        yield of("properties", error, table)
        return
    wrong = list(_other_entity(table, found, entity))
    for key, value in promised.items():
        if found.get(key) == value:
            continue
        said = f"{key} is {found.get(key) or 'not set'}, and should be {value}"
        if key in layout.RETENTIONS:
            cure = "start its stream: this follows the setting lake.time_travel then"
            wrong.append(warn("properties", said, cure, table))
        else:
            path = f"{lake.location}/{table.replace('.', '/', 1)}"
            cure = (
                "somebody changed it. Set it again, in Spark: ALTER TABLE delta."
                f"`{path}` SET TBLPROPERTIES ('{key}' = '{value}'); then `lakehouse audit verify`"
            )
            wrong.append(fail("properties", said, cure, table))
    vectors = str(entity.deletion_vectors).lower()
    if layer == "silver" and found.get(layout.DELETION_VECTORS, "false") != vectors:
        said = f"{layout.DELETION_VECTORS} is not {vectors}, as the entity says"
        wrong.append(warn("properties", said, "start its stream: it follows the entity", table))
    yield from wrong or [ok("properties", f"layout {layout.VERSION}, as promised", table)]


def _other_entity(table: str, found: Mapping[str, str], entity: Entity) -> Iterator[Finding]:
    """Say in what *table* was made for another entity than *entity* is now."""
    now = json.loads(entity.identity)
    try:
        before = dict(json.loads(found.get(layout.IDENTITY) or "{}"))
    except (ValueError, TypeError):
        said = f"{layout.IDENTITY} is not JSON of an entity: {found[layout.IDENTITY]}"
        cure = "somebody changed it: set it again to what the entity's other tables say"
        yield fail("properties", said, cure, table)
        return
    for key, value in before.items():
        if value != now.get(key):
            error = TableError(
                "ENTITY_CONFLICT", key=key, entity=entity.name, before=value, now=now.get(key)
            )
            yield of("properties", error, table)


def strangers(lake: Path, names: Sequence[str]) -> Iterator[Finding]:
    """Name the tables and checkpoints that belong to none of the entities *names*."""
    tables = [path.parent for layer in LAYERS for path in lake.glob(f"{layer}/*/_delta_log")]
    found = {f"{path.parent.name}.{path.name.removesuffix('_decisions')}" for path in tables}
    found |= {path.name for path in lake.glob("_checkpoints/*.*")}
    for stream in sorted(found):
        if stream.partition(".")[2] not in names:
            yield warn(
                "entities",
                "it is in the lake, and no entity of the configuration has that name",
                "put the entity's folder back; what is no longer wanted can be archived, tables"
                " together with their checkpoints",
                stream,
            )
