"""A bundle as a model in a model repository of the Triton Inference Server. Needs neither torch nor onnx."""

import os
import re
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bskim_export import __version__
from bskim_export.atomic import check_folder, explained, full_disk_as_error
from bskim_export.backends.catalogue import CATALOGUE
from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.directory import OLD, PARTIAL, atomic_directory
from bskim_export.bundle.manifest import Manifest
from bskim_export.bundle.ownership import find_foreign, is_mount_point
from bskim_export.errors import InputError, OutputError, only_own_errors
from bskim_export.locks import is_temporary

MODEL = Path(__file__).parent / "triton" / "model.py"
RUNTIME = ("click", "numpy", "onnxruntime", "rich", "tokenizers")
"""What the runtime itself needs; a test compares it with setup.cfg."""

WRITTEN = "# Written by bskim-export --triton, which replaces it."
"""The first line of config.pbtxt: whose the directory is."""

CONFIG = f"""{WRITTEN} The model's name is that of this directory.
backend: "python"
max_batch_size: 32
input [
  {{ name: "question" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "context" data_type: TYPE_STRING dims: [ 1 ] }}
]
output [
  {{ name: "answer" data_type: TYPE_STRING dims: [ 1 ] }},
  {{ name: "score" data_type: TYPE_FP32 dims: [ 1 ] }},
  {{ name: "start" data_type: TYPE_INT64 dims: [ 1 ] }},
  {{ name: "end" data_type: TYPE_INT64 dims: [ 1 ] }}
]
# A batch's windows run side by side, a core each. A question waits 2 ms at most for others.
dynamic_batching {{ preferred_batch_size: [ 8, 16, 32 ] max_queue_delay_microseconds: 2000 }}
# One process uses all cores; more would share them. Whether a GPU runs the bundle is the bundle's choice.
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""

_MAY_HOLD = re.compile(
    r"config\.pbtxt|requirements\.txt|1(/(model\.py|engines(/.*)?|__pycache__(/model\.[^/]+\.pyc)?))?", re.DOTALL
)
"""The paths in a model's directory. Triton's Python keeps what it compiled beside model.py."""


@only_own_errors
def write_triton_repository(bundle: str | Path, repository: str | Path) -> Path:
    """Copy a bundle into a Triton model repository, as a model of the Python backend that has the bundle's name.

    The model appears whole or not at all. Other models of the repository stay as they are.

    Args:
        bundle: the directory that bskim-export wrote, calibrated or not
        repository: the directory of models; made if it is not there

    Returns:
        the model's directory: config.pbtxt, requirements.txt, 1/model.py, and the bundle as 1/engines

    Raises:
        BundleError: there is no bundle, or it is not intact.
        OutputError, DiskFullError: the model cannot be written. What was there is unchanged.
        InputError: the bundle would lie in the model, or the model in the bundle.

    Example:
        >>> write_triton_repository("engines/", "models/")  # doctest: +SKIP
        PosixPath('models/engines')
    """
    opened = Bundle.open(bundle)
    target = check_triton_target(Path(bundle), Path(repository))
    with (
        explained(target),
        full_disk_as_error(f"'{target}'", "Free some and try again."),
        atomic_directory(target, _check_model) as folder,
    ):
        (folder / "1").mkdir()
        shutil.copyfile(MODEL, folder / "1" / "model.py")
        # Hidden files are what killed writers left.
        shutil.copytree(opened.folder, folder / "1" / "engines", ignore=shutil.ignore_patterns(".*"))
        copied = Bundle.open(folder / "1" / "engines")  # another export may have replaced it meanwhile
        (folder / "requirements.txt").write_text(requirements(copied.manifest), encoding="utf-8")
        (folder / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    return target


@only_own_errors
def check_triton_target(bundle: Path, repository: Path) -> Path:
    """Return the directory of a bundle's model in a repository. Changes nothing: to be called before hours of work.

    Args:
        bundle: where the bundle is or will be; its name, not that of what a link leads to, is the model's

    Raises:
        OutputError: something else is there, or it cannot be written.
        InputError: the bundle would lie in the model, or the model in the bundle.
    """
    target = repository / os.path.basename(os.path.abspath(bundle))
    own, other = Path(os.path.realpath(target)), Path(os.path.realpath(bundle))
    if own.is_relative_to(other) or other.is_relative_to(own):
        raise InputError(
            f"The bundle '{bundle}' and its model '{target}' would lie in each other. Choose another --triton."
        )
    _check_model(target)
    return target


def requirements(manifest: Manifest) -> str:
    """Return the lines of a requirements.txt that installs what runs a bundle, in the versions that are here."""
    names = {engines.backend for engines in manifest.engines}
    names |= {way.backend for way in manifest.cpu.ways[:1]} if manifest.cpu else set()
    entries = [CATALOGUE[name] for name in sorted(names) if name in CATALOGUE]
    extras = sorted({entry.extra for entry in entries if entry.extra})
    wanted = {name for entry in entries for name in entry.distributions} | set(RUNTIME)
    own = f"bskim-export[{','.join(extras)}]" if extras else "bskim-export"
    pins = [f"{name}=={found}" for name in sorted(wanted) if (found := _version(name))]
    return "\n".join([f"{own}=={__version__}", *pins]) + "\n"


def _version(name: str) -> str | None:
    try:
        return version(name).partition("+")[0]  # a local build's label is on no index
    except PackageNotFoundError:
        return None


def _check_model(target: Path) -> None:
    """Raise OutputError if writing a model to `target` would destroy something else, or could not be done at all."""
    with explained(target):
        if os.path.lexists(target):
            foreign = _foreign(Path(os.path.realpath(target)))
            if foreign:
                raise OutputError(f"'{target}' {foreign}; nothing was changed. Choose another --triton.")
        check_folder(target if is_mount_point(Path(os.path.realpath(target))) else target.parent)


def _foreign(target: Path) -> str | None:
    """Return what shows that a directory is not a model of ours alone, as the end of a sentence; None if it is one."""
    if not target.is_dir():
        return "is no directory"
    found = [name for name in os.listdir(target) if not is_temporary(name, target.name, PARTIAL, OLD)]
    if not found:
        return None
    try:
        with open(target / "config.pbtxt", encoding="utf-8", errors="replace") as stream:
            ours = stream.readline(200).startswith(WRITTEN)
    except FileNotFoundError:
        ours = False
    if not ours:
        return "exists and is no model that bskim-export wrote"
    for place, folders, names in os.walk(target):
        if Path(place) == target:
            folders[:] = [name for name in folders if name in found]
        for name in sorted((*folders, *names)):
            path = os.path.relpath(os.path.join(place, name), target)
            if not _MAY_HOLD.fullmatch(path):
                return f"also holds '{path}', which is not of the model"
    foreign = find_foreign(target / "1" / "engines", [])
    return foreign and f"has a bundle that {foreign}"
