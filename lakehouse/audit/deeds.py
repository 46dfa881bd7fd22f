"""What the owner of a silver stream does because a person asked: a commit that is no batch.

A deed has a number, higher than that of any deed before. It is the transaction of each commit that
the deed makes, so that a deed which a kill cut short can be told, and be finished.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from lakehouse import __version__
from lakehouse.audit.records import VERSION, compact, records
from lakehouse.layout import DESK

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.owner import Request
    from lakehouse.tables import Table


@dataclass(frozen=True)
class Deed:
    """What a commit says that the owner of *stream* made because a person asked for it.

    `verb` is what was asked (replay, discard, rebuild), `request` its id, `by` and `note` whose it
    was and why; `number` the transaction, higher than that of any deed before; `rules` those by
    which messages were judged, None where none was; `done` counts what became of them.
    """

    stream: str
    run_id: str
    verb: str
    request: str
    by: str
    note: str | None
    number: int
    rules: str | None
    at: str
    done: dict[str, int]
    code: str = __version__
    v: int = VERSION

    @property
    def checkpoint(self) -> str:
        """The application of its transaction, where a batch has its checkpoint."""
        return DESK

    @property
    def batch_id(self) -> int:
        """The number of its transaction, where a batch has its id."""
        return self.number

    def to_json(self) -> str:
        """Return the record as it stands in the commit."""
        facts = asdict(self)
        return compact({**facts, "checkpoint": DESK, "batch_id": facts.pop("number")})

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Deed:
        """Return the deed that a commit tells of."""
        names = [one.name for one in fields(cls) if one.name != "number"]
        return cls(number=facts["batch_id"], **{name: facts[name] for name in names})


def begun(request: Request, run_id: str, number: int, **facts: Any) -> Deed:
    """Return the deed by which *request* is done, with the rules, the time and the counts given."""
    by, note = request.args["by"], request.args.get("note")
    stream = f"silver.{request.args['entity']}"
    return Deed(stream, run_id, request.verb, request.id, by, note, number, **facts)


def number(spark: SparkSession, table: Table) -> int:
    """Return the number of the last deed that *table* has a commit of; 0 where it has none."""
    return table.transactions(spark).get(DESK, 0) if table.exists(spark) else 0


def last(spark: SparkSession, table: Table) -> Deed | None:
    """Return the last deed of which *table* has a commit, as far as its log reaches back."""
    wanted = number(spark, table)
    for _, facts in reversed(records(spark, table)) if wanted else ():
        if (facts.get("checkpoint"), facts.get("batch_id")) == (DESK, wanted):
            return Deed.of(facts)
    return None
