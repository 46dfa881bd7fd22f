"""How JSON becomes typed columns: what `from_json` is asked for, and what is made of its answer.

`from_json` is lenient in ways that lose or change data in silence: it takes a number as a
timestamp in seconds, `"10:00"` as today, rounds decimals, and turns an object into text. So each
type that it is lenient with travels as text or as VARIANT, which keeps the JSON kind, and is read
here by a grammar of our own:

    STRING           text, number or boolean (as Spark writes it); never an object or array
    key, STRING      JSON text only, without control characters
    DECIMAL(p, s)    a number, or text that is one; refused where it would be rounded. JSON numbers
                     with an exponent come as DOUBLE: at most 15 digits
    DATE             YYYY-MM-DD
    TIMESTAMP        YYYY-MM-DD, then optionally T or a space, HH:MM[:SS[.fraction]], Z or +HH:MM;
                     without a zone it is UTC; digits beyond microseconds are cut
    TIMESTAMP_NTZ    the same without a zone
    others           as from_json reads them with single quotes and NaN off
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
    VariantType,
)

from quarantine.reasons import Reason

if TYPE_CHECKING:
    from pyspark.sql import Column


_DATE = r"\d{4}-\d\d-\d\d"
_TIME = r"[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?"
_ZONE = r"(Z|[+-]\d\d:\d\d)"
GRAMMAR = {
    DateType: f"^{_DATE}$",
    TimestampType: f"^{_DATE}({_TIME}{_ZONE}?)?$",
    TimestampNTZType: f"^{_DATE}({_TIME})?$",
}
# What every reader of the table can hold, after conversion to UTC.
FIRST, LAST = "0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"
# The form of a date whose year no other reader of the table could hold.
FAR_YEAR = r"^[+-]?(\d{5,}|0000|(?<=[+-])\d{4})-\d\d-\d\d([T ].*)?$"
NUMBER = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"
# A DOUBLE holds any number of so many digits exactly.
DOUBLE_DIGITS = 15
NESTED = "^(OBJECT|ARRAY)"
DATES = (DateType, TimestampType, TimestampNTZType)


def wire_type(kind: DataType, *, exact: bool = True) -> DataType:
    """Return the type in which *kind* is asked from `from_json`.

    *exact*: text travels as VARIANT, so that its JSON kind is known. Columns of the root that are
    not keys do without: for them `silver.verdicts` looks again only where the text begins like an
    object or array.
    """
    if isinstance(kind, StructType):
        return StructType([StructField(f.name, wire_type(f.dataType)) for f in kind])
    if isinstance(kind, ArrayType):
        return ArrayType(wire_type(kind.elementType))
    if isinstance(kind, MapType):
        return MapType(StringType(), wire_type(kind.valueType))
    if isinstance(kind, StringType):
        return VariantType() if exact else StringType()
    if isinstance(kind, DecimalType):
        return VariantType()  # as text a number would have gone through DOUBLE and lost digits
    if isinstance(kind, DATES):
        return StringType()
    return kind


def read(wire: Column, kind: DataType, *, exact: bool = True, bare: bool = False) -> Column:
    """Return *wire*, of `wire_type(kind)`, as a column of *kind*; NULL where it cannot be one.

    *bare*: of DATES it may lie outside of what `within` lets pass, which is then asked of the
    column that this has become: named twice, an expression is evaluated twice.
    """
    if isinstance(kind, StructType):
        fields = [read(wire[f.name], f.dataType).alias(f.name) for f in kind]
        return F.when(wire.isNotNull(), F.struct(*fields))
    if isinstance(kind, ArrayType):
        element = kind.elementType
        return F.transform(wire, lambda item: read(item, element))
    if isinstance(kind, MapType):
        value = kind.valueType
        return F.transform_values(wire, lambda _, item: read(item, value))
    if isinstance(kind, StringType) and exact:
        text = wire.cast("string")
        return F.when(~kind_of(wire).rlike(NESTED) & ~(is_infinite(text, kind_of(wire))), text)
    if isinstance(kind, DecimalType):
        number = wire.cast("string")
        return F.when(number.rlike(NUMBER) & _is_exact(wire, number, kind), number.cast(kind))
    if isinstance(kind, DATES):
        date = F.when(wire.rlike(GRAMMAR[type(kind)]), wire.cast(kind))
        return date if bare else within(date, kind)
    return wire


def within(date: Column, kind: DataType) -> Column:
    """Return *date*, of a *kind* of DATES, or NULL where not every reader could hold it."""
    return F.when(date.between(F.lit(FIRST).cast(kind), F.lit(LAST).cast(kind)), date)


def verdict(wire: Column, typed: Column, kind: DataType, *, exact: bool = True) -> Column:
    """Return the reason why *typed* does not hold what *wire* says, or NULL where it does.

    Looks into structs, arrays and maps: one bad element condemns its column. Says nothing of what
    `from_json` itself refuses, and of text of the root that is not *exact*.
    """
    if isinstance(kind, StructType):
        inner = [verdict(wire[f.name], typed[f.name], f.dataType) for f in kind]
        return F.coalesce(*inner, _none())
    if isinstance(kind, ArrayType):
        return _verdict_inside(wire, typed, kind.elementType)
    if isinstance(kind, MapType):
        return _verdict_inside(F.map_values(wire), F.map_values(typed), kind.valueType)
    if isinstance(kind, (FloatType, DoubleType)):
        return F.when(F.abs(wire) == float("inf"), Reason.OUT_OF_RANGE)
    if isinstance(kind, StringType) and exact:
        there = wire.isNotNull() & ~F.is_variant_null(wire) & typed.isNull()
        return F.when(
            there,
            F.when(kind_of(wire) == "DOUBLE", Reason.OUT_OF_RANGE).otherwise(Reason.WRONG_TYPE),
        )
    if isinstance(kind, DecimalType):
        there = wire.isNotNull() & ~F.is_variant_null(wire) & typed.isNull()
        number = wire.cast("string").rlike(NUMBER) | is_infinite(wire.cast("string"), kind_of(wire))
        return F.when(there, F.when(number, Reason.OUT_OF_RANGE).otherwise(Reason.WRONG_TYPE))
    if isinstance(kind, DATES):
        far = wire.rlike(FAR_YEAR) | (wire.rlike(GRAMMAR[type(kind)]) & wire.cast(kind).isNotNull())
        there = wire.isNotNull() & typed.isNull()
        return F.when(there, F.when(far, Reason.OUT_OF_RANGE).otherwise(Reason.WRONG_TYPE))
    return _none()


def _verdict_inside(wire: Column, typed: Column, element: DataType) -> Column:
    pairs = F.arrays_zip(wire.alias("wire"), typed.alias("typed"))
    return F.array_min(
        F.transform(pairs, lambda pair: verdict(pair["wire"], pair["typed"], element))
    )


def kind_of(token: Column) -> Column:
    """Return the JSON kind of a VARIANT: STRING, BIGINT, DECIMAL(..), DOUBLE, BOOLEAN, VOID, ..."""
    return F.schema_of_variant(token)


def is_infinite(text: Column, kind: Column) -> Column:
    """Say where *text* is what became of a number too large for a double, of JSON *kind*."""
    return (kind == "DOUBLE") & text.rlike("^-?Infinity$")


def _is_exact(wire: Column, number: Column, kind: DecimalType) -> Column:
    """Say where the text *number* is what *wire* said, with no digit beyond the scale of *kind*.

    Digits needed = those after the point, without trailing zeros, less the exponent.
    """
    whole = F.regexp_extract(number, r"^-?(\d+)", 1)
    fraction = F.regexp_extract(number, r"\.(\d+)", 1)
    exponent = F.coalesce(F.regexp_extract(number, r"[eE]([+-]?\d+)$", 1).cast("int"), F.lit(0))
    digits = F.rtrim(F.concat(whole, fraction), F.lit("0"))
    needed = F.length(digits) - F.length(whole) - exponent
    said = (kind_of(wire) != "DOUBLE") | (F.length(digits) <= DOUBLE_DIGITS)
    return said & ((needed <= kind.scale) | (F.length(digits) == 0))


def _none() -> Column:
    return F.lit(None).cast("string")
