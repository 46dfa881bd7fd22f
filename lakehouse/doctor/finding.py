"""What a check found: a verdict, a sentence, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from lakehouse.errors import LakehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Verdict(StrEnum):
    """How it is; the later, the worse."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    `about` is the topic, stream or table that a check was of, empty where there is but one of its
    kind. `cure` is empty exactly where all is well.
    """

    check: str
    verdict: Verdict
    found: str
    cure: str = ""
    about: str = ""


def ok(check: str, found: str, about: str = "") -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, found, about=about)


def warn(check: str, found: str, cure: str, about: str = "") -> Finding:
    """Return what works, and will not for ever or not quite as one thinks."""
    return Finding(check, Verdict.WARN, found, cure, about)


def fail(check: str, found: str, cure: str, about: str = "") -> Finding:
    """Return what has to be mended before streams can run or their tables be trusted."""
    return Finding(check, Verdict.FAIL, found, cure, about)


def of(check: str, error: LakehouseError, about: str = "") -> Finding:
    """Return what *error* says."""
    what, why, cure = error.message
    return fail(check, f"{what} [{error.code}]: {why}", cure, about)


def settled(check: str, look: Callable[[], Iterable[Finding]], about: str = "") -> list[Finding]:
    """Return what *look* finds. An error that ends it is a finding, so that the others are made."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except LakehouseError as error:
        found.append(of(check, error, about))
    except OSError as error:
        said = f"{error.filename or 'the system'}: {error.strerror or error}"
        found.append(fail(check, said, "mend the owner and permissions of what is named", about))
    return found


def worst(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of *findings*."""
    order = list(Verdict)
    return max((one.verdict for one in findings), key=order.index, default=Verdict.OK)
