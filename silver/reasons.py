"""One reason of a row as a Spark column, in the form that quarantine keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from quarantine.reasons import Reason

if TYPE_CHECKING:
    from pyspark.sql import Column

GOT_CHARACTERS = 200


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
