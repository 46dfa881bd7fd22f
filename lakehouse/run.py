"""What is fixed for one run of the product: its configuration, its lake, its name, its rhythm."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lakehouse.alarms import Alarms
from lakehouse.tables import Lake

if TYPE_CHECKING:
    from lakehouse.settings import Config


@dataclass(frozen=True)
class Run:
    """One run; its id stands in every commit that it makes."""

    config: Config
    once: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def lake(self) -> Lake:
        """The lake that the configuration names."""
        return Lake(self.config.lake.location, self.config.lake.time_travel)

    @cached_property
    def alarms(self) -> Alarms:
        """The alarms of this run, there once they are asked for; whoever runs it closes them."""
        return Alarms(self.config.state_dir, self.config.alarms)

    @property
    def trigger(self) -> dict[str, Any]:
        """The trigger of every query: all that is there, or a micro-batch now and then."""
        if self.once:
            return {"availableNow": True}
        return {"processingTime": self.config.streams.trigger}
