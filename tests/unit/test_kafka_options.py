"""What Kafka's clients are told, what they are never told, and what their failures mean."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse import kafka
from lakehouse.errors import ConfigError
from lakehouse.settings import KafkaSettings

CANARY = "CANARY-7f3a"


def settings(options: dict[str, str] | None = None, **more: Any) -> KafkaSettings:
    return KafkaSettings(bootstrap="broker:9092", options=options or {}, **more)


def refused(options: dict[str, str], **more: Any) -> ConfigError:
    """Return the error with which *options* are refused."""
    with pytest.raises(ConfigError) as caught:
        kafka.client_options(settings(options, **more))
    return caught.value


# Options


@pytest.mark.parametrize(
    "key",
    [
        "bootstrap.servers",
        "group.id",
        "key.deserializer",
        "value.deserializer",
        "auto.offset.reset",
        "enable.auto.commit",
        "interceptor.classes",
        "sasl.jaas.config",
        "sasl.login.callback.handler.class",
        "sasl.client.callback.handler.class",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.oauthbearer.jwks.endpoint.url",
        "security.providers",
        "metric.reporters",
    ],
)
def test_an_option_that_is_ours_or_runs_code_is_refused(key: str) -> None:
    error = refused({"client.id": "x", key: "x"})

    assert (error.code, error.params["key"]) == ("BAD_OPTION", key)


@pytest.mark.parametrize(
    ("key", "value"),
    [("isolation.level", "read_uncommitted"), ("allow.auto.create.topics", "true")],
)
def test_an_option_against_a_promise_is_refused(key: str, value: str) -> None:
    error = refused({key: value})

    assert (error.code, error.params["key"]) == ("BAD_OPTION", key)


def test_a_promise_may_be_repeated() -> None:
    repeated = dict(kafka.PROMISED)

    assert kafka.client_options(settings(repeated)) == kafka.client_options(settings())


def test_every_client_is_told_the_broker_and_the_promises() -> None:
    assert kafka.client_options(settings()) == {
        "bootstrap.servers": "broker:9092",
        "isolation.level": "read_committed",
        "allow.auto.create.topics": "false",
        **kafka.DEFAULTS,
    }


def test_any_other_option_passes_and_stands_over_a_default() -> None:
    options = {"request.timeout.ms": "1", "client.rack": "a", "security.protocol": "SSL"}

    assert kafka.client_options(settings(options)).items() >= options.items()


@pytest.mark.parametrize("name", kafka.SECRETS)
def test_a_secret_of_the_environment_has_kafkas_name(name: str) -> None:
    more: dict[str, Any] = {name: CANARY}
    options = kafka.client_options(settings(**more))

    assert options[name.replace("_", ".")] == CANARY


# The login


@pytest.mark.parametrize(
    ("mechanism", "module"),
    [
        ("PLAIN", "plain.PlainLoginModule"),
        ("SCRAM-SHA-256", "scram.ScramLoginModule"),
        ("SCRAM-SHA-512", "scram.ScramLoginModule"),
    ],
)
def test_user_and_password_become_a_login(mechanism: str, module: str) -> None:
    given = settings({"sasl.mechanism": mechanism}, sasl_username="me", sasl_password="pw")

    assert kafka.client_options(given)["sasl.jaas.config"] == (
        f'org.apache.kafka.common.security.{module} required username="me" password="pw";'
    )


@pytest.mark.parametrize(
    ("password", "written"),
    [
        ('a"b', r"a\"b"),
        ("a\\b", r"a\\b"),
        ("\\", r"\\"),
        ('"; x.Evil required; "', r"\"; x.Evil required; \""),
        ('\\"', r"\\\""),
    ],
)
def test_quotes_and_backslashes_stay_inside_the_password(password: str, written: str) -> None:
    given = settings({"sasl.mechanism": "PLAIN"}, sasl_username="me", sasl_password=password)

    jaas = kafka.client_options(given)["sasl.jaas.config"]

    assert jaas.partition(" required ")[2] == f'username="me" password="{written}";'


@pytest.mark.parametrize("given", [{"sasl_username": "me"}, {"sasl_password": "pw"}])
def test_half_a_login_is_refused_by_name(given: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as refused:
        kafka.client_options(settings({}, **given))
    assert refused.value.code == "BAD_VALUE"
    assert refused.value.params["key"] not in {f"kafka.{name}" for name in given}


@pytest.mark.parametrize("given", [{}])
def test_without_user_and_password_there_is_no_login(given: dict[str, str]) -> None:
    options = kafka.client_options(settings({"sasl.mechanism": "PLAIN"}, **given))

    assert "sasl.jaas.config" not in options


@pytest.mark.parametrize("options", [{}, {"sasl.mechanism": "GSSAPI"}])
def test_a_login_needs_a_mechanism_that_takes_a_password(options: dict[str, str]) -> None:
    error = refused(options, sasl_username="me", sasl_password=CANARY)

    assert (error.code, error.params["key"]) == ("BAD_OPTION", "sasl.mechanism")
    assert CANARY not in f"{error} {error.message} {error.params}"


# Failures

AWAY = [
    "org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node assignment",
    "org.apache.kafka.common.KafkaException: Failed to construct\n"
    "Caused by: org.apache.kafka.common.config.ConfigException: No resolvable bootstrap urls",
    "org.apache.kafka.common.errors.DisconnectException",
    "org.apache.kafka.common.errors.NotLeaderOrFollowerException: moved",
]
REFUSED = [
    "org.apache.kafka.common.errors.SaslAuthenticationException: Authentication failed",
    "org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized: [t]",
    "org.apache.kafka.common.errors.SslAuthenticationException: SSL handshake failed\n"
    "Caused by: javax.net.ssl.SSLHandshakeException: PKIX path building failed",
    "org.apache.kafka.common.errors.TimeoutException: x\n"
    "Caused by: org.apache.kafka.common.errors.SaslAuthenticationException: no",
]
MISSING = ["org.apache.kafka.common.errors.UnknownTopicOrPartitionException: no such topic"]
LOST = [
    "[KAFKA_DATA_LOSS.PARTITIONS_DELETED] Some data may have been lost because they are not"
    " available in Kafka any more;\nReason: Partitions t-1 have been deleted. SQLSTATE: 22000",
    "org.apache.kafka.clients.consumer.OffsetOutOfRangeException: Fetch position out of range",
]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((text, "BROKER_UNREACHABLE") for text in AWAY),
        *((text, "BROKER_REFUSED") for text in REFUSED),
        *((text, "TOPIC_MISSING") for text in MISSING),
        *((text, "OFFSETS_LOST") for text in LOST),
        ("org.apache.kafka.common.KafkaException: never seen before", "BROKER_REFUSED"),
    ],
)
def test_a_failure_of_kafka_is_told_by_its_text(text: str, code: str) -> None:
    assert kafka.failure(text, settings(), "t", "bronze.x").code == code


@pytest.mark.parametrize("text", AWAY)
def test_only_a_broker_that_is_away_is_worth_another_try(text: str) -> None:
    assert kafka.failure(text, settings(), "t").retryable


@pytest.mark.parametrize("text", [*REFUSED, *MISSING, *LOST, "never seen before"])
def test_any_other_failure_is_final(text: str) -> None:
    assert not kafka.failure(text, settings(), "t").retryable


def test_a_failure_names_broker_topic_and_stream() -> None:
    missing = kafka.failure(MISSING[0], settings(), "the-topic")
    lost = kafka.failure(LOST[0], settings(), "the-topic", "bronze.matches")

    assert missing.params == {"topic": "the-topic", "bootstrap": "broker:9092"}
    assert lost.params["stream"] == "bronze.matches"


@pytest.mark.parametrize(
    ("kind", "reason", "numbers"),
    [
        (
            "PARTITION_OFFSET_CHANGED",
            "Partition a.b-c-7 offset was changed from 15 to 40.",
            "15 40",
        ),
        (
            "START_OFFSET_RESET",
            "Starting offset for a.b-c-7 was 15 but consumer reset to 40.",
            "15 40",
        ),
        (
            "COULD_NOT_READ_OFFSET_RANGE",
            "Could not read records in offset [15, 40) for topic partition a.b-c-7\nwith consumer"
            " group g.",
            "15 40",
        ),
        ("PARTITIONS_DELETED", "Partitions Set(a.b-c-7) have been deleted.", ""),
    ],
)
def test_the_range_that_is_lost_is_named(kind: str, reason: str, numbers: str) -> None:
    # As Spark's Kafka source words it.
    text = (
        f"[KAFKA_DATA_LOSS.{kind}] Some data may have been lost because they are not available in"
        " Kafka any more;\neither the data was aged out by Kafka or the topic may have been deleted"
        " before all the data in the\ntopic was processed.\nIf you don't want your streaming query"
        " to fail on such cases, set the source option failOnDataLoss to false.\n"
        f"Reason: {reason} SQLSTATE: 22000"
    )

    named = str(kafka.failure(text, settings(), "a.b-c").params["range"])

    assert all(part in named for part in ("a.b-c-7", *numbers.split()))


@pytest.mark.parametrize("text", [*AWAY, *REFUSED, *MISSING, *LOST])
def test_a_failure_of_kafka_is_known_as_one(text: str) -> None:
    assert kafka.is_failure(text)


@pytest.mark.parametrize(
    "text",
    [
        "java.net.ConnectException: Connection refused: object-store:9000",
        "java.util.concurrent.TimeoutException: Futures timed out",
        "[DELTA_CONCURRENT_APPEND] Files were added by a concurrent update",
        "org.apache.spark.sql.kafka010.KafkaSourceRDD: java.lang.OutOfMemoryError",
        "",
    ],
)
def test_a_failure_of_something_else_is_not(text: str) -> None:
    assert not kafka.is_failure(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("first\nsecond", "first"),
        ("outer\nCaused by: middle\n\tat x\nCaused by: root\n\tat y", "root"),
        ("\n  \n", "no reason was given"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_the_line_that_tells_most_is_the_last_cause(text: str, line: str) -> None:
    assert kafka.telling_line(text) == line
