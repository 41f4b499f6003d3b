"""The errors that a user can meet. Each message names the problem and the remedy."""


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


class MissingExtraError(BskimError, ImportError):
    """An optional dependency is missing. The message names the pip extra that brings it."""


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
