"""The directory that a run writes: its record, which says what run it is, and a file for each part that is done."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bskim_export.atomic import explained, write_json
from bskim_export.errors import InputError, OutputError
from bskim_export.locks import is_temporary, take_lock
from bskim_export.mapping.source import Part, Source, count_written

RECORD = "_map.json"
"""What reads a directory of Parquet passes over names that begin with an underscore."""

BEGUN = ".begun"
"""Ends the name of the file that counts how often a part was begun."""

FORMAT = 1
"""Of the record. A run does not go on with one of another format."""

PATIENCE = 30.0
"""Seconds that a network disk may take to show a file that another node wrote."""

_SHOWN = 5


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Make the directory, and have it as the only run that writes into it.

    Raises:
        OutputError: it cannot be made, or another run has it.
    """
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if take_lock(descriptor) is False:
            raise OutputError(f"Another bskim-map writes into '{out}'. Wait for it, or name another --out.")
        yield
    finally:
        os.close(descriptor)


def read_record(out: Path) -> dict[str, Any] | None:
    """Return the record of the run that wrote a directory; None of an empty one.

    Raises:
        OutputError: it holds something else than a run, or its record cannot be read.
    """
    with explained(out):
        names = [n for n in os.listdir(out) if not is_temporary(n, RECORD, "tmp")]
    if RECORD not in names:
        if names:
            raise OutputError(f"'{out}' holds '{min(names)}', and is not of bskim-map. Name a new or an empty --out.")
        return None
    try:
        record = json.loads((out / RECORD).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise OutputError(f"'{out}' is of another version of bskim-map. Name another --out.")
        Source.from_record(record["input"])
        return {**record, "settings": dict(record["settings"]), "bundle": dict(record["bundle"])}
    except OutputError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"'{out / RECORD}' is damaged ({error!r}). Name another --out, or delete this one."
        ) from error


def write_record(out: Path, source: Source, settings: dict[str, Any], bundle: dict[str, Any]) -> None:
    """Write what tells a run from another. Raises OutputError."""
    write_json(out / RECORD, {"format": FORMAT, "settings": settings, "bundle": bundle, "input": source.as_record()})


def require_same(
    out: Path, record: dict[str, Any], source: Source, settings: dict[str, Any], bundle: dict[str, Any]
) -> Source:
    """Return the input as the record counted it, if this is the run that it is of.

    Args:
        source: not counted
        settings, bundle: as they were passed to `write_record`

    Raises:
        InputError: it is of another run. Says what differs and what to do.
    """
    recorded = Source.from_record(record["input"])
    differ = [
        f"--{name} was {_shown(was)} and is {_shown(now)}" for name, was, now in _pairs(record["settings"], settings)
    ]
    differ += [f"the bundle has other {name}" for name, _, _ in _pairs(record["bundle"], bundle)]
    differ += _input_differs(recorded, source)
    if differ:
        more = f"; and {len(differ) - _SHOWN} more" if len(differ) > _SHOWN else ""
        raise InputError(
            f"'{out}' holds rows of another run: {'; '.join(differ[:_SHOWN])}{more}. Go on with what it was begun "
            f"with, or name another --out."
        )
    return recorded


def _pairs(was: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield name, was.get(name), now.get(name)


def _input_differs(was: Source, now: Source) -> list[str]:
    if was.path != now.path:
        return [f"IN was '{was.path}' and is '{now.path}'"]
    before = {file.path: file.identity for file in was.files}
    after = {file.path: file.identity for file in now.files}
    changed = [path for path in before if path in after and before[path] != after[path]]
    return [
        *(f"'{path}' was changed" for path in changed),
        *(f"'{path}' is gone" for path in before if path not in after),
        *(f"'{path}' is new" for path in after if path not in before),
    ]


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None or value == "":
        return {True: "on", False: "off", None: "not given", "": "empty"}[value]
    return str(value)


def appears(path: Path) -> bool:
    """Return whether there is a file, or will be in some seconds: network disks are slow to tell of new ones."""
    end = time.monotonic() + PATIENCE
    while not path.exists():
        if time.monotonic() > end:
            return False
        os.scandir(path.parent).close()
        time.sleep(0.2)
    return True


def missing_parts(out: Path, source: Source, part_rows: int, form: str) -> tuple[list[Part], int, list[str]]:
    """Return the parts that are still to be done, the rows that are, and the files that were not whole, which are gone.

    A part is done if its file is there with all its rows.
    """
    for name in os.listdir(out):
        if name.endswith(BEGUN):  # a new run counts anew
            (out / name).unlink(missing_ok=True)
    missing = []
    done = 0
    spoiled = []
    for part in source.parts(part_rows):
        path = out / part.name(form)
        if not path.exists():
            missing.append(part)
        elif count_written(path) == part.rows:
            done += part.rows
        else:  # not by a kill: a disk lost it, or somebody wrote into it
            spoiled.append(path.name)
            with explained(path):
                path.unlink()
            missing.append(part)
    return missing, done, spoiled
