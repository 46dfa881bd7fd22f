"""`lakehouse audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.audit.commits import Commit
    from lakehouse.proof.verify import Verification
    from lakehouse.settings import LakeSettings

LAYERS = ("bronze", "silver", "quarantine")


@click.group()
def audit() -> None:
    """Show what each commit said, and prove that the tables hold it."""


@audit.command()
@click.argument("table", required=False)
@click.option(
    "--version", type=click.IntRange(0), help="All that is known of this version of TABLE."
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Newest first."
)
@json_option
@click.pass_context
def log(
    ctx: click.Context, table: str | None, version: int | None, limit: int, *, as_json: bool
) -> None:
    """Show the commits of TABLE, such as silver.matches, or of every table: one line each.

    What the table's own log no longer has comes from its audit trail. Needs no Spark.

    Example: `lakehouse audit log silver.matches --version 12`

    JSON: `{TABLE: [{version, at, operation, stream, batch_id, positions, rows, expectations,
    unexpected, resumed, verb, by, note, code, rules, metrics}]}`; with --version one of these, and
    `record` and `validation`.
    """
    from lakehouse import entities
    from lakehouse.config import load
    from lakehouse.errors import TableError
    from lakehouse.reading.trail import trail

    config = load(ctx.obj["conf"], ctx.obj["env"])
    names = [one.name for one in entities.load_all(ctx.obj["conf"])]
    known = [f"{layer}.{name}" for name in names for layer in LAYERS]
    if table is not None and table not in known:
        raise click.BadParameter(f"'{table}' is not a table; there are {', '.join(known)}")
    if version is not None:
        _show_version(config.lake, table, version, as_json=as_json)
        return
    found: dict[str, list[Commit]] = {}
    for name in known if table is None else [table]:
        try:
            found[name] = trail(config.lake, name)[: -limit - 1 : -1]
        except TableError:
            if table is not None:
                raise
    said = {name: [facts(one) for one in commits] for name, commits in found.items()}
    lines = [line for name, commits in found.items() for line in (name, *map(_line, commits))]
    show(said, "\n".join(lines) or "there is no table yet", as_json=as_json)


def _show_version(lake: LakeSettings, table: str | None, version: int, *, as_json: bool) -> None:
    from lakehouse.log import escaped
    from lakehouse.reading.trail import trail, validations

    if table is None:
        raise click.UsageError("name the TABLE whose version is meant")
    commit = next((one for one in trail(lake, table) if one.version == version), None)
    if commit is None:
        raise click.BadParameter(f"{table} has no version {version}", param_hint="--version")
    checked = validations(lake, table, version)
    said = {**facts(commit), "record": commit.facts, "validation": checked}
    lines = [_line(commit), *_more(commit)]
    rules = (commit.facts.get("expectations") or {}).get("rules") or {}
    lines += [rule(name, one) for name, one in rules.items()]
    lines += [
        f"  {row['severity']:<8} {verdict(row['success']):<6} {row['rule']}: {row['observed']}"
        for row in checked
    ]
    show(said, "\n".join(map(escaped, lines)), as_json=as_json)


def _more(commit: Commit) -> list[str]:
    """Return what a line has no room for: every range, every reason, and who resumed."""
    said = commit.facts
    reasons = (said.get("rows") or {}).get("reasons") or {}
    lines = [f"  {r.topic}:{r.partition}:{r.min}-{r.max}  {r.count} rows" for r in commit.ranges]
    lines += [f"  {rows} refused as {code}" for code, rows in reasons.items()]
    if by := said.get("by"):
        lines.append(f"  {said['verb']} by {by}" + (f": {said['note']}" if said["note"] else ""))
    if resumed := said.get("resumed"):
        lines.append(f"  resumed by {resumed['by']} at {resumed['at']}: {resumed['why']}")
    return lines


def rule(name: str, one: dict[str, Any]) -> str:
    """Return the line that tells what a batch's rows said of one expectation."""
    said = f"{one['unexpected']} of {one['judged']} unexpected"
    return f"  {one['severity']:<8} {verdict(one['success']):<6} {name}: {said}"


def verdict(success: bool | None) -> str:  # noqa: FBT001 - GX's own value
    """Return GX's verdict as people read it; None stands for what GX could not evaluate."""
    return {True: "met", False: "FAILED", None: "ERROR"}[success]


def facts(commit: Commit) -> dict[str, Any]:
    """Return what *commit* says, as JSON has it."""
    said = commit.facts
    rules = (said.get("expectations") or {}).get("rules") or {}
    return {
        "version": commit.version,
        "at": commit.committed_at.isoformat(),
        "operation": commit.operation,
        "stream": said.get("stream"),
        "batch_id": commit.batch_id,
        "positions": [vars(one) for one in commit.ranges],
        "rows": said.get("rows") or {"landed": commit.rows_added},
        "expectations": {name: one["success"] for name, one in rules.items()},
        "unexpected": {name: one["unexpected"] for name, one in rules.items() if one["unexpected"]},
        "resumed": said.get("resumed"),
        **{name: said.get(name) for name in ("verb", "by", "note")},
        "code": said.get("code"),
        "rules": said.get("rules"),
        "metrics": commit.metrics,
    }


def work(commit: Commit) -> str:
    """Return what made *commit*, as people read it: a batch, or a verb that somebody gave."""
    number = "" if commit.batch_id is None else str(commit.batch_id)
    if verb := commit.facts.get("verb"):
        return f"{verb} {number}".rstrip()
    return f"batch {number}" if number and commit.facts else ""


def told(commit: Commit) -> str:
    """Return what became of the rows of *commit*, as people read it."""
    if rows := commit.facts.get("rows"):
        return f"{rows['valid']} valid, {rows['quarantined']} refused"
    return f"{commit.rows_added or 0} rows"


def _line(commit: Commit) -> str:
    said = commit.facts
    places = " ".join(f"{one.partition}:{one.min}-{one.max}" for one in commit.ranges[:4])
    more = f" +{len(commit.ranges) - 4}" if len(commit.ranges) > 4 else ""
    met = facts(commit)["expectations"]
    held = f"{sum(met.values())}/{len(met)} met" if met else ""
    made = " ".join(filter(None, (said.get("code"), said.get("rules"))))
    parts = (
        f"{commit.version:>6}",
        commit.committed_at.isoformat(timespec="seconds").removesuffix("+00:00") + "Z",
        f"{commit.operation:<17}",
        f"{work(commit):<9}",
        f"{told(commit):<24}",
        f"{held:<10}",
        f"{places}{more}",
        made,
    )
    return "  ".join(parts).rstrip()


@audit.command()
@click.option("--entity", "names", multiple=True, metavar="NAME", help="Only this one; repeatable.")
@json_option
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...], *, as_json: bool) -> None:
    """Prove that every message has exactly one fate, and that every commit says what is so.

    Each message is judged again under the rules of its batch, and all rows of silver and
    quarantine, all counts and all ranges are compared. Ends with 1, and says each difference,
    where something is not as it is said to be. An entity of which nothing has landed yet is left
    out, unless it is named. Safe beside running streams.

    Example: `lakehouse audit verify --entity matches`

    JSON: `{holds, entities: {ENTITY: {holds, bronze, FATE: messages, differences, counted_twice,
    seconds, streams_seconds}}}`.
    """
    from lakehouse import entities
    from lakehouse import log as logs
    from lakehouse.config import load

    config = load(ctx.obj["conf"], ctx.obj["env"])
    logs.set_up(level=config.log.level, style=config.log.format)
    chosen = entities.load_all(ctx.obj["conf"], names)

    from lakehouse import session
    from lakehouse.proof.verify import verify as verified
    from lakehouse.run import Run

    spark = session.start(config)
    try:
        lake = Run(config).lake
        begun = [one for one in chosen if lake.table("bronze", one.name).exists(spark)]
        # What was named is looked at in any case, as all is where there is nothing at all.
        wanted = chosen if names else begun or chosen
        found = {one.name: verified(spark, one, lake) for one in wanted}
    finally:
        session.stop(spark)
    holds = all(one.holds for one in found.values())
    facts = {
        "holds": holds,
        "entities": {name: _verified(one) for name, one in found.items()},
    }
    lines = [line for name, one in found.items() for line in _report(name, one)]
    lines += [f"{one.name}: nothing has landed yet" for one in chosen if one.name not in found]
    show(facts, "\n".join(lines), as_json=as_json)
    if not holds:
        ctx.exit(1)


def _verified(one: Verification) -> dict[str, Any]:
    return {
        "holds": one.holds,
        "bronze": one.proof.bronze,
        **{str(fate): n for fate, n in one.proof.counts.items()},
        "differences": one.differences,
        "counted_twice": one.counted_twice,
        "seconds": round(one.seconds, 2),
        "streams_seconds": round(one.streamed, 2),
    }


def _report(name: str, one: Verification) -> list[str]:
    counts = one.proof.counts
    fates = " + ".join(f"{n} {fate}" for fate, n in counts.items() if n) or "no message"
    ratio = f", {one.seconds / one.streamed:.2f} of it" if one.streamed else ""
    took = f"verified in {one.seconds:.1f} s; the streams took {one.streamed:.1f} s{ratio}"
    lines = [f"{name}: {one.proof.bronze} in bronze = {fates}", f"  {took}"]
    lines += [f"  counted twice by a retry of Spark: {said}" for said in one.counted_twice]
    lines += [f"  DIFFERENCE {said}" for said in one.differences]
    return [*lines, f"  {'holds' if one.holds else f'{len(one.differences)} differences'}"]
