"""`lakehouse validate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakehouse.cli.audit import rule, verdict
from lakehouse.cli.output import json_option, show

if TYPE_CHECKING:
    from lakehouse.audit.validation import Validation

SEVERITIES = ("critical", "warning", "info")


@click.command()
@click.argument("table", required=False)
@click.option(
    "--version", type=click.IntRange(0), help="A version of TABLE; the newest if not given."
)
@click.option(
    "--docs",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Build GX Data Docs in this folder.",
)
@click.option(
    "--fail-on", type=click.Choice(SEVERITIES), default="critical", show_default=True,
    help="End with 5 when one of this severity or above fails.",
)  # fmt: skip
@json_option
@click.pass_context
def validate(
    ctx: click.Context,
    table: str | None,
    version: int | None,
    docs: Path | None,
    fail_on: str,
    *,
    as_json: bool,
) -> None:
    """Check a version of TABLE, such as silver.matches, or of every silver table, by its suite.

    Great Expectations runs the expectations of the whole table; what the rows of the version's
    batch said of the others is in its commit, and shown beside. Writes nothing but Data Docs: HTML
    pages whose styles come from outside. An expectation that GX cannot evaluate ends with 2.

    Example: `lakehouse validate silver.matches --version 12 --docs pages`

    JSON: `{TABLE: {version, suite, at, table_expectations: [{rule, severity, meaning, success,
    observed, error, result}], row_expectations: {RULE: {severity, success, rows, judged,
    unexpected}}}}`; `result` is GX's own.
    """
    from lakehouse import entities, log
    from lakehouse.config import load
    from lakehouse.errors import ConfigError, ExpectationError

    config = load(ctx.obj["conf"], ctx.obj["env"])
    log.set_up(level=config.log.level, style=config.log.format)
    layer, _, name = (table or "silver.").partition(".")
    if layer != "silver" or (table and not name):
        raise click.BadParameter(f"'{table}' is not a silver table, such as silver.matches")
    chosen = entities.load_all(ctx.obj["conf"], [name] if name else [])
    if version is not None and not name:
        raise click.UsageError("name the TABLE whose version is meant")

    from lakehouse import session
    from lakehouse.audit import validation
    from lakehouse.reading.rows import opened
    from lakehouse.reading.trail import trail
    from lakehouse.run import Run

    if not name:  # what has not begun is left out, unless nothing has
        begun = [one for one in chosen if opened(config.lake, "silver", one.name)]
        chosen = begun or chosen
    # A table that is missing is said before Spark starts.
    commits = {one.name: trail(config.lake, f"silver.{one.name}") for one in chosen}
    lake, found, rows = Run(config).lake, [], {}
    spark = session.start(config)
    try:
        for one in chosen:
            silver, known = lake.table("silver", one.name), commits[one.name]
            wanted = silver.readable(spark, known[-1].version if version is None else version)
            folder = docs / silver.name if docs else None
            found.append(validation.validate(spark, one, silver, wanted, folder))
            said = next((commit.facts for commit in known if commit.version == wanted), {})
            rows[silver.name] = (said.get("expectations") or {}).get("rules") or {}
    finally:
        session.stop(spark)
    facts = {v.table: _facts(v, rows[v.table]) for v in found}
    lines = [line for v in found for line in _lines(v, rows[v.table])]
    if docs and not any(v.findings for v in found):
        lines.append(f"nothing is written to {docs}: there is no expectation to show")
    show(facts, "\n".join(lines), as_json=as_json)
    for v in found:
        if v.errors:
            one_error = v.errors[0]
            raise ConfigError(
                "EXPECTATION_ERRORED", rule=one_error.rule, table=v.table, reason=one_error.error
            )
        failed = v.failed(*SEVERITIES[: SEVERITIES.index(fail_on) + 1])
        if failed:
            rules = ", ".join(f"{f.rule} ({f.severity})" for f in failed)
            raise ExpectationError(
                "EXPECTATIONS_FAILED", table=v.table, version=v.version, rules=rules
            )


def _facts(v: Validation, rows: dict[str, Any]) -> dict[str, Any]:
    import json

    return {
        "version": v.version,
        "suite": v.suite,
        "at": v.at.isoformat(),
        "table_expectations": [{**vars(f), "result": json.loads(f.result)} for f in v.findings],
        "row_expectations": rows,
    }


def _lines(v: Validation, rows: dict[str, Any]) -> list[str]:
    from lakehouse.log import escaped

    lines = [f"{v.table} version {v.version}, suite {v.suite}"]
    for f in v.findings:
        said = f.error or f"{f.observed}  {f.meaning}"
        lines.append(f"  {f.severity:<8} {verdict(f.success):<6} {f.rule}: {said}")
    if not v.findings:
        lines.append("  its suite has no expectation of the whole table")
    lines.append("  the rows of its batch:" if rows else "  its commit has no verdicts on rows")
    lines += [rule(name, one) for name, one in rows.items()]
    return list(map(escaped, lines))
