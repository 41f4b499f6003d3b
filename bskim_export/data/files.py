"""Read data files: JSON or JSON lines, gzipped or not. Whatever a file holds, the outcome is that or an InputError.

Only regular files are read. A pipe or a device may never end.
"""

import gc
import gzip
import io
import json
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bskim_export.data.limits import MOST_BLANK_LINES, VARIABLE, Limits, in_words
from bskim_export.errors import InputError

FORMS = (
    "A data set is 'squad' (the SQuAD 1.1 dev set that travels with the package), FILE or squad:FILE (SQuAD format), "
    "mrqa:FILE, hotpotqa:FILE, hub:NAME[[:CONFIG]:SPLIT], articles[:FILE] (whole articles), or documents:N:FILE (N "
    "paragraphs for each question)."
)
_CHUNK = 2**20
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
          stat.S_IFSOCK: "a socket"}  # fmt: skip


@contextmanager
def open_data(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file for reading bytes. Its content says whether it is gzipped, not its name.

    Raises:
        InputError: there is no such file, it is no regular file, it cannot be read, or its gzip data is damaged. The
            damage may show only while the stream is read.
    """
    try:
        with open(_descriptor(path), "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.open(raw) if packed else raw as stream:
                yield stream
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"'{path}' is a damaged gzip file: {error}") from None
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"There is no file '{path}'. {FORMS}") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}. {FORMS}") from None
    except MemoryError:
        raise InputError(f"'{path}' needs more memory than there is. Split it, or use a machine with more.") from None


def read_json(path: Path, limits: Limits | None = None) -> object:
    """Return the parsed content of a JSON file.

    Raises:
        InputError: the file cannot be read, is not JSON, or is larger than the limits.
    """
    limits = limits or Limits.of()
    with open_data(path) as stream:
        data = bytearray()
        while chunk := stream.read(_CHUNK):
            data += chunk
            if len(data) > limits.file:
                raise _too_large(str(path), limits.file)
        return parse_json(data, f"'{path}' is", limits)


def read_json_lines(path: Path, limits: Limits | None = None) -> Iterator[tuple[str, object]]:
    """Yield (place, parsed line) of a file with one JSON value a line. Blank lines are skipped.

    The file is read as the lines are asked for. The place, such as "file.jsonl.gz, line 3", is for error messages.

    Raises:
        InputError: the file cannot be read, a line is not JSON, or is larger than the limits.
    """
    limits = limits or Limits.of()
    with open_data(path) as stream:
        read = 0
        blank = 0
        number = 0
        while line := stream.readline(limits.line + 1):
            number += 1
            place = f"{path}, line {number}"
            read += len(line)
            if len(line) > limits.line:
                raise _too_large(place, limits.line)
            if read > limits.lines:
                raise _too_large(str(path), limits.lines)
            if line.isspace():
                blank += 1
                if blank > MOST_BLANK_LINES:
                    raise InputError(f"{place}: more than {MOST_BLANK_LINES:,} blank lines, one behind the other.")
                continue
            blank = 0
            yield place, parse_json(line, f"{place}:", limits)


def parse_json(data: bytes | bytearray, subject: str, limits: Limits) -> object:
    """Return parsed JSON. A lone surrogate, which is no character, becomes U+FFFD, so that offsets stay.

    Args:
        data: JSON in UTF-8, UTF-16 or UTF-32
        subject: begins the error, such as "'dev.json' is"

    Raises:
        InputError: it is not JSON, or holds too much.
    """
    try:
        text = data.decode(json.detect_encoding(data))
        if sum(map(text.count, ",[{")) > limits.values:
            raise InputError(
                f"{subject} JSON with more than {limits.values:,} values. {_how_to_raise(limits.file)}, or split it."
            )
        with _no_collecting(len(text) > _CHUNK):
            parsed = json.loads(text)
        return _without_surrogates(parsed) if _ESCAPED_SURROGATE.search(text) else parsed
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{subject} not valid JSON: {error}") from None
    except RecursionError:
        raise InputError(f"{subject} not valid: it is nested deeper than any data set is.") from None
    except MemoryError:
        raise InputError(f"{subject} too large: there is not enough memory to parse it.") from None


@contextmanager
def _no_collecting(large: bool) -> Iterator[None]:
    """Pause the garbage collector while a large text is parsed. It would find nothing, over and over, for minutes."""
    pause = large and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()


def _descriptor(path: Path) -> int:
    """Open a regular file. To open a pipe waits for a writer, unless it is told not to."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except ValueError:  # a null character
        raise FileNotFoundError from None
    except OSError as error:
        # A socket cannot be opened, and other processes may change the file in between: say what it is, if anything.
        kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode)) if path.exists() else None
        if kind:
            raise InputError(f"'{path}' is {kind}, not a file. {FORMS}") from None
        raise error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise InputError(f"'{path}' is {_KINDS.get(stat.S_IFMT(mode), 'no file')}, not a file. {FORMS}")
    return descriptor


def _too_large(what: str, limit: int) -> InputError:
    return InputError(f"'{what}' is larger than {in_words(limit)}, unpacked. {_how_to_raise(limit)}.")


def _how_to_raise(limit: int) -> str:
    return f"If you trust it, set the environment variable {VARIABLE}, now {limit}, to more"


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(entry) for entry in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(entry) for key, entry in value.items()}
    return value
