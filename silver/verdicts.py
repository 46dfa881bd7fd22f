"""The expressions that judge a row: for each column of an entity, what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    ByteType,
    DataType,
    IntegerType,
    LongType,
    MapType,
    ShortType,
    StringType,
    StructField,
    StructType,
)

from lakehouse.schemas import ATOMIC, schema
from lakehouse.tables import quoted
from quarantine.reasons import Reason
from silver import wire
from silver.parse import NONCE, STRICT, is_json
from silver.reasons import reason, short

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column

    from lakehouse.entities import Entity

INTEGERS = ("tinyint", "smallint", "int", "bigint")
# Types that from_json itself is strict with: what it refuses, it flags.
PLAIN = (BooleanType, ByteType, ShortType, IntegerType, LongType)
NESTED = (StructType, ArrayType, MapType)
CONTROL = r"\p{Cc}"


@dataclass(frozen=True)
class Verdicts:
    """The expressions that `silver.triage` asks, of rows as `silver.parse` leaves them.

    `suspect`: whether anything may be wrong with the row, cheap and never False by mistake.
    `reasons`: all that is, as it stands in quarantine; worth asking of suspect rows only.
    """

    suspect: Column
    reasons: Column


@lru_cache(maxsize=32)
def verdicts(entity: Entity, application: str) -> Verdicts:  # noqa: ARG001 - part of the key
    """Return the expressions for *entity*.

    They take thousands of calls into the JVM to make, a second of each batch, so they are kept for
    as long as the Spark *application* lasts, whose JVM holds them.
    """
    fields = schema(entity)
    return Verdicts(
        suspect=~F.col("_sound") | _doubt(fields, entity),
        reasons=F.when(~F.col("_sound"), F.array(_unreadable(entity))).otherwise(
            _of_a_sound_row(fields, entity)
        ),
    )


def let(value: Column, body: Callable[[Column], Column]) -> Column:
    """Return *body* of *value*, which is evaluated once however often *body* names it.

    A column of its own would do the same, but for every row: here it is only where this is asked.
    """
    return F.transform(F.array(value), body)[0]


def _of_a_sound_row(fields: StructType, entity: Entity) -> Column:
    """The reasons of a JSON object, which is looked at a second time, field by field.

    It is read as a map of VARIANT, which keeps the JSON kind of each field, and as a map of text.
    """
    value = F.col("_message.value")
    first = F.array(*(_first_verdict(field, entity) for field in fields))
    again = F.struct(
        F.from_json(value, "map<string,variant>", STRICT).alias("tokens"),
        F.from_json(value, "map<string,string>", STRICT).alias("texts"),
    )

    def told(seen: Column) -> Column:
        last = (_last_verdict(i, field, entity, seen) for i, field in enumerate(fields))
        return let(
            F.array(*last),
            lambda codes: F.concat(
                _of_the_row(fields, codes), _of_columns(fields, entity, codes, seen["fields"])
            ),
        )

    return let(
        again,
        lambda found: let(
            F.struct(first.alias("first"), _fields(fields, found).alias("fields")), told
        ),
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


def _of_the_row(fields: StructType, codes: Column) -> Column:
    """The reasons that concern the whole object."""
    value = F.col("_message.value")
    duplicates = F.when(_has_duplicates(value, fields), F.array(reason(Reason.DUPLICATE_KEY)))
    surrogate = F.when(_has_lone_surrogate(value), F.array(reason(Reason.NOT_UTF8)))
    unnamed = F.when(F.col("_mistyped") & ~_any(codes), F.array(reason(Reason.WRONG_TYPE)))
    return F.concat(*(F.coalesce(some, F.array()) for some in (duplicates, surrogate, unnamed)))


def _of_columns(fields: StructType, entity: Entity, codes: Column, seen: Column) -> Column:
    """The reasons in *codes*, one for each column that has one, with what was expected and got."""
    expected = F.array(*(F.lit(_expected(f, entity)) for f in fields))
    paired = F.arrays_zip(codes.alias("code"), seen.alias("field"), expected.alias("kind"))
    wrong = F.filter(paired, lambda pair: pair["code"].isNotNull())

    def told(pair: Column) -> Column:
        name, got = pair["field"]["name"], _got(pair["field"])
        return reason(pair["code"], column=name, expected=pair["kind"], got=got)

    return F.transform(wrong, told)


def _fields(fields: StructType, found: Column) -> Column:
    """The schema's fields as the message has them: name, VARIANT token and text, in their order."""
    names = F.array(*(F.lit(f.name) for f in fields))
    return F.transform(
        names,
        lambda name: F.struct(
            name.alias("name"),
            _last(found["tokens"], name).alias("token"),
            _last(found["texts"], name).alias("text"),
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
    """Whether a sound row must be looked at field by field."""
    value = F.col("_message.value")
    found = F.col("_mistyped") | _repeats(value, fields) | _has_lone_surrogate(value)
    for field in fields:
        here, doubts = F.col("_wire")[field.name], []
        text = isinstance(field.dataType, StringType) and field.name not in entity.keys
        if text:
            # An object, an array, or one of the two numbers that from_json writes in quotes.
            doubts = [here.startswith(mark) for mark in ("{", "[", '"')]
        if not field.nullable or not (text or isinstance(field.dataType, PLAIN)):
            doubts.append(_first_verdict(field, entity).isNotNull())
        for doubt in doubts:
            found = found | F.coalesce(doubt, F.lit(False))
    return found


def _repeats(value: Column, fields: StructType) -> Column:
    """Whether a sound object names a field twice.

    Each field that was read has been named. If no more names are there, none is there twice, and
    they need not be compared.
    """
    if any(isinstance(f.dataType, NESTED) for f in fields):
        return _has_duplicates(value, fields)
    read = [F.col("_wire")[f.name].isNotNull().cast("int") for f in fields]
    more = F.size(F.json_object_keys(value)) > reduce(lambda left, right: left + right, read)
    return F.when(more, _has_duplicates(value, fields)).otherwise(F.lit(False))


def _last_verdict(index: int, field: StructField, entity: Entity, seen: Column) -> Column:
    """The verdict on a column of a doubtful row, now that the JSON kind of each field is known."""
    name, kind, first = field.name, field.dataType, seen["first"][index]
    token, text = seen["fields"][index]["token"], seen["fields"][index]["text"]
    typed = F.col(quoted(name))
    if isinstance(kind, StringType) and name not in entity.keys:
        nested = F.coalesce(wire.kind_of(token).rlike(wire.NESTED), text.rlike(r"^[{\[]"))
        infinite = wire.is_infinite(token.cast("string"), wire.kind_of(token))
        return F.coalesce(
            F.when(nested, Reason.WRONG_TYPE).when(infinite, Reason.OUT_OF_RANGE).cast("string"),
            first,
        )
    if isinstance(kind, NESTED):
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
    if any(isinstance(f.dataType, NESTED) for f in fields):
        return F.try_parse_json(value).isNull()
    keys = F.json_object_keys(value)
    return F.size(F.array_distinct(keys)) != F.size(keys)


def _has_lone_surrogate(value: Column) -> Column:
    r"""Whether an escape such as \ud800 stands without its other half.

    Escaped backslashes go first, or the text \\ud800 would count.
    """
    # One look at most messages; those of a producer that escapes all but ASCII get two more.
    seldom = value.contains(r"\u") & (value.contains(r"\ud") | value.contains(r"\uD"))
    plain = F.replace(value, F.lit("\\\\"), F.lit("_"))
    unpaired = F.regexp_replace(
        plain, r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", "_"
    )
    return seldom & unpaired.rlike(r"\\u[dD][89a-fA-F]")


def _any(codes: Column) -> Column:
    return F.exists(codes, lambda code: code.isNotNull())


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
