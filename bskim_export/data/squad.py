"""SQuAD 1.1 files, and the dev set that travels with the package."""

import gzip
import json
import random
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bskim_export.errors import InputError


@dataclass(frozen=True)
class Question:
    """One question of a data set; `answers` are its gold texts, `starts` their character offsets."""

    id: str
    question: str
    context: str
    answers: tuple[str, ...]
    starts: tuple[int, ...]


def load_squad(name_or_path: str | Path = "squad") -> list[Question]:
    """Read a data set.

    Args:
        name_or_path: "squad" for the official SQuAD 1.1 dev set (10,570 questions), or a SQuAD-format JSON or JSON.gz

    Raises:
        InputError: there is no such file, or it is malformed; the message names the place.

    Example:
        >>> len(load_squad("squad"))
        10570
    """
    if str(name_or_path) == "squad":
        packaged = resources.files("bskim_export.data") / "squad-dev-v1.1.json.gz"
        return parse_squad(json.loads(gzip.decompress(packaged.read_bytes())), "squad")
    path = Path(name_or_path)
    if not path.is_file():
        raise InputError(f"There is no file '{path}'. Pass 'squad' or a SQuAD-format JSON or JSON.gz.")
    data = path.read_bytes()
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        parsed = json.loads(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"'{path}' is a damaged gzip file: {error}") from None
    except ValueError as error:
        raise InputError(f"'{path}' is not valid JSON: {error}") from None
    return parse_squad(parsed, str(path))


def parse_squad(parsed: object, source: str) -> list[Question]:
    """Return the questions of parsed SQuAD JSON; `source` names it in errors."""
    questions = []
    for a, article in enumerate(_get(parsed, "data", list, source)):
        place = f"{source}: data[{a}]"
        for p, paragraph in enumerate(_get(article, "paragraphs", list, place)):
            place = f"{source}: data[{a}].paragraphs[{p}]"
            context = _get(paragraph, "context", str, place)
            for q, qa in enumerate(_get(paragraph, "qas", list, place)):
                at = f"{place}.qas[{q}]"
                answers = _get(qa, "answers", list, at)
                questions.append(
                    Question(
                        _get(qa, "id", str, at),
                        _get(qa, "question", str, at),
                        context,
                        tuple(_get(x, "text", str, f"{at}.answers[{i}]") for i, x in enumerate(answers)),
                        tuple(_get(x, "answer_start", int, f"{at}.answers[{i}]") for i, x in enumerate(answers)),
                    )
                )
    if not questions:
        raise InputError(f"{source}: there are no questions in it.")
    return questions


def sample(questions: list[Question], limit: int | None, seed: int = 42) -> list[Question]:
    """Return `limit` of the questions, drawn without replacement, the same for the same seed; all if fewer."""
    if limit is None or limit >= len(questions):
        return questions
    if limit < 1:
        raise InputError(f"The number of questions must be at least 1, got {limit}.")
    return random.Random(seed).sample(questions, limit)


def _get(parent: object, key: str, kind: type, place: str):
    if not isinstance(parent, dict) or key not in parent:
        raise InputError(f"{place}: '{key}' is missing; is this SQuAD 1.1 format?")
    if not isinstance(parent[key], kind):
        raise InputError(f"{place}: '{key}' should be a {kind.__name__}, found {type(parent[key]).__name__}.")
    return parent[key]
