"""The one check of questions between reading and running them: what cannot be run is left out, and told.

Without it, one question that fills the window would end a benchmark or a calibration midway.
"""

from collections.abc import Iterator, Sequence

from bskim_export.data.fields import short
from bskim_export.data.notes import Notes, OnNote, warn_data
from bskim_export.data.question import Question
from bskim_export.data.visible import HIDDEN
from bskim_export.errors import InputError
from bskim_export.runtime.options import RunOptions
from bskim_export.runtime.windows import WindowMaker, replace_surrogates

LEFT_OUT = "Questions left out that cannot be run"
_BATCH = 1000
_BEGINNING = 200
"""Visible characters of a context that are tokenised, to see whether it has words."""
_MOST_TOKENS = 8
"""Tokens that a character makes at most, as far as is known: byte-level tokenizers make four."""
_SPECIAL = 8
"""Special tokens of a window at most."""


def usable(
    questions: Sequence[Question], maker: WindowMaker, options: RunOptions, on_note: OnNote = warn_data
) -> list[Question]:
    """Return the questions that can be run, in order. Those that cannot are counted in a note that names the first.

    A question cannot be run if it has no words, if its context has none, if it fills the window, or if there would be
    too many windows.

    Args:
        maker: cuts windows
        options: settings of the run
        on_note: called with one line if any is left out

    Raises:
        InputError: none is left.
    """
    notes = Notes()
    found = []
    first = ""
    for question, suspect in zip(questions, _suspects(questions, maker, options), strict=True):
        problem = _problem(question, maker, options) if suspect else ""
        if problem:
            place = f"id {short(question.id)}: {problem}"
            first = first or place
            notes.add(LEFT_OUT, place)
        else:
            found.append(question)
    if questions and not found:
        raise InputError(f"None of the {len(questions):,} questions can be run, the first with the {first}")
    for line in notes.lines():
        on_note(line)
    return found


def _problem(question: Question, maker: WindowMaker, options: RunOptions) -> str:
    """Return why a question cannot be run, or nothing."""
    try:
        maker(question.question, question.context, options.max_seq_len, options.doc_stride, options.max_windows)
    except InputError as error:
        return str(error)
    return ""


def _suspects(questions: Sequence[Question], maker: WindowMaker, options: RunOptions) -> Iterator[bool]:
    """Yield of each question whether it must be looked at closely.

    To cut every question would take as long as a good part of the run. Most need no more than a look at the question
    and the beginning of the context. The rule itself is the window maker's alone; this errs on the side of a look.
    """
    known: dict[str, int] = {}
    for start in range(0, len(questions), _BATCH):
        part = questions[start : start + _BATCH]
        contexts = list({q.context: None for q in part if q.context not in known})
        known |= zip(contexts, _count_tokens([_beginning(c) for c in contexts], maker), strict=True)
        for question, tokens in zip(part, _count_tokens([q.question for q in part], maker), strict=True):
            room = options.max_seq_len - tokens - _SPECIAL
            # Windows advance by half of the room at least.
            most_windows = 2 * _MOST_TOKENS * len(question.context) / max(room, 1) + 1
            no_words = tokens == 0 or known[question.context] == 0
            yield no_words or room < 2 or most_windows > options.max_windows


def _beginning(context: str) -> str:
    return HIDDEN.sub(" ", context[: 10 * _BEGINNING]).strip()[:_BEGINNING]


def _count_tokens(texts: list[str], maker: WindowMaker) -> list[int]:
    clean = [replace_surrogates(text) for text in texts]
    return [len(encoding.ids) for encoding in maker.tokenizer.encode_batch(clean, add_special_tokens=False)]
