"""The options by which refused messages are chosen, the same for every command of the desk."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from quarantine.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

# Those of `lakehouse.reading.decisions`, which imports delta-rs: help does without.
STATUSES = ("open", "released", "refused again", "discarded")


class Time(click.ParamType[Any]):
    """A date or a time as ISO 8601 writes it; UTC where it does not say."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time that *value* says."""
        try:
            at = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"'{value}' is no time, such as 2026-01-31 or 2026-01-31T10:00:00Z", param)
        return at if at.tzinfo else at.replace(tzinfo=UTC)


class Offsets(click.ParamType[Any]):
    """A range of offsets, FIRST-LAST with both ends, or one offset."""

    name = "offsets"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return the lowest and the highest offset that *value* says."""
        found = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", str(value))
        if not found or int(found[2] or found[1]) < int(found[1]):
            self.fail(f"'{value}' is no range of offsets, such as 100-200", param)
        return int(found[1]), int(found[2] or found[1])


def filters(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that choose refused messages, as its `names` and `wanted`."""

    @click.option(
        "--entity", "names", multiple=True, metavar="NAME", help="Only this one; repeatable."
    )
    @click.option(
        "--reason", "reasons", multiple=True, type=click.Choice([str(one) for one in Reason]),
        metavar="REASON", help="Refused for this reason; repeatable. `explain` lists them.",
    )  # fmt: skip
    @click.option(
        "--rule", "rules", multiple=True, metavar="RULE",
        help="Refused by this expectation; repeatable.",
    )  # fmt: skip
    @click.option(
        "--status", "statuses", multiple=True, type=click.Choice(STATUSES),
        help="With this status; repeatable.",
    )  # fmt: skip
    @click.option("--since", type=Time(), help="Refused at this time (UTC) or later.")
    @click.option("--until", type=Time(), help="Refused before this time (UTC).")
    @click.option("--partition", type=click.IntRange(0), help="Of this partition of Kafka.")
    @click.option(
        "--offsets", type=Offsets(), metavar="FIRST-LAST", help="With an offset from FIRST to LAST."
    )
    @functools.wraps(command)
    def filtered(
        *args: Any,
        reasons: tuple[str, ...],
        rules: tuple[str, ...],
        statuses: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        partition: int | None,
        offsets: tuple[int, int] | None,
        **more: Any,
    ) -> None:
        from lakehouse.reading.quarantine import Wanted

        wanted = Wanted(reasons, rules, statuses, since, until, partition, offsets)
        command(*args, wanted=wanted, **more)

    return filtered
