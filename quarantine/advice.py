"""For each reason: how messages come by it, and how to mend them."""

from __future__ import annotations

from typing import NamedTuple

from quarantine.reasons import Reason


class Advice(NamedTuple):
    """What a person does about messages that were refused for one reason."""

    causes: tuple[str, ...]
    cures: tuple[str, ...]


_AGAIN = "Send the message again once it is right: the newest valid one of a key becomes its row."

ADVICE = {
    Reason.NO_VALUE: Advice(
        (
            "A producer deletes a key from a compacted topic by sending it without a value.",
            "A serializer returned nothing for an object that it could not write.",
        ),
        (
            "Silver deletes no rows. If the key is to go, have the producer send a message that "
            "says so, such as a status.",
            "Where nothing was meant to be deleted, mend the serializer and send it again.",
        ),
    ),
    Reason.EMPTY: Advice(
        (
            "A producer sends an empty text, or a line that is blank, such as the last of a file.",
            "A heartbeat or a test was sent to the topic of the data.",
        ),
        ("Have the producer leave out what has no content.", _AGAIN),
    ),
    Reason.TOO_LARGE: Advice(
        (
            "One message holds what should be many, such as a whole list.",
            "A picture, a log or a trace is embedded in a field.",
        ),
        (
            "Have the producer send a message for each object, and large things by reference.",
            "If it is right as it is, raise limits.max_value_bytes in entity.toml, up to 20000000.",
        ),
    ),
    Reason.NOT_UTF8: Advice(
        (
            "The producer writes another encoding, such as Latin-1 or UTF-16.",
            "The value is compressed, encrypted, or of a format such as Avro or Protobuf.",
            "A text was cut in the middle of a character, also of an escape such as \\ud83d.",
        ),
        (
            "Have the producer encode JSON as UTF-8, and cut texts between characters.",
            "value_raw holds the bytes as they came; value is what could be read of them.",
            _AGAIN,
        ),
    ),
    Reason.NOT_JSON: Advice(
        (
            "A message was cut off, by a limit or a crash of its producer.",
            "The text is that of a language and not JSON: single quotes, None, NaN, a comma at "
            "the end, a comment.",
            "Two documents are in one message, or something comes before or after it.",
            "The value begins with a schema id, as serializers with a registry write it.",
        ),
        (
            "Have the producer write JSON by a library, one document for each message.",
            "Use a serializer of plain JSON, without the framing of a registry.",
            _AGAIN,
        ),
    ),
    Reason.ROOT_NOT_OBJECT: Advice(
        (
            "The producer sends a list of objects in one message.",
            "The object was encoded twice, so that the value is a JSON string of JSON.",
        ),
        (
            "Have the producer send each object in a message of its own, encoded once.",
            _AGAIN,
        ),
    ),
    Reason.DUPLICATE_KEY: Advice(
        (
            "Two parts of a producer, or a proxy on the way, each add the same field.",
            "JSON is put together as text instead of by a library.",
        ),
        ("Have the producer name each field once.", _AGAIN),
    ),
    Reason.KEY_MISSING: Advice(
        (
            "The producer leaves out the field, or sends null, for things it does not know yet.",
            "The field was renamed, or is written in another case: names are compared exactly.",
            "A message of another kind was sent to this topic.",
        ),
        (
            "Have the producer send each of the columns that entity.toml names in `keys`.",
            "A renamed key is another entity: the silver table was built with the former one.",
            _AGAIN,
        ),
    ),
    Reason.REQUIRED_MISSING: Advice(
        (
            "The producer leaves out a field that schema.ddl says is NOT NULL, or sends null.",
            "The field was renamed, or is written in another case: names are compared exactly.",
        ),
        (
            "Have the producer send the field.",
            "If it may be absent, remove NOT NULL from its column in schema.ddl.",
            _AGAIN,
        ),
    ),
    Reason.WRONG_TYPE: Advice(
        (
            "A number comes as text, or a text as a number: a key has to be text.",
            "A time is a number of seconds, or not in the form 2026-01-31T10:00:00Z.",
            "An object or a list comes where a plain value is expected.",
            "An empty text stands for a number or a time that is not known.",
        ),
        (
            "Compare `expected` and `got` of the reason, and have the producer send that type; "
            "null for what is not known.",
            "Where the producer is right, the column's type in schema.ddl is not: change it, and "
            "have `lakehouse rebuild silver ENTITY --apply` derive silver anew.",
            _AGAIN,
        ),
    ),
    Reason.OUT_OF_RANGE: Advice(
        (
            "A number is larger than its column can hold, such as a count beyond INT.",
            "A decimal has more digits than the column keeps, and would have been rounded.",
            "A time lies outside of the years 0001 to 9999, or a number is as large as 1e400.",
        ),
        (
            "Look at `got`: a value that cannot be is an error of the producer, such as "
            "milliseconds where seconds are meant, or -1 written without a sign.",
            "Where the value is right, the column is too small: change its type in schema.ddl, and "
            "have `lakehouse rebuild silver ENTITY --apply` derive silver anew.",
            _AGAIN,
        ),
    ),
    Reason.EXPECTATION_FAILED: Advice(
        (
            "The values are of the right type and cannot be: `rule` names the expectation.",
            "The expectation is too strict for something that does happen.",
        ),
        (
            "Read the description of the rule in expectations.json, and `got` beside it.",
            "Where the data is wrong, mend the producer.",
            "Where the rule is wrong, mend it, or give it another severity than critical: then it "
            "counts and refuses nothing. `lakehouse check` tells whether it is sound.",
            _AGAIN,
        ),
    ),
}
