"""Bundles on the Hugging Face Hub, by its own library: its cache, its tokens, its offline mode.

A name like "user/repo" stands for the bundle of that repository, where no such path is. What comes is checked as any
bundle is, and is data only: graphs, weights and JSON.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from bskim_export.bundle.checks import TOKENIZER
from bskim_export.bundle.manifest_file import MANIFEST
from bskim_export.errors import BskimError, BundleError, OutputError, missing_extra

FILES = (MANIFEST, TOKENIZER, "report.json", "onnx/*")
"""What is fetched and sent: all of a bundle but engines, which fit the machine that compiled them."""

CARD = "README.md"

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def is_hub_name(text: str) -> bool:
    """Return whether a text names a repository rather than a path: it looks like one, and its first part is no
    directory here.

    Example:
        >>> is_hub_name("user/repo"), is_hub_name("engines"), is_hub_name("./user/repo"), is_hub_name("docs/none")
        (True, False, False, False)
    """
    return _NAME.fullmatch(text) is not None and not Path(text).parent.exists()


def fetch(name: str, revision: str | None = None) -> Path:
    """Return the directory of a repository's bundle, fetched unless the cache has it.

    Args:
        name: "user/repo"
        revision: a branch, a tag or a commit; default: the main branch

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        BundleError: the Hub does not give it.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        purpose = f"'{name}' is no directory here. To fetch it from the Hugging Face Hub, bskim-export"
        raise missing_extra("huggingface_hub", "hub", purpose) from error
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(FILES)))
    except Exception as error:  # of the library, and of all that it reaches the Hub with
        at = "" if revision is None else f" at revision '{revision}'"
        raise BundleError(
            f"'{name}' is no directory here, and the Hugging Face Hub did not give it{at} ({_reason(error)})."
        ) from None


def push(folder: Path, name: str, files: Iterable[str], card: str, private: bool = False) -> str:
    """Send files of a directory to a repository, which is made if it is not there.

    Args:
        folder: the directory
        name: "user/repo"
        files: patterns of what is sent
        card: the text of its README.md; one that is there already stays
        private: of a repository that is made

    Returns:
        the address of the commit

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        OutputError: the Hub does not take it.
    """
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
    except ImportError as error:
        raise missing_extra("huggingface_hub", "hub", "--push") from error
    try:
        api = HfApi(library_name="bskim-export")
        api.create_repo(name, private=private, exist_ok=True)
        sent = sorted({path for pattern in files for path in folder.glob(pattern) if path.is_file()})
        operations = [CommitOperationAdd(str(path.relative_to(folder)), str(path)) for path in sent]
        if not api.file_exists(name, CARD):
            operations.append(CommitOperationAdd(CARD, card.encode("utf-8")))
        return str(api.create_commit(name, operations, commit_message="Publish with bskim-export").commit_url)
    except BskimError:
        raise
    except Exception as error:
        raise OutputError(f"The Hugging Face Hub did not take '{name}' ({_reason(error)}).") from None


def _reason(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]
