"""What the front and its workers say to each other: JSON, a message a line, over a socket of their own.

To a worker:

    {"open": {...}}                                             first; see `worker.Opening`
    {"id": 7, "task": "answer", "inputs": ..., "parameters": ...}
    {"cancel": 7}

From a worker:

    {"ready": {...}} or {"fatal": "why the bundle cannot be opened"}
    {"id": 7, "result": ..., "tally": {...}}                    see `jobs.Tally`
    {"id": 7, "error": "what is wrong", "kind": "input", "seconds": 3.2}
"""

import json
from typing import Any

from bskim_export.errors import BundleError, InputError
from bskim_export.serve.limits import BusyError, TooLargeError

KINDS: tuple[tuple[str, type[Exception]], ...] = (
    ("busy", BusyError),
    ("large", TooLargeError),
    ("input", InputError),
    ("bundle", BundleError),
)
"""The kinds of errors, subclasses first. All others are "internal"."""


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as a line. Lone surrogates stay what they are.

    Example:
        >>> encode({"cancel": 7})
        b'{"cancel":7}\\n'
    """
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def kind_of(error: Exception) -> str:
    """Return the kind of an error.

    Example:
        >>> kind_of(InputError("`question` cannot be empty.")), kind_of(OSError())
        ('input', 'internal')
    """
    return next((kind for kind, own in KINDS if isinstance(error, own)), "internal")
