"""Where alarms go: what apprise makes of the URLs. Nothing here ever tells a URL."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

    from lakehouse.settings import AlarmSettings

# They write URLs, and so tokens, into their warnings.
TELLTALES = ("apprise", "urllib3")
# Of a URL only a schema that looks like one is told: anything else may be a secret.
SCHEMA = re.compile(r"[a-z][a-z0-9]{0,19}(?=://)")


@dataclass(frozen=True)
class Destination:
    """One destination; its name is the place and the schema of its URL."""

    name: str
    service: NotifyBase

    def takes(self, title: str, body: str, kind: str) -> bool:
        """Deliver a message, "failure" or "success" in *kind*, and say whether it arrived."""
        # `Apprise.notify` would use threads that the end of the process waits for.
        try:
            return bool(self.service.notify(title=title, body=body, notify_type=kind))
        except Exception:  # noqa: BLE001 - a plugin's fault is a failed attempt, and may hold the URL
            return False


def read(settings: AlarmSettings) -> list[Destination]:
    """Return the destinations in the order of their URLs. Nothing is connected to.

    Raises:
        ConfigError: BAD_VALUE for a URL that apprise cannot read, named by its place and schema.
    """
    urls = settings.urls.get_secret_value().split() if settings.urls else []
    if not urls:
        return []
    for name in TELLTALES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    import apprise  # only with URLs: it takes half a second to have all its plugins

    asset = apprise.AppriseAsset(app_id="lakehouse", app_desc="lakehouse")
    found = []
    for place, url in enumerate(urls, 1):
        schema = SCHEMA.match(url)
        name = f"{place} ({schema[0] if schema else 'no schema'})"
        service = _service(url, asset)
        if service is None:
            raise ConfigError(
                "BAD_VALUE",
                file="environment variable LAKEHOUSE__ALARMS__URLS",
                key="alarms.urls",
                value="what it is",
                reason=f"apprise cannot read URL {name}, or lacks the package for it",
            )
        service.notify_format = apprise.NotifyFormat.TEXT
        service.socket_connect_timeout = service.socket_read_timeout = settings.timeout_seconds
        found.append(Destination(name, service))
    return found


def _service(url: str, asset: AppriseAsset) -> NotifyBase | None:
    import apprise

    try:
        return apprise.Apprise.instantiate(url, asset=asset)
    except Exception:  # noqa: BLE001 - whatever a plugin trips over, its words may hold the URL
        return None
