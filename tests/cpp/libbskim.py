"""bskim.h by ctypes, for tests: its structs and functions, and a class that calls them as QAPipeline is called."""

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_double, c_int, c_int32, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any

ABI_VERSION = 1
OK, INPUT_ERROR, BUNDLE_ERROR, NO_MEMORY, INTERNAL_ERROR, FORK_ERROR = range(6)
TERMINATED = NONE = c_size_t(-1).value
OPTIONS = (
    "top_k",
    "max_seq_len",
    "doc_stride",
    "has_doc_stride",
    "max_answer_len",
    "batch_size",
    "max_windows",
    "max_blocks",
    "handle_impossible_answer",
    "no_align_to_words",
    "return_skim",
)


class Error(Structure):
    _fields_ = (("text", c_char * 1024),)


class OpenOptions(Structure):
    _fields_ = (
        ("size", c_size_t),
        ("backend", c_char_p),
        ("precision", c_char_p),
        ("threads", c_int32),
        ("batch_size", c_int32),
        ("has_threshold", c_int32),
        ("threshold", c_double),
    )


class AskOptions(Structure):
    _fields_ = (("size", c_size_t), *((name, c_int32) for name in OPTIONS), ("window_scale", c_char_p))


class Passage(Structure):
    # Pointers, and no c_char_p: a text may hold zeros.
    _fields_ = (("text", c_void_p), ("text_size", c_size_t), ("title", c_void_p), ("title_size", c_size_t))


class Answer(Structure):
    _fields_ = (
        ("score", c_double),
        ("start", c_size_t),
        ("end", c_size_t),
        ("start_byte", c_size_t),
        ("end_byte", c_size_t),
        ("passage", c_size_t),
        ("text", c_void_p),
        ("text_size", c_size_t),
    )


class Skipped(Structure):
    _fields_ = (("start", c_size_t), ("end", c_size_t), ("passage", c_size_t), ("layer", c_int32))


class Answers(Structure):
    _fields_ = (
        ("answers", POINTER(Answer)),
        ("count", c_size_t),
        ("skipped", POINTER(Skipped)),
        ("skipped_count", c_size_t),
        ("windows", c_size_t),
        ("kept_share", c_double),
    )


class BskimError(Exception):
    """What a call of the library returned, if that was not OK."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def load(path: Path) -> ctypes.CDLL:
    """Return the library, with the types of its functions."""
    library = ctypes.CDLL(str(path))
    given = (c_void_p, c_size_t)
    asked = (POINTER(AskOptions), POINTER(POINTER(Answers)), POINTER(Error))
    for name, returned, arguments in (
        ("abi_version", c_uint32, ()),
        ("version", c_char_p, ()),
        ("open", c_int, (c_char_p, POINTER(OpenOptions), POINTER(c_void_p), POINTER(Error))),
        ("close", None, (c_void_p,)),
        ("ask", c_int, (c_void_p, *given, *given, *asked)),
        ("ask_passages", c_int, (c_void_p, *given, POINTER(Passage), c_size_t, *asked)),
        ("free_answers", None, (POINTER(Answers),)),
    ):
        function = getattr(library, f"bskim_{name}")
        function.restype, function.argtypes = returned, arguments
    return library


def encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def ask_options(**given: Any) -> AskOptions:
    """Return options with a size. They are named as those of QAPipeline."""
    options = AskOptions(size=ctypes.sizeof(AskOptions))
    options.no_align_to_words = not given.pop("align_to_words", True)
    options.has_doc_stride = "doc_stride" in given
    for name, value in given.items():
        setattr(options, name, value)
    return options


class Pipeline:
    """A pipeline of the library; `with` closes it."""

    def __init__(self, library: ctypes.CDLL, bundle: Path | str, **given: Any):
        self.library, self.handle = library, c_void_p()
        options, error = OpenOptions(size=ctypes.sizeof(OpenOptions), **given), Error()
        status = library.bskim_open(str(bundle).encode(), byref(options), byref(self.handle), byref(error))
        self._check(status, error)

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, *_: object) -> None:
        self.library.bskim_close(self.handle)

    def ask(self, question: str | bytes, context: str | bytes, **options: Any) -> dict[str, Any]:
        """Return the answers of a question, as bskim-answer writes them."""
        one, other, error, found = encoded(question), encoded(context), Error(), POINTER(Answers)()
        status = self.library.bskim_ask(
            self.handle, one, len(one), other, len(other), byref(ask_options(**options)), byref(found), byref(error)
        )
        self._check(status, error)
        return self._take(found, False)

    def ask_passages(self, question: str, passages: list[str | dict[str, str]], **options: Any) -> dict[str, Any]:
        """Return the answers of a question about passages: strings, or dicts with "text" and perhaps "title"."""
        texts = [({"text": one} if isinstance(one, str) else one) for one in passages]
        held = [(encoded(one["text"]), encoded(one.get("title", ""))) for one in texts]  # as long as the call runs
        pointers = [[ctypes.cast(c_char_p(part), c_void_p) for part in one] for one in held]
        array = (Passage * len(held))(
            *(Passage(p[0], len(one[0]), p[1], len(one[1])) for one, p in zip(held, pointers, strict=True))
        )
        asked, error, found = encoded(question), Error(), POINTER(Answers)()
        status = self.library.bskim_ask_passages(
            self.handle, asked, len(asked), array, len(held), byref(ask_options(**options)), byref(found), byref(error)
        )
        self._check(status, error)
        return self._take(found, True)

    def _check(self, status: int, error: Error) -> None:
        if status != OK:
            raise BskimError(status, error.text.decode())
        assert error.text == b""

    def _take(self, found: Any, joint: bool) -> dict[str, Any]:
        """Read answers, and free them."""
        answers = found.contents
        taken = {
            "answers": list(self._answers(answers, joint)),
            "skipped": [_read(answers.skipped[i], joint) for i in range(answers.skipped_count)],
            "windows": answers.windows,
            "kept_share": answers.kept_share,
        }
        self.library.bskim_free_answers(found)
        return taken

    def _answers(self, answers: Answers, joint: bool) -> Iterator[dict[str, Any]]:
        for i in range(answers.count):
            read = _read(answers.answers[i], joint)
            size = read.pop("text_size")
            text = ctypes.string_at(read.pop("text"), size + 1)
            assert text[size] == 0, "it ends with a zero"
            yield read | {"answer": text[:size].decode()}


def _read(struct: Any, joint: bool) -> dict[str, Any]:
    read = {name: getattr(struct, name) for name, _ in struct._fields_}
    passage = read.pop("passage")
    assert joint or passage == NONE
    return read | ({"passage": None if passage == NONE else passage} if joint else {})
