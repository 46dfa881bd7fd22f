"""Being asked to stop, by signal."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from lakehouse import log

if TYPE_CHECKING:
    from types import FrameType


class Asked:
    """How often this process was asked to stop, by SIGINT, SIGTERM or SIGHUP."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> int:
        """Return the number of times."""
        return self.times

    def listen(self) -> None:
        """Count the signals from now on; again after Spark, which takes SIGINT for itself."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.times += 1
        what = "after the batch in hand" if self.times == 1 else "now"
        log.get("lakehouse").info(f"Stopping {what}", signal=signal.Signals(number).name)
