"""The record that each commit carries in its `userMetadata`: who wrote it, and from what."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lakehouse import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from lakehouse.tables import Table

VERSION = 1
# Delta reads these from the session for every kind of write, MERGE included.
TRANSACTION = "spark.databricks.delta.write.txnAppId"
TRANSACTION_VERSION = "spark.databricks.delta.write.txnVersion"
USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


@dataclass(frozen=True)
class Range:
    """The Kafka positions that a batch holds of one partition; offsets between may be missing."""

    topic: str
    topic_id: str | None
    partition: int
    min: int
    max: int
    count: int


@dataclass(frozen=True)
class Rows:
    """Rows of a batch by outcome: read = valid + quarantined.

    `reasons` counts, for each reason, the rows that have it; a row with two counts under both.
    """

    read: int
    valid: int
    quarantined: int
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What a batch's rows said of one expectation, in Great Expectations' own words.

    `rows` are those that its row_condition selects, `judged` those of them it does not leave out
    for a NULL, `unexpected` those that do not meet it; `success` is GX's.
    """

    severity: str
    success: bool
    rows: int
    judged: int
    unexpected: int


@dataclass(frozen=True)
class Expectations:
    """What a batch's rows said of a suite, which its fingerprint names; `rules` by name."""

    suite: str
    success: bool
    rules: dict[str, Verdict]


@dataclass(frozen=True)
class Resumed:
    """Who let a batch pass that had tripped the circuit breaker, why and when."""

    by: str
    why: str
    at: str


@dataclass(frozen=True)
class Record:
    """What a commit of silver or quarantine says about itself.

    `source_from` and `source_to` are the Delta source's offsets before and after the batch; `at`
    is when the batch began.
    """

    stream: str
    run_id: str
    checkpoint: str
    batch_id: int
    source_from: str | None
    source_to: str
    ranges: tuple[Range, ...]
    rows: Rows
    rules: str
    at: str
    expectations: Expectations | None = None
    resumed: Resumed | None = None
    code: str = __version__
    v: int = VERSION

    def to_json(self) -> str:
        """Return the record as it stands in the commit."""
        facts = asdict(self)
        source = {
            "from": _json(facts.pop("source_from")),
            "to": _json(facts.pop("source_to")),
            "ranges": facts.pop("ranges"),
        }
        return compact({**facts, "source": source})

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Return the record that a commit holds."""
        facts = json.loads(text)
        source, said = facts.pop("source"), facts.get("expectations")
        if said is not None:
            rules = {name: Verdict(**one) for name, one in said["rules"].items()}
            facts["expectations"] = Expectations(said["suite"], said["success"], rules)
        if facts.get("resumed") is not None:
            facts["resumed"] = Resumed(**facts["resumed"])
        return cls(
            **{
                **facts,
                "source_from": source["from"] and compact(source["from"]),
                "source_to": compact(source["to"]),
                "ranges": tuple(Range(**one) for one in source["ranges"]),
                "rows": Rows(**facts["rows"]),
            }
        )


class Recorded(Protocol):
    """What a commit says of itself, and the transaction that it is: of a batch, or of a deed."""

    @property
    def checkpoint(self) -> str:
        """The application whose transaction it is."""

    @property
    def batch_id(self) -> int:
        """The number of the transaction."""

    def to_json(self) -> str:
        """Return the record as it stands in the commit."""


@contextmanager
def recorded(spark: SparkSession, record: Recorded) -> Iterator[None]:
    """Have each write inside be *record*'s one transaction on its table, and carry it.

    *spark* is the batch's own session, so no other stream inherits the settings, and they never
    outlive the block: a transaction number left behind would make Delta drop later writes.
    """
    settings = {
        TRANSACTION: record.checkpoint,
        TRANSACTION_VERSION: str(record.batch_id),
        USER_METADATA: record.to_json(),
    }
    try:
        for key, value in settings.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key in settings:
            spark.conf.unset(key)


def stream_metadata(stream: str, run_id: str, topic: str, topic_id: str | None) -> str:
    """Return what every commit of a bronze run says; the rest is in the commit's own figures."""
    return _metadata(stream, run_id, topic=topic, topic_id=topic_id)


def upkeep_metadata(stream: str, run_id: str, verb: str) -> str:
    """Return what a commit says that is no batch: what the owner of *stream* did to its table."""
    return _metadata(stream, run_id, verb=verb)


def records(spark: SparkSession, table: Table) -> list[tuple[int, dict[str, Any]]]:
    """Return version and record of each commit of *table* that has one, the oldest first.

    Reaches back as far as the table's own log does.
    """
    from pyspark.sql import functions as F  # here: who only reads records needs no engine

    history = table.delta(spark).history().where(F.col("userMetadata").isNotNull())
    rows = history.select("version", "userMetadata").orderBy("version").collect()
    return [(int(row["version"]), json.loads(row["userMetadata"])) for row in rows]


def _metadata(stream: str, run_id: str, **facts: str | None) -> str:
    own = {"v": VERSION, "stream": stream, "run_id": run_id, "code": __version__}
    return compact({**own, **facts})


def compact(facts: Any) -> str:
    """Return *facts* as they stand in a commit."""
    return json.dumps(facts, separators=(",", ":"))


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
