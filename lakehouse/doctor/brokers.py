"""Kafka, asked as a stream would ask it, by a client that needs no JVM."""

from __future__ import annotations

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid, admin

from lakehouse.doctor.finding import fail, of, ok, warn
from lakehouse.doctor.options import translated
from lakehouse.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lakehouse.doctor.finding import Finding
    from lakehouse.entities import Entity
    from lakehouse.settings import KafkaSettings

# Far beyond what a broker that is there needs, and short enough to wait for one that is not.
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 4.0
# What brokers without ids of topics say: 16 bytes of zeros.
NO_ID = "A" * 22
# As Kafka's own client takes an address, with a protocol before it or without.
ADDRESS = re.compile(r"\s*(?:\w+://)?\[?([0-9a-zA-Z\-%._:]+)\]?:(\d+)\s*")
REFUSALS = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001 - so are the codes of librdkafka's own failures named
    KafkaError._SSL,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}


@dataclass(frozen=True)
class Topic:
    """A topic as the brokers tell of it. `id` is None where they have no ids or do not tell."""

    partitions: int
    leaderless: tuple[int, ...] = ()
    id: str | None = None


@dataclass(frozen=True)
class Answer:
    """What Kafka answered.

    `unreachable` says why, by address: of those in kafka.bootstrap, and of those by which the
    brokers themselves name each other. `topics` is None where the client could not ask: `untried`
    says why.
    """

    brokers: int = 0
    unreachable: Mapping[str, str] = field(default_factory=dict)
    topics: Mapping[str, Topic] | None = None
    untried: str = ""


def asked(settings: KafkaSettings, topics: Sequence[str]) -> Answer:
    """Ask Kafka for its brokers and *topics*, with the stream's own options.

    Creates no topic. Ends within some seconds, whatever the brokers do.

    Raises:
        ConfigError: an option or a file that it names cannot be used.
        SourceError: BROKER_UNREACHABLE or BROKER_REFUSED.
    """
    addresses = [ADDRESS.fullmatch(one) for one in settings.bootstrap.split(",") if one.strip()]
    if not addresses or None in addresses:
        raise ConfigError(
            "BAD_VALUE",
            file="the configuration",
            key="kafka.bootstrap",
            value=repr(settings.bootstrap),
            reason="it is a list of host:port, separated by commas",
        )
    named = [(one[1], int(one[2])) for one in addresses if one]
    away = connected(named)
    if len(away) == len(set(named)):
        raise _unreachable(settings, "; ".join(f"{at}: {why}" for at, why in away.items()))
    options, untried = translated(settings)
    if untried:
        return Answer(unreachable=away, untried=untried)
    return _answer(settings, options, topics, away)


def _answer(
    settings: KafkaSettings, options: dict[str, str], topics: Sequence[str], away: dict[str, str]
) -> Answer:
    errors: list[KafkaError] = []
    quiet: dict[str, Any] = {"error_cb": errors.append, "log_level": 0, "socket.timeout.ms": 4000}
    try:
        client = admin.AdminClient({**options, **quiet})
    except KafkaException as error:
        raise ConfigError(
            "BAD_VALUE",
            file="[kafka.options]",
            key="ssl.*, sasl.*",
            value="what they are",
            reason=error.args[0].str(),
        ) from error
    try:
        # All of them: a topic that is asked for by name, an older broker would create.
        listed = client.list_topics(timeout=ANSWER_SECONDS)
    except KafkaException as error:
        client.poll(0)
        raise failure(settings, errors) from error
    there = {(str(one.host), one.port) for one in listed.brokers.values()}
    found = {name: listed.topics[name] for name in topics if name in listed.topics}
    ids = _ids(client, list(found))
    return Answer(
        brokers=len(there),
        unreachable={**away, **connected(there)},
        topics={
            name: Topic(
                partitions=len(one.partitions),
                leaderless=tuple(p.id for p in one.partitions.values() if p.leader < 0),
                id=ids.get(name),
            )
            for name, one in found.items()
        },
    )


def _ids(client: admin.AdminClient, topics: list[str]) -> dict[str, str]:
    """Return Kafka's own ids of *topics*, as far as the brokers have and tell them."""
    found = {}
    if topics:
        asked = client.describe_topics(TopicCollection(topics), request_timeout=CONNECT_SECONDS)
        for name, future in asked.items():
            with suppress(KafkaException):
                found[name] = topic_id(future.result(timeout=ANSWER_SECONDS).topic_id)
    return {name: own for name, own in found.items() if own is not None}


def topic_id(own: Uuid) -> str | None:
    """Return Kafka's *own* id of a topic as Java writes it, and so bronze; None of all zeros."""
    text = str(own).translate(str.maketrans("+/", "-_"))
    return None if text == NO_ID else text


def connected(addresses: Iterable[tuple[str, int]]) -> dict[str, str]:
    """Return which of *addresses* take no connection, and why; all are tried at once."""
    tried = list(dict.fromkeys(addresses))
    with ThreadPoolExecutor(max_workers=min(len(tried), 16) or 1) as pool:
        whys = list(pool.map(_refusal, tried))
    return {f"{at[0]}:{at[1]}": why for at, why in zip(tried, whys, strict=True) if why}


def _refusal(address: tuple[str, int]) -> str:
    try:
        socket.create_connection(address, timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    except (UnicodeError, OverflowError) as error:  # no name of a host, no number of a port
        return str(error)
    return ""


def failure(settings: KafkaSettings, errors: Sequence[KafkaError]) -> SourceError:
    """Return the error that *errors*, of one attempt at an open port, stand for.

    A refusal tells most, then a lost connection. "All brokers are down" follows from others, and is
    never told.
    """
    # A handshake that fails is of the code of a lost connection, and only the words tell.
    refused = [one for one in errors if one.code() in REFUSALS or "handshake" in one.str().lower()]
    telling = [one for one in errors if one.code() == KafkaError._TRANSPORT]  # noqa: SLF001 - as above
    if refused:
        reason = refused[-1].str()
        return SourceError("BROKER_REFUSED", bootstrap=settings.bootstrap, reason=reason)
    silent = f"it takes connections, and gave no answer within {ANSWER_SECONDS:g} s"
    return _unreachable(settings, telling[-1].str() if telling else silent)


def _unreachable(settings: KafkaSettings, reason: str) -> SourceError:
    return SourceError(
        "BROKER_UNREACHABLE", retryable=True, bootstrap=settings.bootstrap, reason=reason
    )


def broker(settings: KafkaSettings, answer: Answer) -> Iterator[Finding]:
    """Say of the brokers what *answer* says."""
    bootstrap = settings.bootstrap
    if answer.untried:
        said = f"{bootstrap} takes connections; TLS and login were not tried: {answer.untried}"
        cure = "start a stream to see, or give PEM or PKCS12 and its password from the environment"
        yield warn("broker", said, cure)
    elif not answer.unreachable:
        protocol = settings.options.get("security.protocol", "PLAINTEXT")
        yield ok("broker", f"{answer.brokers} at {bootstrap} answer, by {protocol}")
    own = {f"{one[1]}:{one[2]}" for one in map(ADDRESS.fullmatch, bootstrap.split(",")) if one}
    for address, why in answer.unreachable.items():
        if address in own:
            said = f"{address} of kafka.bootstrap takes no connection: {why}"
            yield warn("broker", said, "start it, or take it out of kafka.bootstrap")
        else:
            said = f"{address}, as a broker names itself, takes no connection: {why}"
            cure = "mend its advertised.listeners, or let this machine resolve and reach that name"
            yield fail("broker", said, cure)


def topics(
    settings: KafkaSettings,
    answer: Answer,
    entities: Sequence[Entity],
    filled_from: Mapping[str, str],
) -> Iterator[Finding]:
    """Say of the topic of each of *entities* what *answer* says.

    *filled_from* has Kafka's id of the topic that bronze was filled from, by entity.
    """
    if answer.topics is None:
        cure = "see the line on the broker"
        yield warn("topics", f"not looked at: {answer.untried}", cure)
        return
    for entity in entities:
        topic = answer.topics.get(entity.topic)
        before = filled_from.get(entity.name)
        if topic is None:
            missing = SourceError("TOPIC_MISSING", topic=entity.topic, bootstrap=settings.bootstrap)
            yield of("topics", missing, entity.topic)
        elif before and topic.id and before != topic.id:
            other = SourceError("TOPIC_RECREATED", topic=entity.topic, before=before, now=topic.id)
            yield of("topics", other, entity.topic)
        elif topic.leaderless:
            which = ", ".join(map(str, topic.leaderless))
            said = f"no broker leads partition {which} of {topic.partitions}"
            yield fail("topics", said, "start the brokers that hold it; streams wait", entity.topic)
        else:
            yield ok("topics", f"it has {topic.partitions} partitions", entity.topic)
