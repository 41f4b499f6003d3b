"""The errors that a user can meet. Each message names the problem and the remedy."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class BskimError(Exception):
    """The base of every error that bskim-export raises on purpose."""


class InputError(BskimError, ValueError):
    """A question, a context, an argument or a data file cannot be used as it is."""


class CheckpointError(BskimError, ValueError):
    """A model cannot be loaded: wrong head, missing parts, mismatched shapes, unsafe file."""


class BundleError(BskimError, ValueError):
    """A bundle is missing, incomplete, damaged or of another version."""


class ParityError(BskimError, RuntimeError):
    """The results of the exported graphs are too far from PyTorch's. The bundle was not written."""


class DiskFullError(BskimError, OSError):
    """There is no room for a file. The file that it should have replaced is unchanged."""


class OutputError(BskimError, OSError):
    """A file or a directory cannot be written where it was asked for. What was there is unchanged."""


class ForkError(BskimError, RuntimeError):
    """A pipeline that was opened before a fork cannot run in the child."""


class MissingExtraError(BskimError, ImportError):
    """An optional dependency is missing. The message names the pip extra that brings it."""


class InternalError(BskimError, RuntimeError):
    """Something failed that bskim-export did not foresee: a fault of its own, of a library, or of the machine."""


def only_own_errors(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Make a public function raise nothing but BskimError, so that its callers need to catch nothing else.

    Interruptions pass: KeyboardInterrupt, SystemExit, and whatever else is no error.

    Example:
        >>> @only_own_errors
        ... def half(n):
        ...     return n / 0
        >>> half(1)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        bskim_export.errors.InternalError: ZeroDivisionError: division by zero. If your arguments ...
    """

    @wraps(function)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except BskimError:
            raise
        except MemoryError as error:
            raise InternalError(
                "There is not enough memory for this input. Make it smaller, or lower batch_size."
            ) from error
        except RecursionError as error:
            raise InputError("The input is nested too deeply.") from error
        except BaseException as error:
            if not is_fault(error):
                raise
            said = f"{type(error).__name__}: {error}".rstrip(".: ")
            raise InternalError(
                f"{said}. If your arguments are of the documented types, please report this with the traceback above."
            ) from error

    return guarded


def is_fault(error: BaseException) -> bool:
    """Return whether an exception is a fault, and no interruption. Panics of Rust libraries are no Exceptions."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """Return the error for a failed import of an optional package.

    Args:
        package: the name of the package
        extra: the name of the pip extra that brings it
        purpose: names the thing that needs the package; the message begins with it
    """
    return MissingExtraError(
        f"{purpose} needs '{package}', which is not installed. Install it with: pip install 'bskim-export[{extra}]'"
    )
