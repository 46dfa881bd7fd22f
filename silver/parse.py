"""Bytes to columns: a strict JSON gate and the typed columns in one `from_json`. Pure.

The value is wrapped as one element of an array, before a second element that carries a nonce:

    {"k<nonce>":[ <value> ,{"n<nonce>":"<nonce>"}]}

Only if the value is exactly one JSON document has the array two elements with the nonce in the
second. `from_json` alone would take `{..} junk` or `{..}{..}` as sound and lose the rest. The
nonce is drawn for each process, so no message can forge it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField, StructType

from lakehouse.schemas import derive, schema
from lakehouse.tables import quoted
from silver import wire

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from lakehouse.entities import Entity

NONCE = secrets.token_hex(8)
STRICT = {
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
    "columnNameOfCorruptRecord": f"c{NONCE}",
}


def parse(messages: DataFrame, entity: Entity) -> DataFrame:
    """Return one row per message, in which everything that can be read is read.

    Columns: `_message` (the bronze row), `_readable` (not too large, UTF-8, not empty), `_sound`
    (strict JSON with an object at its root), `_mistyped` (`from_json` met a wrong type), `_wire`
    (the fields as they travelled, see `silver.wire`), then the schema's columns and the derived
    ones, NULL where they could not be read. Nothing is dropped and nothing is judged here.
    """
    fields = schema(entity)
    gated = messages.select(F.struct("*").alias("_message"))
    gated = gated.withColumn("_readable", readable(entity.limits.max_value_bytes))
    gated = gated.withColumn("_gate", F.when(F.col("_readable"), _gate(entity, fields)))
    elements = F.col("_gate")[f"k{NONCE}"]
    sound = F.coalesce(
        (F.size(elements) == 2) & (elements[1][f"n{NONCE}"] == NONCE) & elements[0].isNotNull(),
        F.lit(False),
    )
    opened = gated.select(
        "_message",
        "_readable",
        sound.alias("_sound"),
        F.col("_gate")[f"c{NONCE}"].isNotNull().alias("_mistyped"),
        F.when(sound, elements[0]).alias("_wire"),
    )
    read = [
        wire.read(F.col("_wire")[f.name], f.dataType, exact=f.name in entity.keys, bare=True).alias(
            f.name
        )
        for f in fields
    ]
    dates = [f for f in fields if isinstance(f.dataType, wire.DATES)]
    typed = opened.select("*", *read).withColumns(
        {f.name: wire.within(F.col(quoted(f.name)), f.dataType) for f in dates}
    )
    return derive(typed.withColumns(_partitions(fields.fieldNames(), entity)), entity).withColumns(
        _partitions(list(entity.derived), entity)
    )


def _partitions(names: list[str], entity: Entity) -> dict[str, Column]:
    """Return the partition columns among *names* without the texts that Delta keeps as NULL there.

    Said here rather than done by Delta in silence, so that a row says the same wherever it is read.
    """
    unkept = ("", "__HIVE_DEFAULT_PARTITION__")
    return {
        name: F.when(~F.col(quoted(name)).cast("string").isin(*unkept), F.col(quoted(name)))
        for name in names
        if name in entity.partition_by
    }


def readable(max_value_bytes: int) -> Column:
    """Say whether the value of `_message` is text that is worth parsing."""
    value = F.col("_message.value")
    return (
        value.isNotNull()
        & F.col("_message.value_raw").isNull()
        & (F.octet_length(value) <= max_value_bytes)
        & (F.ltrim(value, F.lit(" \t\r\n")) != "")
    )


def is_json(value: Column) -> Column:
    """Say whether *value* is exactly one JSON document, whatever its root."""
    wrapped = F.concat(F.lit("["), value, F.lit(f',"{NONCE}"]'))
    elements = F.from_json(wrapped, ArrayType(StringType()), STRICT)
    return F.coalesce((F.size(elements) == 2) & (elements[1] == NONCE), F.lit(False))


def _gate(entity: Entity, fields: StructType) -> Column:
    element = StructType(
        [
            *(
                StructField(f.name, wire.wire_type(f.dataType, exact=f.name in entity.keys))
                for f in fields
            ),
            StructField(f"n{NONCE}", StringType()),
        ]
    )
    document = StructType(
        [StructField(f"k{NONCE}", ArrayType(element)), StructField(f"c{NONCE}", StringType())]
    )
    wrapped = F.concat(
        F.lit(f'{{"k{NONCE}":['),
        F.col("_message.value"),
        F.lit(f',{{"n{NONCE}":"{NONCE}"}}]}}'),
    )
    return F.from_json(wrapped, document, STRICT)
