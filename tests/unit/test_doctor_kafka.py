"""The doctor asks Kafka as a stream would, with its TLS and login, and says what it answered."""

from __future__ import annotations

import base64
import ssl
import struct
import threading
from contextlib import closing, suppress
from datetime import UTC, datetime
from ipaddress import IPv4Address
from socket import socket
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, Producer, Uuid
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from pydantic import SecretStr

from lakehouse.doctor import brokers, options
from lakehouse.doctor.brokers import Answer, Topic
from lakehouse.errors import ConfigError, SourceError
from lakehouse.settings import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lakehouse.doctor.finding import Finding
    from lakehouse.entities import Entity

SECRET = "a-secret-of-this-test"


def verdicts(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(one.verdict, one.about) for one in findings]


def kafka(bootstrap: str, **more: Any) -> KafkaSettings:
    return KafkaSettings(bootstrap=bootstrap, **more)


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    """The address of a broker that librdkafka plays, with the topic esports-matches."""
    own = {"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0}
    producer = Producer(own)
    producer.produce("esports-matches", b"{}")
    assert producer.flush(10) == 0
    (one,) = producer.list_topics(timeout=10).brokers.values()
    yield f"{one.host}:{one.port}"
    producer.flush(10)  # it is the broker, so it has to last until here


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address that nobody listens at: its port is taken, and no connection accepted."""
    with closing(socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def test_a_broker_is_asked_for_its_topics_and_creates_none(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch, matches: Entity, players: Entity
) -> None:
    monkeypatch.setattr(brokers, "CONNECT_SECONDS", 0.2)  # the played one has no ids of topics

    for _ in range(2):
        answer = brokers.asked(kafka(bootstrap), ["esports-matches", "esports-players"])

        assert answer == Answer(1, {}, {"esports-matches": Topic(4)})
    assert verdicts(brokers.broker(kafka(bootstrap), answer)) == [("ok", "")]
    assert verdicts(brokers.topics(kafka(bootstrap), answer, [matches, players], {})) == [
        ("ok", "esports-matches"),
        ("fail", "esports-players"),
    ]


@pytest.mark.parametrize("text", ["BFIxrFaXTVum7yGx0g46Dw", "-_IxrFaXTVum7yGx0g4-_w"])
def test_the_id_of_a_topic_is_written_as_bronze_has_it(text: str) -> None:
    high, low = struct.unpack(">qq", base64.urlsafe_b64decode(f"{text}=="))

    assert brokers.topic_id(Uuid(high, low)) == text
    assert brokers.topic_id(Uuid(0, 0)) is None


def test_a_closed_port_is_told_with_its_reason(closed_port: str) -> None:
    with pytest.raises(SourceError) as caught:
        brokers.asked(kafka(closed_port), [])

    assert caught.value.code == "BROKER_UNREACHABLE"
    assert "refused" in caught.value.message.why


@pytest.mark.parametrize(
    "address", ["kafka..example:9092", f"{'k' * 64}.example:9092", "127.0.0.1:99999999999999999999"]
)
def test_an_address_that_cannot_be_one_is_told_with_its_reason(address: str) -> None:
    with pytest.raises(SourceError) as caught:
        brokers.asked(kafka(address), [])

    assert caught.value.code == "BROKER_UNREACHABLE"
    assert f"{address}: " in caught.value.message.why


def test_one_closed_port_of_two_is_a_warning(
    bootstrap: str, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers, "CONNECT_SECONDS", 0.2)
    both = kafka(f"{closed_port}, {bootstrap}")

    answer = brokers.asked(both, ["esports-matches"])

    assert answer.topics == {"esports-matches": Topic(4)}
    (found,) = brokers.broker(both, answer)
    assert found.verdict == "warn"
    assert closed_port in found.found


def test_tls_to_a_port_without_it_is_a_refusal(
    bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokers, "ANSWER_SECONDS", 0.5)

    with pytest.raises(SourceError) as caught:
        brokers.asked(kafka(bootstrap, options={"security.protocol": "SSL"}), [])

    assert caught.value.code == "BROKER_REFUSED"
    assert "handshake" in caught.value.message.why.lower()


def test_an_address_that_brokers_give_and_nobody_reaches_is_a_failure() -> None:
    answer = Answer(1, {"kafka:9092": "Name or service not known"}, {})

    (found,) = brokers.broker(kafka("localhost:9092"), answer)

    assert found.verdict == "fail"
    assert "advertised.listeners" in found.cure


def test_what_could_not_be_tried_is_a_warning_of_broker_and_topics(matches: Entity) -> None:
    answer = Answer(untried="it is JKS")

    found = [
        *brokers.broker(kafka("b:1"), answer),
        *brokers.topics(kafka("b:1"), answer, [matches], {}),
    ]

    assert verdicts(found) == [("warn", ""), ("warn", "")]


def test_a_partition_without_a_leader_is_named(matches: Entity) -> None:
    answer = Answer(1, {}, {"esports-matches": Topic(4, leaderless=(2,))})

    (found,) = brokers.topics(kafka("b:1"), answer, [matches], {})

    assert found.verdict == "fail"
    assert "partition 2 of 4" in found.found


@pytest.mark.parametrize("bootstrap", ["broker", "broker:port", " , "])
def test_an_address_that_is_none_is_a_bad_value(bootstrap: str) -> None:
    with pytest.raises(ConfigError) as caught:
        brokers.asked(kafka(bootstrap), [])

    assert (caught.value.code, caught.value.params["key"]) == ("BAD_VALUE", "kafka.bootstrap")


def test_a_refused_login_is_told_rather_than_what_follows_from_it() -> None:
    errors = [
        KafkaError(KafkaError._TRANSPORT, "no metadata"),
        KafkaError(KafkaError._AUTHENTICATION, "SASL authentication failed"),
        KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"),
    ]

    error = brokers.failure(kafka("b:1"), errors)

    assert error.code == "BROKER_REFUSED"
    assert error.params["reason"] == "SASL authentication failed"
    lost, silent = (brokers.failure(kafka("b:1"), some) for some in (errors[:1], errors[2:]))
    assert (lost.code, silent.code) == ("BROKER_UNREACHABLE", "BROKER_UNREACHABLE")
    assert lost.params["reason"] == "no metadata"
    assert "no answer" in silent.message.why


# Security options


@pytest.fixture(scope="module")
def certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    builder = builder.not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
    here = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = builder.add_extension(here, critical=False)
    return builder.sign(key, hashes.SHA256()), key


def tls(**more: str) -> dict[str, str]:
    return {"security.protocol": "SSL", **{k.replace("_", "."): v for k, v in more.items()}}


def test_a_truststore_of_java_is_given_on_as_certificates(
    tmp_path: Path, certificate: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
) -> None:
    pem = certificate[0].public_bytes(Encoding.PEM).decode()
    (tmp_path / "ca.pem").write_text(pem)
    trusted = [pkcs12.PKCS12Certificate(certificate[0], b"ca")]
    store = pkcs12.serialize_java_truststore(trusted, BestAvailableEncryption(SECRET.encode()))
    (tmp_path / "ca.p12").write_bytes(store)
    stores = {"PEM": tmp_path / "ca.pem", "PKCS12": tmp_path / "ca.p12"}

    for kind, file in stores.items():
        given = tls(ssl_truststore_location=str(file), ssl_truststore_type=kind)
        secret = None if kind == "PEM" else SecretStr(SECRET)
        settings = kafka("b:1", options=given, ssl_truststore_password=secret)

        translated, untried = options.translated(settings)

        assert not untried
        assert translated["ssl.ca.pem"] == pem
        assert translated["security.protocol"] == "SSL"


@pytest.fixture
def tls_port(
    tmp_path: Path, certificate: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
) -> Iterator[str]:
    """An address where TLS is spoken, with the certificate, and nothing is ever answered."""
    own, key = certificate
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "server.pem").write_bytes(own.public_bytes(Encoding.PEM) + plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    class Silent(StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), context.wrap_socket(self.request, server_side=True) as spoken:
                while spoken.recv(1024):
                    pass

    with ThreadingTCPServer(("127.0.0.1", 0), Silent) as server:
        server.daemon_threads = True  # they end with the client, which an error may still hold
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_certificate_is_refused_unless_the_truststore_of_java_holds_it(
    tmp_path: Path,
    certificate: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    tls_port: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(brokers, "ANSWER_SECONDS", 0.5)
    trusted = [pkcs12.PKCS12Certificate(certificate[0], b"ca")]
    store = pkcs12.serialize_java_truststore(trusted, BestAvailableEncryption(SECRET.encode()))
    (tmp_path / "ca.p12").write_bytes(store)
    without = kafka(tls_port, options=tls())
    holding = kafka(
        tls_port,
        options=tls(ssl_truststore_location=str(tmp_path / "ca.p12")),
        ssl_truststore_password=SecretStr(SECRET),
    )

    with pytest.raises(SourceError) as refused:
        brokers.asked(without, [])
    with pytest.raises(SourceError) as unanswered:
        brokers.asked(holding, [])

    assert refused.value.code == "BROKER_REFUSED"
    assert "certificate" in refused.value.message.why
    assert unanswered.value.code == "BROKER_UNREACHABLE"  # the handshake went well: it is silent
    assert SECRET not in str(unanswered.value.message)


def test_a_keystore_is_given_on_in_the_form_that_the_client_reads(
    tmp_path: Path, certificate: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
) -> None:
    own, key = certificate
    secret = BestAvailableEncryption(SECRET.encode())
    stored = pkcs12.serialize_key_and_certificates(b"own", key, own, None, secret)
    (tmp_path / "own.p12").write_bytes(stored)
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "own.pem").write_bytes(own.public_bytes(Encoding.PEM) + plain)

    by_pem = tls(ssl_keystore_location=str(tmp_path / "own.pem"), ssl_keystore_type="PEM")
    by_store = tls(ssl_keystore_location=str(tmp_path / "own.p12"))
    from_pem, _ = options.translated(kafka("b:1", options=by_pem))
    from_store, _ = options.translated(
        kafka("b:1", options=by_store, ssl_keystore_password=SecretStr(SECRET))
    )

    assert from_pem["ssl.key.pem"] == (tmp_path / "own.pem").read_text()
    assert from_store["ssl.keystore.password"] == SECRET
    for translated in (from_pem, from_store):  # the client takes them: it would refuse others
        Producer({**translated, "log_level": 0})


@pytest.mark.parametrize("store", ["truststore", "keystore"])
def test_a_store_that_only_java_reads_is_not_tried(tmp_path: Path, store: str) -> None:
    (tmp_path / "some.jks").write_bytes(b"\xfe\xed\xfe\xed")
    given = tls(**{f"ssl_{store}_location": str(tmp_path / "some.jks")})

    translated, untried = options.translated(kafka("b:1", options=given))

    assert str(tmp_path / "some.jks") in untried
    assert "some.jks" not in str(translated)


def test_a_store_that_is_missing_is_a_clear_error(tmp_path: Path) -> None:
    given = tls(ssl_truststore_location=str(tmp_path / "none.p12"))

    with pytest.raises(ConfigError) as caught:
        options.translated(kafka("b:1", options=given))

    assert caught.value.code == "FILE_MISSING"


def test_a_login_is_given_on_and_java_options_are_not() -> None:
    given = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "client.dns.lookup": "use_all_dns_ips",
        "ssl.endpoint.identification.algorithm": "",
    }
    secrets = {"sasl_username": SecretStr("me"), "sasl_password": SecretStr(SECRET)}

    translated, untried = options.translated(kafka("b:1", options=given, **secrets))
    _, alone = options.translated(kafka("b:1", options=given))

    assert translated == {
        "bootstrap.servers": "b:1",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "me",
        "sasl.password": SECRET,
        "ssl.endpoint.identification.algorithm": "none",
    }
    assert not untried
    assert "no user and password" in alone
