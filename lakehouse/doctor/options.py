"""A stream's Kafka options, written for Java, in the words of librdkafka."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from lakehouse import kafka
from lakehouse.config import read_text
from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lakehouse.settings import KafkaSettings

# Of the same name and meaning in both clients. Others, such as time limits, change no answer here.
SAME = ("security.protocol", "sasl.mechanism", "ssl.endpoint.identification.algorithm")


def translated(settings: KafkaSettings) -> tuple[dict[str, str], str]:
    """Return the stream's options in the words of this client, or what it could not be told.

    Raises:
        ConfigError: BAD_OPTION, BAD_VALUE, FILE_MISSING or FILE_UNREADABLE.
    """
    given = kafka.client_options(settings)
    protocol = given.get("security.protocol", "").upper()
    options = {"bootstrap.servers": settings.bootstrap}
    options |= {name: given[name] for name in SAME if given.get(name)}
    if given.get("ssl.endpoint.identification.algorithm") == "":
        options["ssl.endpoint.identification.algorithm"] = "none"
    if settings.sasl_username and settings.sasl_password:
        options["sasl.username"] = settings.sasl_username.get_secret_value()
        options["sasl.password"] = settings.sasl_password.get_secret_value()
    elif protocol.startswith("SASL"):
        return {}, "there is no user and password, and any other login only a stream can try"
    if "SSL" not in protocol:
        return options, ""
    trusted, untried = _truststore(given)
    shown, also_untried = _keystore(given)
    return {**options, **trusted, **shown}, untried or also_untried


def _truststore(given: Mapping[str, str]) -> tuple[dict[str, str], str]:
    if "ssl.truststore.certificates" in given:
        return {"ssl.ca.pem": given["ssl.truststore.certificates"]}, ""
    if "ssl.truststore.location" not in given:
        return {}, ""
    file = Path(given["ssl.truststore.location"])
    if given.get("ssl.truststore.type", "").upper() == "PEM":
        return {"ssl.ca.pem": read_text(file, "it is ssl.truststore.location")}, ""
    password = given.get("ssl.truststore.password", "").encode()
    try:
        # Java reads PKCS12 by the name of JKS as well, so that the content decides.
        store = pkcs12.load_pkcs12(_bytes(file, "ssl.truststore.location"), password or None)
    except ValueError:
        said = f"{file} is not PKCS12 of that password, and only a JVM reads other truststores"
        return {}, said
    pem = b"".join(
        one.certificate.public_bytes(Encoding.PEM)
        for one in (*([store.cert] if store.cert else []), *store.additional_certs)
    )
    return {"ssl.ca.pem": pem.decode()}, ""


def _keystore(given: Mapping[str, str]) -> tuple[dict[str, str], str]:
    if "ssl.keystore.location" not in given:
        return {}, ""
    file = Path(given["ssl.keystore.location"])
    kind = given.get("ssl.keystore.type", "").upper()
    password = given.get("ssl.keystore.password", "")
    if kind == "PEM":
        text = read_text(file, "it is ssl.keystore.location")
        secret = (
            {"ssl.key.password": given["ssl.key.password"]} if "ssl.key.password" in given else {}
        )
        return {"ssl.certificate.pem": text, "ssl.key.pem": text, **secret}, ""
    try:
        pkcs12.load_pkcs12(_bytes(file, "ssl.keystore.location"), password.encode() or None)
    except ValueError:
        return {}, f"{file} is not PKCS12 of that password, and only a JVM reads other keystores"
    return {"ssl.keystore.location": str(file), "ssl.keystore.password": password}, ""


def _bytes(file: Path, option: str) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError("FILE_MISSING", file=file, purpose=f"it is {option}") from error
    except OSError as error:
        raise ConfigError("FILE_UNREADABLE", file=file, reason=str(error)) from error
