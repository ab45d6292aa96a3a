"""The log of a process, on its standard error: as text, or one JSON object a line."""

import json
import logging
from datetime import UTC, datetime

from core.settings import LogFormat

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# An APScheduler tick that is skipped because the one before still asks is made up by the next.
LEVELS = {
    "alembic": logging.WARNING,
    "httpx": logging.WARNING,
    "apscheduler": logging.ERROR,
}


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object, with the trace of its request or job.

    Fields: `timestamp` (RFC 3339, UTC), `level`, `logger`, `message`; where there are any
    `exception`, `trace_id`, `span_id`. Nothing else that was attached to a record is written.

    Examples
    --------
    >>> ended = {"name": "jobs", "levelname": "INFO", "msg": "%s", "args": ("ended",)}
    >>> JsonFormatter().format(logging.makeLogRecord(ended | {"created": 0.0}))[:58]
    '{"timestamp": "1970-01-01T00:00:00.000Z", "level": "INFO",'
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_trace(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _trace() -> dict[str, str]:
    """Return the ids of the span that this thread or task is in."""
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def configure(form: LogFormat) -> None:
    """Write what this process logs to the standard error, in one of the formats."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(TEXT) if form is LogFormat.TEXT else JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level)
