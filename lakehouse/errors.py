"""Every error this product raises on purpose.

    LakehouseError            what happened, why, and what to do
    ├── ConfigError        2  a setting, an entity or a command line is wrong
    ├── SourceError        3  Kafka does not answer, or no longer holds what was promised
    ├── TableError         4  a table or its checkpoint is not what the stream left behind
    ├── ExpectationError   5  the tables do not hold what they must
    └── MachineError       6  this machine lacks something: Java, jars, a port, a lock

An error has a stable `code` and parameters; its three lines are made from both, so wording can
improve without breaking anyone who tests for a code. A corrupt message is not an error: it is
data with a reason (see `quarantine.reasons`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Message(NamedTuple):
    """The three lines a person reads."""

    what: str
    why: str
    cure: str


def first_line(error: Exception) -> str:
    """Return what *error* says first: engines add plans and traces below it."""
    return str(error).strip().partition("\n")[0]


class LakehouseError(Exception):
    """Something known went wrong; `code` says what, `params` say with which values."""

    exit_code: ClassVar[int] = 1
    catalogue: ClassVar[dict[str, Message]] = {}

    def __init__(self, code: str, *, retryable: bool = False, **params: object) -> None:
        self.code = code
        self.params = params
        self.retryable = retryable
        self.message = Message(*(line.format(**params) for line in self.catalogue[code]))
        super().__init__(f"[{code}] {self.message.what}")

    def __reduce__(self) -> tuple[Callable[..., LakehouseError], tuple[object, ...]]:
        """Have another process raise the same: its three lines are made anew, not copied."""
        return _again, (type(self), self.code, {"retryable": self.retryable, **self.params})


def to_facts(error: LakehouseError) -> dict[str, Any]:
    """Return *error* as JSON has it, for another process to raise."""
    values = {
        name: value if isinstance(value, int | float) else str(value)
        for name, value in error.params.items()
    }
    return {"type": type(error).__name__, "code": error.code, "params": values}


def from_facts(facts: dict[str, Any]) -> LakehouseError:
    """Return the error that another process told by `to_facts`."""
    kinds = {kind.__name__: kind for kind in LakehouseError.__subclasses__()}
    return _again(kinds[facts["type"]], facts["code"], facts["params"])


def _again(kind: type[LakehouseError], code: str, values: dict[str, Any]) -> LakehouseError:
    return kind(code, **values)


class ConfigError(LakehouseError):
    """A configuration file, an environment variable or an option holds something unusable."""

    exit_code = 2
    catalogue: ClassVar[dict[str, Message]] = {
        "FILE_MISSING": Message(
            "{file} is missing",
            "{purpose}",
            "create it, or name the right folder with --conf; "
            "`lakehouse init DIR` makes a project that has all of it",
        ),
        "FILE_UNREADABLE": Message(
            "{file} cannot be read",
            "{reason}",
            "mend the file; `lakehouse check` tells when it is sound",
        ),
        "UNKNOWN_KEY": Message(
            "{file}: unknown key '{key}'",
            "{nearest}",
            "correct the name; conf/lakehouse.toml lists every setting",
        ),
        "BAD_VALUE": Message(
            "{file}: '{key}' cannot be {value}",
            "{reason}",
            "correct the value; conf/lakehouse.toml explains each setting",
        ),
        "SECRET_IN_FILE": Message(
            "{file}: '{key}' holds a secret",
            "secrets are read from the environment only, so that none is ever committed",
            "remove it from the file and export {variable} instead",
        ),
        "UNKNOWN_ENTITY": Message(
            "there is no entity '{name}'",
            "the folders under {folder} are the entities: {known}",
            "correct --entity, or add the folder",
        ),
        "UNKNOWN_TABLE": Message(
            "there is no table '{name}'",
            "tables are named LAYER.ENTITY, such as silver.matches; {nearest}",
            "correct the name",
        ),
        "BAD_TIME": Message(
            "'{text}' is not a time",
            "times are written as 2026-01-31, 2026-01-31 10:00 or 2026-01-31T10:00:00.000+01:00; "
            "without a zone they are UTC",
            "correct it",
        ),
        "BAD_POSITION": Message(
            "'{text}' is not the position of a message",
            "a position is TOPIC:PARTITION:OFFSET, such as esports-matches:3:51",
            "correct it; to trace a key, write its entity first: `lakehouse trace ENTITY KEY`",
        ),
        "UNKNOWN_TOPIC": Message(
            "no entity has the topic '{topic}'",
            "the topics of the entities are {known}",
            "correct it",
        ),
        "BAD_KEY": Message(
            "{key} cannot be a key of {entity}",
            "{reason}",
            "give a value for each column of the key, in this order",
        ),
        "BAD_QUERY": Message(
            "the query cannot be answered",
            "{reason}",
            "correct it: one SELECT over tables such as silver.matches, whose columns "
            "`lakehouse schema TABLE` shows",
        ),
        "BAD_SUITE": Message(
            "{file} is not a suite of expectations",
            "{reason}",
            "write it as Great Expectations writes its suites, or remove the file",
        ),
        "BAD_EXPECTATION": Message(
            "{file}: expectation {number} ({expectation}) is not usable",
            "{reason}",
            "mend it; docs/expectations.md lists what each type becomes",
        ),
        "EXPECTATION_ERRORED": Message(
            "expectation {rule} of {table} could not be evaluated",
            "{reason}",
            "mend the expectation; an error is neither a success nor a failure of the data",
        ),
        "BAD_SCHEMA": Message(
            "{file}: the schema is not usable",
            "{reason}",
            "correct the DDL; `lakehouse check` tells when it is sound",
        ),
        "RESERVED_COLUMN": Message(
            "{file}: column '{column}' is reserved",
            "names that begin with _ belong to the columns this product adds",
            "rename the column, in messages too",
        ),
        "BAD_EXPRESSION": Message(
            "{file}: derived column '{column}' is not usable",
            "{reason}",
            "correct the expression; it may use the schema's columns and deterministic functions",
        ),
        "LAKE_NOT_EMPTY": Message(
            "the demo's lake {root} is not empty",
            "the demo proves its own sums, so it needs a lake of its own and deletes none",
            "name an empty or absent folder in LAKEHOUSE__LAKE__ROOT, or unset it",
        ),
        "FOLDER_UNWRITABLE": Message(
            "no project can be made in {folder}",
            "{reason}",
            "name another folder, or mend its owner and permissions; what is there was not changed",
        ),
        "BAD_OPTION": Message(
            "option '{key}' is refused",
            "{reason}",
            "remove it: from [kafka.options], or from --set",
        ),
    }


class SourceError(LakehouseError):
    """Kafka does not answer, or does not hold what the stream was promised."""

    exit_code = 3
    catalogue: ClassVar[dict[str, Message]] = {
        "BROKER_UNREACHABLE": Message(
            "Kafka at {bootstrap} does not answer",
            "{reason}",
            "start the broker (here: `lakehouse broker start`) or correct kafka.bootstrap",
        ),
        "BROKER_REFUSED": Message(
            "Kafka at {bootstrap} refused the connection",
            "{reason}",
            "check the security settings under [kafka.options] and the secrets in the environment",
        ),
        "TOPIC_MISSING": Message(
            "topic '{topic}' does not exist on {bootstrap}",
            "streams never create topics",
            "create it, such as with `kafka-topics.sh --create`; or correct `topic` in "
            "entity.toml; or remove the folder of an entity that you do not need",
        ),
        "TOPIC_RECREATED": Message(
            "topic '{topic}' is not the topic this table was filled from",
            "its id was {before} and is now {now}: offsets repeat after a topic is created again",
            "start a new lake for the new topic",
        ),
        "OFFSETS_LOST": Message(
            "records that {stream} had yet to read are gone from Kafka: {range}",
            "{reason}",
            "restore the records, or start a new lake; nothing was skipped in silence",
        ),
    }


class TableError(LakehouseError):
    """A table, its schema or its checkpoint is not what the stream left behind."""

    exit_code = 4
    catalogue: ClassVar[dict[str, Message]] = {
        "ROOT_UNWRITABLE": Message(
            "the lake root {root} cannot be written",
            "{reason}",
            "correct lake.root, or the folder's owner and permissions",
        ),
        "TABLE_MISSING": Message(
            "table {table} does not exist at {path}",
            "{reason}",
            "{cure}",
        ),
        "TABLE_UNREADABLE": Message(
            "{table} cannot be read",
            "{reason}",
            "run the command again; if it stays so, look at the file that the second line names",
        ),
        "LAYOUT_UNKNOWN": Message(
            "table {table} has layout {found}, this version of lakehouse writes layout {expected}",
            "another version of lakehouse made it",
            "run the version that made it, or start a new lake",
        ),
        "SCHEMA_CONFLICT": Message(
            "table {table} does not fit the entity: {difference}",
            "a stream only ever adds nullable columns to its table",
            "undo the change; silver can be derived anew with it: "
            "`lakehouse rebuild silver {entity} --apply`",
        ),
        "VERSION_GONE": Message(
            "{table} has no version {version} that can be read",
            "versions {oldest} ({since}) to {newest} can: {reason}",
            "name one of those; `lakehouse history {table}` lists them",
        ),
        "VACUUM_REFUSED": Message(
            "{table} was not vacuumed",
            "{reason}",
            "start that stream first, and let it catch up; or lengthen lake.time_travel",
        ),
        "ENTITY_CONFLICT": Message(
            "{key} of entity '{entity}' changed from {before} to {now}",
            "the silver table was built with the former one, and rows would no longer meet",
            "undo the change, or derive silver anew with it: "
            "`lakehouse rebuild silver {entity} --apply`; "
            "with another topic, start a new lake",
        ),
        "CHECKPOINT_MISMATCH": Message(
            "the checkpoint of {stream} and its table disagree: {difference}",
            "the checkpoint was deleted, restored from an older copy, or belongs to another table",
            "put back the one that belongs to the other ({path}), or start a new lake",
        ),
        "BRONZE_LOG_GONE": Message(
            "{stream} cannot go on: {table} no longer has its log from version {version} on",
            "the stream was down for longer than lake.time_travel, and Delta keeps the log no "
            "longer; the oldest version it still has is {oldest}. Bronze holds every message",
            "move these folders of the lake aside and start again, which derives silver afresh: "
            "{folders}",
        ),
        "KEYS_CHANGED": Message(
            "rows of {table} cannot be paired: its key {key} is {before} in one of the versions "
            "and {after} in the other",
            "a rebuild gave the table other keys in between",
            "compare versions on one side of it; `lakehouse history {table}` shows where it was",
        ),
        "BATCH_UNFINISHED": Message(
            "batch {batch_id} of {stream} is in quarantine and not yet in silver",
            "its stream was killed in between, and finishes it at its next start",
            "run `lakehouse start silver --once` with the rules as they were, then this again",
        ),
        "RULES_UNAVAILABLE": Message(
            "rules {rules}, which a batch was judged by, cannot be applied",
            "{reason}",
            "put back the lake's _rules folder, or use the version of lakehouse that wrote them",
        ),
        "STREAM_FAILED": Message(
            "{stream} failed: {error_class}",
            "{reason}",
            "the trace is in the log; restart the stream once the cause is mended",
        ),
    }


class ExpectationError(LakehouseError):
    """The tables do not hold what they must: they do not add up, or the data is not as expected."""

    exit_code = 5
    catalogue: ClassVar[dict[str, Message]] = {
        "NOT_PROVEN": Message(
            "{count} messages of {entity} have no provable fate",
            "{differences}",
            "keep the lake as it is and look at the positions named above",
        ),
        "EXPECTATIONS_FAILED": Message(
            "{table} version {version} does not meet its suite",
            "{rules}",
            "look at what was observed above; `lakehouse audit log {table}` shows since when",
        ),
        "BREAKER_TRIPPED": Message(
            "{stream} stopped before batch {batch_id}: {percent} % would be quarantined",
            "of the last {read} messages {refused}, and breaker.share allows {limit} % ({at}); "
            "in this batch: {reasons}",
            "mend the producer or the rules, then run `lakehouse resume {stream} --why REASON`",
        ),
    }


class MachineError(LakehouseError):
    """This machine lacks something the command needs: Java, jars, a port, a lock."""

    exit_code = 6
    catalogue: ClassVar[dict[str, Message]] = {
        "JAVA_MISSING": Message(
            "no usable Java was found",
            "{reason}",
            "install Java 17 or newer and set JAVA_HOME, or put java on the PATH",
        ),
        "SPARK_FAILED": Message(
            "Spark did not start",
            "{reason}",
            "look at the log ({log}) and at the [spark] settings, such as driver_memory",
        ),
        "SPARK_TAKEN": Message(
            "the Spark session of this process cannot show the lake",
            "{reason}",
            "stop it first, by spark.stop(), or use another process",
        ),
        "JARS_UNSOUND": Message(
            "{count} of the {group} jars in {folder} cannot be used",
            "{reasons}",
            "run `lakehouse jars fetch`",
        ),
        "JARS_UNFETCHABLE": Message(
            "the {group} jars could not be fetched",
            "{reason}",
            "check the network and any repository mirror in ~/.ivy2, then run the command again",
        ),
        "ARCHIVE_FAILED": Message(
            "no archive of classes came to be at {path}",
            "{reason}",
            "look for room on that disk and who may write there, then run the command again; "
            "nothing rests on it but the time that a start takes",
        ),
        "STREAM_OWNED": Message(
            "{stream} is already running: pid {pid} on {host} since {since}",
            "each stream has one owner, because two writers can both win a commit",
            "stop it with `lakehouse stop {stream}`, or leave it running",
        ),
        "NO_ANSWER": Message(
            "{stream} (pid {pid}) did not answer within {seconds} s",
            "it is finishing a batch, or another request; this one {state}",
            "wait and ask again with a longer --timeout, or send the process SIGTERM twice",
        ),
        "OWNER_GONE": Message(
            "the process that had {stream} ended before it did the {verb}",
            "the request {state}",
            "give the command again: what is done already is not done twice",
        ),
        "REQUEST_REFUSED": Message(
            "the owner of {stream} did not {verb} it",
            "{why}",
            "ask again with the version of lakehouse that runs the stream",
        ),
        "PACKAGE_MISSING": Message(
            "{package} is not installed here",
            "{reason}",
            "install it, or all that notebooks use: pip install 'lakehouse[notebooks]'",
        ),
        "QUERY_STOPPED": Message(
            "the query was stopped",
            "{reason}",
            "ask for less, such as fewer columns or a WHERE; or allow more time with --timeout",
        ),
        "BROKER_RUNNING": Message(
            "a broker is already running: pid {pid} at {bootstrap}",
            "one data folder serves one broker",
            "stop it with `lakehouse broker stop`, or name another folder with --data",
        ),
        "BROKER_FAILED": Message(
            "the broker did not start",
            "{reason}",
            "look at {log}",
        ),
    }
