"""The folder that a model is published into: whose it is, and how all of its files are replaced at once."""

import contextlib
import ctypes
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import safe_open

from bskim_export.atomic import explained
from bskim_export.errors import OutputError
from bskim_export.locks import is_temporary, remove_unless_locked, take_lock, temporary_name

WRITER = "bskim publish"
"""In the header of a model.safetensors: who wrote it. transformers writes none when it saves the model anew."""

FILES = ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json")
_OF_A_NEW_REPOSITORY = {".git", ".gitattributes", ".gitignore", "README.md"}
"""What a clone of a new repository of the Hub's has. None of it is ever written to."""

_KIND = "publish"


def check_folder_is_ours(folder: Path) -> None:
    """Do nothing if a model may be published into `folder`; see `publishing.publish`.

    Raises:
        OutputError: it may not.
    """
    with explained(folder):
        own_name = os.path.basename(os.path.realpath(folder))
        try:
            found = {name for name in os.listdir(folder) if not is_temporary(name, own_name, _KIND)}
        except FileNotFoundError:
            return
        if found <= _OF_A_NEW_REPOSITORY:
            return
        files = [folder / name for name in FILES if os.path.lexists(folder / name)]
        if not all(stat.S_ISREG(path.lstat().st_mode) for path in files) or not _is_published(folder / FILES[0]):
            some = ", ".join(sorted(found)[:3])
            raise OutputError(
                f"'{folder}' holds something that bskim publish did not write ({some}); nothing was changed. Publish "
                "into a new folder, or remove what is there."
            )


def replace_model(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files of a model so that all of them appear, or nothing changes.

    A new folder, and one that holds only an older model, change at one moment, even for a process that is killed. Files
    beside the model stay where they are; then the model's files are renamed one right after the other, and put back if
    that fails.

    Args:
        contents: of all FILES

    Raises:
        OutputError, DiskFullError: they cannot be written, or something else lies there by now.
    """
    with explained(folder):
        target = Path(os.path.realpath(folder))
        target.parent.mkdir(parents=True, exist_ok=True)
        with _staged(target, contents) as stage:
            check_folder_is_ours(target)
            if not target.exists():
                os.rename(stage, target)
            elif set(os.listdir(target)) <= set(FILES) and _exchange(stage, target):
                _remove_model(stage, target)
            else:
                _replace_each(stage, target)


def _is_published(weights: Path) -> bool:
    try:
        with safe_open(weights, "pt") as opened:
            return (opened.metadata() or {}).get("writer") == WRITER
    except Exception:  # whatever it is, it is not ours
        return False


@contextlib.contextmanager
def _staged(target: Path, contents: Mapping[str, bytes]) -> Iterator[Path]:
    """Yield a directory of the contents, beside the target or, where nothing may be made there, inside it.

    It is locked as long as it is in use, so that what a killed process left can be told from it and removed.
    """
    place = target.parent
    if target.is_dir() and (os.path.ismount(target) or not os.access(place, os.W_OK)):
        place = target
    _clear_leftovers(place, target.name)
    stage = place / temporary_name(target.name, _KIND)
    stage.mkdir()
    descriptor = os.open(stage, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        take_lock(descriptor)
        for name, content in contents.items():
            with open(stage / name, "xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        if target.is_dir():
            stage.chmod(stat.S_IMODE(target.stat().st_mode))
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        os.close(descriptor)


def _clear_leftovers(place: Path, name: str) -> None:
    for path in list(place.iterdir()):
        if is_temporary(path.name, name, _KIND):
            remove_unless_locked(path)


def _exchange(one: Path, other: Path) -> bool:
    """Let two directories change places at one moment. Returns False where the system cannot."""
    here = -100  # AT_FDCWD
    exchange = 2  # RENAME_EXCHANGE
    with contextlib.suppress(AttributeError, OSError):
        call = ctypes.CDLL(None, use_errno=True).renameat2
        return bool(call(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)
    return False


def _remove_model(old: Path, target: Path) -> None:
    """Remove the files of the older model. What somebody put beside them meanwhile moves to the new one."""
    for name in os.listdir(old):
        if name in FILES:
            (old / name).unlink()
        elif not os.path.lexists(target / name):
            (old / name).rename(target / name)


def _replace_each(stage: Path, target: Path) -> None:
    kept: list[str] = []
    done: list[str] = []
    for name in FILES:
        if os.path.lexists(target / name):
            _keep(target / name, stage / f"{name}.old")
            kept.append(name)
    try:
        for name in FILES:
            done.append(name)
            os.replace(stage / name, target / name)
    except BaseException:
        for name in done:
            if name in kept:
                os.replace(stage / f"{name}.old", target / name)
            elif not (stage / name).exists():
                (target / name).unlink(missing_ok=True)
        raise


def _keep(file: Path, copy: Path) -> None:
    try:
        os.link(file, copy)
    except OSError:  # a file system without hard links
        shutil.copyfile(file, copy)
