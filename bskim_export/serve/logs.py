"""Logs as JSON, a line each, for whoever collects them. The texts of requests are never among them."""

import json
import logging
import time
from typing import Any

FIELDS = ("status", "seconds", "windows")
"""What a record of a request may have beside its message."""


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON.

    Example:
        >>> record = logging.LogRecord("bskim_export", 20, "", 0, "POST /", (), None)
        >>> record.status = 200
        >>> line = json.loads(JsonFormatter().format(record))
        >>> line["message"], line["status"], line["level"]
        ('POST /', 200, 'info')
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        seconds = time.gmtime(record.created)
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', seconds)}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_as_json(level: str) -> None:
    """Write what bskim-export and uvicorn log to standard error, as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    for name in ("bskim_export", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level.upper())
        logger.propagate = False
    logging.getLogger("uvicorn").setLevel("DEBUG" if level == "debug" else "ERROR")  # it warns of all garbage
