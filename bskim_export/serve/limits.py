"""What a service allows: everything that a request could make large."""

from dataclasses import dataclass

from bskim_export.errors import InputError


@dataclass(frozen=True)
class Limits:
    """The limits of a service. Requests beyond are refused with a message that says what is allowed.

    max_body: bytes of a request (413)
    max_questions: of a request (413)
    max_passages: of a question (413)
    max_windows: of a question; a request may ask for fewer (422)
    max_top_k: answers of a question (422)
    timeout: seconds from the end of a request's body to its answer (504)
    max_wait: seconds that a request may have to wait before its first window runs, as far as can be told; beyond, it
        is refused at once (429)
    max_requests: that wait or run at once (429)
    body_timeout: seconds for a request to arrive, headers and body each (408, or the connection is closed)

    Example:
        >>> Limits(timeout=0)
        Traceback (most recent call last):
        bskim_export.errors.InputError: timeout must be above 0, got 0.
    """

    max_body: int = 4_000_000
    max_questions: int = 128
    max_passages: int = 1000
    max_windows: int = 1024
    max_top_k: int = 100
    timeout: float = 60.0
    max_wait: float = 5.0
    max_requests: int = 512
    body_timeout: float = 20.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise InputError(f"{name} must be above 0, got {value}.")


class TooLargeError(InputError):
    """A request is larger than the service allows."""


class BusyError(InputError):
    """There is too much to do already.

    Args:
        seconds: after which it is worth another try
    """

    def __init__(self, message: str, seconds: float):
        super().__init__(message)
        self.seconds = seconds
