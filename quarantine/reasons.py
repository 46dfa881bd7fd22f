"""Why a message is not in silver: a closed set of reasons.

A row of quarantine holds every reason that its message has, not the first one found, except that
a message which could not be read at all has just the reason for that.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """One reason; its value is the `code` in the table."""

    # The message could not be read: no column of it was looked at.
    NO_VALUE = "no_value"
    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    ROOT_NOT_OBJECT = "root_not_object"
    # The message was read, and something in it is wrong. NOT_UTF8 is here too: an escaped lone
    # surrogate is found only inside sound JSON.
    DUPLICATE_KEY = "duplicate_key"
    KEY_MISSING = "key_missing"
    REQUIRED_MISSING = "required_missing"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    EXPECTATION_FAILED = "expectation_failed"

    @property
    def meaning(self) -> str:
        """One sentence for the person who has to mend the producer."""
        return MEANINGS[self]


MEANINGS = {
    Reason.NO_VALUE: "The message has a key but no value: a tombstone, as compacted topics use.",
    Reason.EMPTY: "The value holds no bytes, or only white space.",
    Reason.TOO_LARGE: "The value is larger than the entity's limits.max_value_bytes; not parsed.",
    Reason.NOT_UTF8: "The value's bytes, or an escape in it, are not Unicode text.",
    Reason.NOT_JSON: "The value is not one JSON document by the strict rules of RFC 8259.",
    Reason.ROOT_NOT_OBJECT: "The value is JSON, but an array, string, number, boolean or null.",
    Reason.DUPLICATE_KEY: "The object names a field twice, so what it says is ambiguous.",
    Reason.KEY_MISSING: "A column that identifies the row is absent or null.",
    Reason.REQUIRED_MISSING: "A NOT NULL column of the schema is absent or null.",
    Reason.WRONG_TYPE: "The field holds something that the column's type cannot.",
    Reason.OUT_OF_RANGE: "The field has the right form, but the column cannot hold it exactly.",
    Reason.EXPECTATION_FAILED: "A critical expectation of the entity's suite does not hold.",
}
