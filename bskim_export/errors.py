"""The errors a user can meet. Each message says what is wrong and what to do about it."""


class BskimError(Exception):
    """Base of every error that bskim-export raises on purpose."""


class InputError(BskimError, ValueError):
    """A question, a context, an argument or a data file cannot be used as it is."""


class CheckpointError(BskimError, ValueError):
    """A model cannot be loaded: wrong head, missing parts, mismatched shapes, unsafe file."""


class BundleError(BskimError, ValueError):
    """A bundle is missing, incomplete, damaged or of another version."""


class ParityError(BskimError, RuntimeError):
    """The exported graphs do not give what PyTorch gives; the bundle was not written."""


class DiskFullError(BskimError, OSError):
    """There is no room for a file; what it was to replace is as it was."""


class MissingExtraError(BskimError, ImportError):
    """An optional dependency is needed; the message names the pip extra that brings it."""


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """Return the error for an import of `package` that failed."""
    return MissingExtraError(
        f"{purpose} needs '{package}', which is not installed. Install it with: pip install 'bskim-export[{extra}]'"
    )
