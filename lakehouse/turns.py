"""Whose turn it is at a stream's table, and the batch that takes its turn."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame


class StopRequested(Exception):  # noqa: N818 - not an error: it ends a query that was asked to stop
    """Raised in place of a batch that must not begin."""


@dataclass
class Turn:
    """Whose turn it is at a stream's table: a batch's, or a request's. One lock for both.

    `tell` hears what became of each batch.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: bool = False
    tell: Callable[[Any], None] | None = None
    batch_id: int | None = None
    error: BaseException | None = None


def each_batch(
    refine: Callable[[DataFrame, int], Any], turn: Turn
) -> Callable[[DataFrame, int], None]:
    """Return what `foreachBatch` calls: *refine* in its turn, and not once the stream is to stop.

    The batch in hand is finished; the next one gives up before its first write and is planned
    again, unchanged, by the next start.
    """

    def take(messages: DataFrame, batch_id: int) -> None:
        with turn.lock:
            try:
                if turn.stopping:
                    raise StopRequested
                outcome = refine(messages, batch_id)
                turn.batch_id = batch_id
                if outcome is not None and turn.tell is not None:
                    turn.tell(outcome)
            except BaseException as error:
                turn.error = error  # Spark hands on its text only
                raise

    return take
