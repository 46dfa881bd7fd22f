"""The expressions that judge a row: for each column of an entity, what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DataType,
    MapType,
    StringType,
    StructField,
    StructType,
)

from lakehouse.schemas import ATOMIC, schema
from lakehouse.tables import quoted
from quarantine.reasons import Reason
from silver import wire
from silver.parse import NONCE, STRICT, is_json

if TYPE_CHECKING:
    from pyspark.sql import Column

    from lakehouse.entities import Entity

INTEGERS = ("tinyint", "smallint", "int", "bigint")
GOT_CHARACTERS = 200
CONTROL = r"\p{Cc}"


@dataclass(frozen=True)
class Verdicts:
    """The columns that `silver.triage` adds one after the other; each may name those before it.

    `first`: for each field, the reason that the parse alone shows. `doubt`: whether to look again.
    `fields`: each field as the message has it, from `_tokens` and `_texts`. `codes`: for each
    field, the reason after the second look. `reasons`: all of them, as they stand in quarantine.
    """

    first: Column
    doubt: Column
    fields: Column
    codes: Column
    reasons: Column


@lru_cache(maxsize=32)
def verdicts(entity: Entity, application: str) -> Verdicts:  # noqa: ARG001 - part of the key
    """Return the expressions for *entity*.

    They take thousands of calls into the JVM to make, a second of each batch, so they are kept for
    as long as the Spark *application* lasts, whose JVM holds them.
    """
    fields = schema(entity)
    doubt = F.col("_doubt") & F.col("_sound")
    sound = F.concat(_of_the_row(fields), F.coalesce(_of_columns(fields, entity), F.array()))
    last = (_last_verdict(i, field, entity) for i, field in enumerate(fields))
    return Verdicts(
        first=F.array(*(_first_verdict(field, entity) for field in fields)),
        doubt=_doubt(fields, entity),
        fields=F.when(doubt, _fields(fields)),
        codes=F.when(doubt, F.array(*last)),
        reasons=F.when(~F.col("_sound"), F.array(_unreadable(entity))).otherwise(sound),
    )


def _unreadable(entity: Entity) -> Column:
    """Why the row is not a sound JSON object: exactly one reason, none of a column."""
    value, raw = F.col("_message.value"), F.col("_message.value_raw")
    size = F.octet_length(F.coalesce(raw, value.cast("binary")))
    limit = entity.limits.max_value_bytes
    large = reason(
        Reason.TOO_LARGE, expected=F.lit(f"at most {limit} bytes"), got=size.cast("string")
    )
    return (
        F.when(value.isNull() & raw.isNull(), reason(Reason.NO_VALUE))
        .when(size > limit, large)
        .when(raw.isNotNull(), reason(Reason.NOT_UTF8))
        .when(~F.col("_readable"), reason(Reason.EMPTY))
        .when(is_json(value), reason(Reason.ROOT_NOT_OBJECT, got=short(value)))
        .otherwise(reason(Reason.NOT_JSON))
    )


def _of_the_row(fields: StructType) -> Column:
    """The reasons that concern the whole object."""
    value = F.col("_message.value")
    duplicates = F.when(_has_duplicates(value, fields), F.array(reason(Reason.DUPLICATE_KEY)))
    surrogate = F.when(_has_lone_surrogate(value), F.array(reason(Reason.NOT_UTF8)))
    unnamed = F.when(F.col("_mistyped") & ~_any_code(), F.array(reason(Reason.WRONG_TYPE)))
    return F.concat(*(F.coalesce(some, F.array()) for some in (duplicates, surrogate, unnamed)))


def _of_columns(fields: StructType, entity: Entity) -> Column:
    """The reasons of `_codes`, one for each column that has one, with what was expected and got."""
    expected = F.array(*(F.lit(_expected(f, entity)) for f in fields))
    paired = F.arrays_zip(
        F.col("_codes").alias("code"), F.col("_fields").alias("field"), expected.alias("kind")
    )
    wrong = F.filter(paired, lambda pair: pair["code"].isNotNull())

    def told(pair: Column) -> Column:
        name, got = pair["field"]["name"], _got(pair["field"])
        return reason(pair["code"], column=name, expected=pair["kind"], got=got)

    return F.transform(wrong, told)


def _fields(fields: StructType) -> Column:
    """The schema's fields as the message has them: name, VARIANT token and text, in their order."""
    names = F.array(*(F.lit(f.name) for f in fields))
    return F.transform(
        names,
        lambda name: F.struct(
            name.alias("name"),
            _last(F.col("_tokens"), name).alias("token"),
            _last(F.col("_texts"), name).alias("text"),
        ),
    )


def _last(entries: Column, name: Column) -> Column:
    """The value of *name*; the last one, as in the parse, where the object names it twice."""
    named = F.filter(F.map_entries(entries), lambda entry: entry["key"] == name)
    return F.element_at(named, -1)["value"]


def _first_verdict(field: StructField, entity: Entity) -> Column:
    """What the parse alone tells of a column: an absent one, or a type of `silver.wire` misread."""
    here, typed, key = (
        F.col("_wire")[field.name],
        F.col(quoted(field.name)),
        field.name in entity.keys,
    )
    said = wire.verdict(here, typed, field.dataType, exact=key)
    if key and isinstance(field.dataType, StringType):
        impure = (wire.kind_of(here) != "STRING") | typed.rlike(CONTROL)
        absent = here.isNull() | F.is_variant_null(here)
        said = F.when(absent, Reason.KEY_MISSING).when(impure, Reason.WRONG_TYPE).otherwise(said)
    elif not field.nullable:
        missing = Reason.KEY_MISSING if key else Reason.REQUIRED_MISSING
        said = F.when(here.isNull(), missing).otherwise(said)
    return said.cast("string")


def _doubt(fields: StructType, entity: Entity) -> Column:
    """Whether the row must be looked at field by field."""
    nested_text = [
        F.col("_wire")[f.name].rlike(r'^([{\[]|"-?Infinity"$)')
        for f in fields
        if isinstance(f.dataType, StringType) and f.name not in entity.keys
    ]
    doubts = [
        F.col("_mistyped"),
        F.coalesce(*(F.col("_first")[i] for i in range(len(fields)))).isNotNull(),
    ]
    found = F.lit(False)
    for doubt in (*doubts, *nested_text):
        found = found | F.coalesce(doubt, F.lit(False))
    return found


def _last_verdict(index: int, field: StructField, entity: Entity) -> Column:
    """The verdict on a column of a doubtful row, now that the JSON kind of each field is known."""
    name, kind, first = field.name, field.dataType, F.col("_first")[index]
    token, text = F.col("_fields")[index]["token"], F.col("_fields")[index]["text"]
    typed = F.col(quoted(name))
    if isinstance(kind, StringType) and name not in entity.keys:
        nested = F.coalesce(wire.kind_of(token).rlike(wire.NESTED), text.rlike(r"^[{\[]"))
        infinite = wire.is_infinite(token.cast("string"), wire.kind_of(token))
        return F.coalesce(
            F.when(nested, Reason.WRONG_TYPE).when(infinite, Reason.OUT_OF_RANGE).cast("string"),
            first,
        )
    if isinstance(kind, (StructType, ArrayType, MapType)):
        inside = F.when(text.isNotNull() & _refused(text, kind), Reason.WRONG_TYPE)
        return F.coalesce(first, F.when(F.col("_mistyped"), inside).cast("string"))
    refused = F.col("_mistyped") & text.isNotNull() & typed.isNull()
    is_number = (wire.kind_of(token) != "STRING") & text.rlike(r"^-?\d+$")
    too_big = F.lit(kind.simpleString() in INTEGERS) & is_number
    code = F.when(refused & too_big, Reason.OUT_OF_RANGE).when(refused, Reason.WRONG_TYPE)
    missing = first.isin(Reason.KEY_MISSING, Reason.REQUIRED_MISSING) & text.isNotNull()
    return (
        F.when(missing, F.coalesce(code, F.lit(Reason.WRONG_TYPE)))
        .otherwise(F.coalesce(first, code))
        .cast("string")
    )


def _refused(text: Column, kind: DataType) -> Column:
    """Whether `from_json` meets a wrong type in the JSON *text* of one nested field."""
    document = StructType(
        [StructField("v", wire.wire_type(kind)), StructField(f"c{NONCE}", StringType())]
    )
    wrapped = F.concat(F.lit('{"v":'), text, F.lit("}"))
    return F.from_json(wrapped, document, STRICT)[f"c{NONCE}"].isNotNull()


def _has_duplicates(value: Column, fields: StructType) -> Column:
    """Whether an object names a field twice: at the root, or at any depth if columns are nested."""
    if any(isinstance(f.dataType, (StructType, ArrayType, MapType)) for f in fields):
        return F.try_parse_json(value).isNull()
    keys = F.json_object_keys(value)
    return F.size(F.array_distinct(keys)) != F.size(keys)


def _has_lone_surrogate(value: Column) -> Column:
    r"""Whether an escape such as \ud800 stands without its other half.

    Escaped backslashes go first, or the text \\ud800 would count.
    """
    seldom = value.contains(r"\ud") | value.contains(r"\uD")
    plain = F.replace(value, F.lit("\\\\"), F.lit("_"))
    unpaired = F.regexp_replace(
        plain, r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", "_"
    )
    return seldom & unpaired.rlike(r"\\u[dD][89a-fA-F]")


def _any_code() -> Column:
    return F.coalesce(F.exists("_codes", lambda code: code.isNotNull()), F.lit(False))


def _got(field: Column) -> Column:
    """The field as JSON text: text in quotes, so that "10" and 10 can be told apart."""
    token, kind = field["token"], wire.kind_of(field["token"])
    infinite = wire.is_infinite(token.cast("string"), kind)
    return short(
        F.when(kind == "STRING", F.to_json(token))
        .when(infinite, "a number beyond the range of DOUBLE")
        .when(kind.rlike(r"^DECIMAL\(\d+,[1-9]"), F.to_json(token))  # its text went through DOUBLE
        .otherwise(field["text"])
    )


def _expected(field: StructField, entity: Entity) -> str:
    kind = field.dataType.simpleString()
    if isinstance(field.dataType, ATOMIC):
        kind = kind.upper()
    if field.name in entity.keys and isinstance(field.dataType, StringType):
        return "STRING NOT NULL without control characters"
    return kind if field.nullable else f"{kind} NOT NULL"


def reason(
    code: Reason | Column,
    *,
    rule: Column | None = None,
    column: Column | None = None,
    expected: Column | None = None,
    got: Column | None = None,
) -> Column:
    """Return one reason, as `quarantine.reasons` has them; what is not given is NULL."""
    none = F.lit(None).cast("string")
    said = {"rule": rule, "column": column, "expected": expected, "got": got}
    return F.struct(
        (F.lit(str(code)) if isinstance(code, Reason) else code).alias("code"),
        *((none if value is None else value).alias(name) for name, value in said.items()),
    )


def short(text: Column) -> Column:
    """Return *text* as it stands in `got`: its first 200 characters."""
    return F.substring(text, 1, GOT_CHARACTERS)
