"""The quarantine of an entity: refused messages, why, and what was decided since. No JVM.

The status of a message is that of the last decision that stands, and open without one: see
`lakehouse.reading.decisions`. What is released stays in the table, which is append-only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakehouse.reading.decisions import (
    ATTEMPTS,
    OPEN,
    SETTLED,
    STATUSES,
    Decided,
    Decision,
    beside,
    decisions,
    standing,
)
from lakehouse.reading.positions import COLUMNS, Position, among
from lakehouse.reading.rows import ask, opened, streamed
from lakehouse.reading.sql import literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from deltalake import DeltaTable

    from lakehouse.reading.rows import Located

PLACE = 'topic, topic_id, "partition", "offset"'
SAME = " AND ".join(
    f'(x."{name}" IS NOT DISTINCT FROM q."{name}")'
    if name == "topic_id"
    else f'x."{name}" = q."{name}"'
    for name in COLUMNS
)
STANDS = f'(x."at" >= q._quarantined_at OR x.decision = {literal(Decided.DISCARDED)})'
DECIDED = f"""
    SELECT {PLACE}, last_value(decision ORDER BY "at", request_id) AS status,
           count(DISTINCT CASE WHEN decision IN ({", ".join(map(literal, ATTEMPTS))})
                          THEN request_id END) AS attempts
    FROM (SELECT x.* FROM d AS x JOIN q ON {SAME} AND {STANDS}) GROUP BY {PLACE}
"""  # noqa: S608 - names of ours
# Before the first decision there is no table of them.
UNDECIDED = f"SELECT {PLACE}, '' AS status, 0 AS attempts FROM q WHERE FALSE"  # noqa: S608 - as above
NEWEST_FIRST = f"_quarantined_at DESC, {PLACE}"


@dataclass(frozen=True)
class Wanted:
    """Which refused messages are meant: those that meet each condition that is given.

    Of `reasons`, `rules` and `statuses` one has to fit. Times are those of the refusal: `since`
    included, `until` not. Offsets include both ends.
    """

    reasons: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    partition: int | None = None
    offsets: tuple[int, int] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What is wanted, as a request has it in JSON: only what is given."""
        given = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return {n: v.isoformat() if isinstance(v, datetime) else v for n, v in given.items()}

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Wanted:
        """Return what the *facts* of a request say is wanted."""
        texts = {name: facts[name] for name in ("since", "until") if name in facts}
        times = {name: datetime.fromisoformat(text) for name, text in texts.items()}
        lists = {name: tuple(v) for name, v in facts.items() if isinstance(v, list | tuple)}
        return cls(**{**facts, **lists, **times})


@dataclass(frozen=True)
class Desk:
    """The quarantine of *entity* and the decisions on it, each at one version."""

    entity: str
    quarantine: DeltaTable | None
    decided: DeltaTable | None


@dataclass(frozen=True)
class Refused:
    """A refused message: the row of quarantine, and the decisions on it, the oldest first."""

    entity: str
    row: dict[str, Any]
    decisions: tuple[Decision, ...]

    @property
    def position(self) -> Position:
        """Where the message lies in Kafka."""
        return Position.of(self.row)

    @property
    def standing(self) -> list[Decision]:
        """The decisions that stand: those on this refusal, and not on one that a rebuild undid."""
        return standing(self.decisions, self.row["_quarantined_at"])


@dataclass(frozen=True)
class Stats:
    """How many messages are refused: by status, reason, rule and day of the refusal.

    A message with two reasons counts under both. Beside all of them those are given that are
    `unsettled`: neither released nor discarded.
    """

    entity: str
    total: int
    statuses: dict[str, int]
    reasons: tuple[dict[str, Any], ...]
    rules: tuple[dict[str, Any], ...]
    days: tuple[dict[str, Any], ...]


def desk(lake: Located, entity: str) -> Desk:
    """Return the quarantine of *entity* as it is now; of one that has none, an empty one."""
    # Decisions last: a message was refused before it was decided about.
    return Desk(entity, opened(lake, "quarantine", entity), beside(lake, entity))


def count(at: Desk, wanted: Wanted) -> int:
    """Return how many refused messages are *wanted*."""
    rows = _ask(at, f"{_hits(at, wanted)} SELECT count(*) AS n FROM hits")  # noqa: S608 - literals
    return int(rows[0]["n"]) if rows else 0


def depth(at: Desk) -> int | None:
    """Return how many messages are neither released nor discarded; None without a table.

    Those that were refused again are among them. No rows are read before the first decision.
    """
    if at.quarantine is None or at.decided is None:
        return None if at.quarantine is None else int(at.quarantine.count())
    return count(at, Wanted(statuses=tuple(one for one in STATUSES if one not in SETTLED)))


def page(at: Desk, wanted: Wanted, most: int) -> list[Refused]:
    """Return the newest *most* messages that are *wanted*, the last refused first."""
    columns = f"{PLACE}, _quarantined_at"
    rows = _ask(
        at,
        f"{_hits(at, wanted)} SELECT {columns} FROM hits ORDER BY {NEWEST_FIRST} LIMIT {most}",  # noqa: S608 - literals
    )
    return find(at, [Position.of(row) for row in rows])


def find(at: Desk, places: Sequence[Position]) -> list[Refused]:
    """Return the refused messages at *places*, in their order; those that there are."""
    where = among(places)
    rows = ask(f"SELECT * FROM q WHERE {where}", q=at.quarantine)  # noqa: S608 - numbers
    by = {Position.of(row): row for row in rows}
    said = decisions(at.decided, where)
    return [Refused(at.entity, by[p], tuple(said.get(p, ()))) for p in places if p in by]


def at_position(at: Desk, place: Position) -> list[Refused]:
    """Return the refused messages at *place*, of whatever topic id."""
    where = f"{among([place])} AND topic = {literal(place.topic)}"
    rows = ask(f"SELECT {PLACE} FROM q WHERE {where}", q=at.quarantine)  # noqa: S608 - literals
    return find(at, [Position.of(row) for row in rows])


def stats(at: Desk, wanted: Wanted) -> Stats:
    """Return how many messages that are *wanted* are refused, and for what."""
    hits = _hits(at, wanted)
    said = statuses(at, wanted)
    days = _ask(
        at,
        f"{hits} SELECT CAST(date_trunc('day', _quarantined_at) AS DATE) AS day, "  # noqa: S608
        "count(*) AS messages FROM hits GROUP BY 1 ORDER BY 1",
    )
    codes, rules = reasons(at, wanted), _told(at, hits, "rule")
    return Stats(at.entity, sum(said.values()), said, codes, rules, tuple(days))


def statuses(at: Desk, wanted: Wanted) -> dict[str, int]:
    """Return how many messages that are *wanted* have each status, the most frequent first."""
    rows = _ask(
        at,
        f"{_hits(at, wanted)} SELECT status, count(*) AS n FROM hits GROUP BY 1 ORDER BY 2 DESC, 1",  # noqa: S608
    )
    return {row["status"]: int(row["n"]) for row in rows}


def reasons(at: Desk, wanted: Wanted) -> tuple[dict[str, Any], ...]:
    """Return how many messages that are *wanted* have each reason: code, messages, unsettled.

    A message with two reasons counts under both.
    """
    return _told(at, _hits(at, wanted), "code")


def export(at: Desk, wanted: Wanted) -> tuple[pa.Schema, Iterator[pa.RecordBatch]] | None:
    """Return the messages that are *wanted*, by position, a batch at a time; None without a table.

    Columns: those of the table, then status and attempts.
    """
    tables = _tables(at)
    if not tables:
        return None
    return streamed(f"{_hits(at, wanted)} SELECT * FROM hits ORDER BY {PLACE}", **tables)  # noqa: S608 - literals


def _told(at: Desk, hits: str, name: str) -> tuple[dict[str, Any], ...]:
    """Return how many messages have each *name*, code or rule, among their reasons."""
    settled = ", ".join(map(literal, SETTLED))
    rows = _ask(
        at,
        f"{hits}, told AS (SELECT DISTINCT {PLACE}, status, r['{name}'] AS told "  # noqa: S608
        f"FROM (SELECT {PLACE}, status, unnest(reasons) AS r FROM hits)) "
        f"SELECT told AS {name}, count(*) AS messages, "
        f"count(*) FILTER (WHERE status NOT IN ({settled})) AS unsettled FROM told "
        "WHERE told IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1",
    )
    return tuple(rows)


def _ask(at: Desk, sql: str) -> list[dict[str, Any]]:
    tables = _tables(at)
    return ask(sql, **tables) if tables else []


def _tables(at: Desk) -> dict[str, DeltaTable]:
    """Return the tables by their names in SQL; none of them without a quarantine."""
    if at.quarantine is None:
        return {}
    return {"q": at.quarantine, **({} if at.decided is None else {"d": at.decided})}


def _hits(at: Desk, wanted: Wanted) -> str:
    """Return the SQL that names the *wanted* rows, with status and attempts, `hits`."""
    decided = UNDECIDED if at.decided is None else DECIDED
    told = [
        f"(SELECT DISTINCT {PLACE} FROM (SELECT {PLACE}, unnest(reasons) AS r FROM q) "  # noqa: S608
        f"WHERE r['{name}'] IN ({', '.join(map(literal, values))}))"
        for name, values in (("code", wanted.reasons), ("rule", wanted.rules))
        if values
    ]
    joined = " ".join(f"LEFT SEMI JOIN {one} AS x ON {SAME}" for one in told)
    where = " AND ".join(_conditions(wanted)) or "TRUE"
    status = ", ".join(map(literal, wanted.statuses))
    kept = f"WHERE status IN ({status})" if status else ""
    return (
        f"WITH decided AS ({decided}), picked AS (SELECT q.* FROM q {joined} WHERE {where}), "  # noqa: S608
        f"every AS (SELECT q.*, coalesce(x.status, '{OPEN}') AS status, "
        f"coalesce(x.attempts, 0) AS attempts FROM picked AS q LEFT JOIN decided AS x ON {SAME}), "
        f"hits AS (SELECT * FROM every {kept})"
    )


def _conditions(wanted: Wanted) -> list[str]:
    found = []
    if wanted.partition is not None:
        found.append(f'q."partition" = {wanted.partition}')
    if wanted.offsets:
        found.append(f'q."offset" BETWEEN {wanted.offsets[0]} AND {wanted.offsets[1]}')
    if wanted.since:
        found.append(f"q._quarantined_at >= {literal(wanted.since)}")
    if wanted.until:
        found.append(f"q._quarantined_at < {literal(wanted.until)}")
    return found
