"""Kafka as the streams see it: one set of client options, one question, and its failures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError

from lakehouse.errors import ConfigError, LakehouseError, SourceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import KafkaSettings

# Before [kafka.options]. Kafka's own minute is too long to leave a person without a word.
DEFAULTS = {
    "request.timeout.ms": "10000",
    "default.api.timeout.ms": "15000",
    # At the end of a partition the consumer already waits for more when Spark asks it for the range
    # that is there, and the broker answers one after the other: 500 ms, as Kafka has it.
    "fetch.max.wait.ms": "50",
}
# After [kafka.options]: promises of ours. An aborted record is no message, and nothing is created.
PROMISED = {"isolation.level": "read_committed", "allow.auto.create.topics": "false"}
# Set by Spark or by us, or able to run code or call out: a JAAS line is code.
REFUSED = re.compile(
    r"bootstrap\.servers|group\.id|key\.deserializer|value\.deserializer|auto\.offset\.reset|enable\.auto\.commit"
    r"|interceptor\.classes|sasl\.(login|client|server)?\.?callback.*|sasl\.jaas\.config|sasl\.oauthbearer\..*url"
    r"|security\.providers|metric\.reporters"
)
LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}
SECRETS = ("ssl_truststore_password", "ssl_keystore_password", "ssl_key_password")

AWAY = re.compile(
    r"TimeoutException|DisconnectException|NetworkException|BrokerNotAvailable|NotLeaderOrFollower"
    r"|LeaderNotAvailable|CoordinatorNotAvailable|No resolvable bootstrap|ConnectException"
    r"|UnknownHost|KAFKA_START_OFFSET_DOES_NOT_MATCH_ASSIGNED|Timed out waiting"
)
REFUSAL = re.compile(r"AuthenticationException|AuthorizationException|SslHandshake|SSLHandshake")
LOST = re.compile(
    r"KAFKA_DATA_LOSS|OffsetOutOfRange|KafkaDataLoss|data may have been lost", re.IGNORECASE
)
GONE = re.compile(r"UnknownTopicOrPartition")


def client_options(settings: KafkaSettings) -> dict[str, str]:
    """Return the options of every Kafka client of a stream, by Kafka's own names, secrets included.

    Raises:
        ConfigError: BAD_OPTION for an option that is ours to set, or that would run code.
    """
    for key, value in settings.options.items():
        if REFUSED.fullmatch(key):
            raise ConfigError(
                "BAD_OPTION", key=key, reason="lakehouse or Spark sets it, or it would run code"
            )
        if key in PROMISED and value != PROMISED[key]:
            raise ConfigError("BAD_OPTION", key=key, reason=f"streams rest on {PROMISED[key]}")
    secrets = {
        name.replace("_", "."): secret.get_secret_value()
        for name in SECRETS
        if (secret := getattr(settings, name)) is not None
    }
    return {
        **DEFAULTS,
        **settings.options,
        **_login(settings),
        **secrets,
        **PROMISED,
        "bootstrap.servers": settings.bootstrap,
    }


def topic_id(spark: SparkSession, settings: KafkaSettings, topic: str) -> str | None:
    """Return Kafka's own id of *topic*, or None from a broker that has no such ids.

    Asked through the JVM's admin client with the stream's own options, so a broker that answers
    here answers the stream.

    Raises:
        SourceError: BROKER_UNREACHABLE (retryable), BROKER_REFUSED or TOPIC_MISSING.
    """
    jvm: Any = spark._jvm  # noqa: SLF001 - the admin client with Spark's own Kafka jars
    properties = jvm.java.util.Properties()
    for key, value in client_options(settings).items():
        if key not in PROMISED:
            properties.setProperty(key, value)
    try:
        admin = jvm.org.apache.kafka.clients.admin.AdminClient.create(properties)
        try:
            names = jvm.java.util.Collections.singletonList(topic)
            found = admin.describeTopics(names).topicNameValues().get(topic).get()
            text = str(found.topicId().toString())
        finally:
            admin.close(jvm.java.time.Duration.ofSeconds(1))
    except Py4JJavaError as error:
        raise failure(causes(error.java_exception), settings, topic) from error
    return None if text == str(jvm.org.apache.kafka.common.Uuid.ZERO_UUID.toString()) else text


def failure(text: str, settings: KafkaSettings, topic: str, stream: str = "") -> LakehouseError:
    """Return the error of ours that *text*, of Kafka's or Spark's, stands for; None-like is never.

    Falls back to BROKER_REFUSED, which is final: an unknown failure must not be retried for ever.
    """
    reason = telling_line(text)
    if LOST.search(text):
        where = stream or topic
        return SourceError("OFFSETS_LOST", stream=where, range=_range(text), reason=reason)
    if GONE.search(text):
        return SourceError("TOPIC_MISSING", topic=topic, bootstrap=settings.bootstrap)
    if REFUSAL.search(text) or not AWAY.search(text):
        return SourceError("BROKER_REFUSED", bootstrap=settings.bootstrap, reason=reason)
    return SourceError(
        "BROKER_UNREACHABLE", retryable=True, bootstrap=settings.bootstrap, reason=reason
    )


def is_failure(text: str) -> bool:
    """Say whether *text*, of an exception, speaks of Kafka's failure."""
    return "kafka" in text.lower() and any(p.search(text) for p in (LOST, GONE, REFUSAL, AWAY))


def telling_line(text: str) -> str:
    """Return the line of an exception's *text* that tells most: the last cause, or the first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return (causes or lines or ["no reason was given"])[-1 if causes else 0][:300]


def _login(settings: KafkaSettings) -> dict[str, str]:
    if settings.sasl_username is None and settings.sasl_password is None:
        return {}
    if settings.sasl_username is None or settings.sasl_password is None:
        missing = "sasl_password" if settings.sasl_password is None else "sasl_username"
        reason = "a login takes both a user and a password"
        raise ConfigError(
            "BAD_VALUE",
            file="the environment",
            key=f"kafka.{missing}",
            value="empty",
            reason=reason,
        )
    mechanism = settings.options.get("sasl.mechanism", "")
    module = LOGIN_MODULES.get(mechanism)
    if module is None:
        known = ", ".join(LOGIN_MODULES)
        raise ConfigError(
            "BAD_OPTION",
            key="sasl.mechanism",
            reason=f"with a user and password it is one of {known}",
        )
    user, password = (
        secret.get_secret_value().replace("\\", "\\\\").replace('"', '\\"')
        for secret in (settings.sasl_username, settings.sasl_password)
    )
    return {"sasl.jaas.config": f'{module} required username="{user}" password="{password}";'}


def causes(throwable: Any) -> str:
    """Return what a Java *throwable* and each of its causes say, a line each or more."""
    lines = []
    while throwable is not None:
        lines.append(str(throwable.toString()))
        throwable = throwable.getCause()
    return "\nCaused by: ".join(lines)


def _range(text: str) -> str:
    """Return what Spark says of the lost records: its reason names partition and offsets."""
    found = re.search(
        r"Reason:\s*(.+?)(\n?with consumer group|\s*SQLSTATE:|\nCaused by:|$)", text, re.DOTALL
    )
    earliest = re.search(r"earliest[^\n]{0,60}?offset[^\n]{0,20}?(\d+)", text)
    first = f"; the earliest there is now {earliest[1]}" if earliest else ""
    return " ".join(found[1].split()) + first if found else telling_line(text)
