"""One log for the process: a line per event, for people or as JSON for programs."""

from __future__ import annotations

import json
import logging
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import structlog
    from structlog.typing import EventDict, WrappedLogger

# Control characters, and those that end a line or turn its direction round.
ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}


def set_up(*, level: str, style: str) -> None:
    """Have every log line of this process go to stderr in one *style*, "text" or "json".

    Text: `2026-01-31 10:00:10 | silver.matches | INFO | Batch 15 merged | batch_id=15 | ...`, in
    UTC. Whatever a message may hold, it stays one line and cannot drive a terminal.
    """
    import structlog  # here and below: who only wants `escaped` does not wait for it

    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=True),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _line if style == "text" else _json,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for layer in ("lakehouse", "bronze", "silver", "quarantine"):
        logging.getLogger(layer).setLevel(level.upper())
    # pyspark logs each error that it also raises, as JSON of its own.
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger", "py4j"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of *name*: a stream's, such as `silver.matches`, or a module's."""
    import structlog

    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def escaped(text: str) -> str:
    """Return *text* with its control characters written out."""
    return text.translate(ESCAPED)


def _line(_: WrappedLogger, __: str, event: EventDict) -> str:
    parts = [
        event.pop("timestamp"),
        event.pop("logger"),
        event.pop("level").upper(),
        event.pop("event"),
    ]
    trace = event.pop("exception", None)
    fields = [f"{key}={_plain(value)}" for key, value in event.items()]
    line = escaped(" | ".join(map(str, (*parts, *fields))))
    return "\n".join([line, *map(escaped, trace.splitlines())]) if trace else line


def _json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return json.dumps(_finite({"timestamp": event.pop("timestamp"), **event}), default=str)


def _finite(value: Any) -> Any:
    """Return *value* without the numbers that JSON does not have, such as NaN, but their names."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> str:
    return (
        json.dumps(value, default=str, ensure_ascii=False)
        if isinstance(value, (dict, list))
        else str(value)
    )
