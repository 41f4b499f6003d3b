"""Questions about long documents, made of those about single paragraphs.

D. Chen, A. Fisch, J. Weston, A. Bordes: Reading Wikipedia to Answer Open-Domain Questions. ACL 2017.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

from bskim_export.data.question import Question
from bskim_export.errors import InputError

SEPARATOR = "\n\n"
"""Stands between two paragraphs of a document."""
PER_ARTICLE = 8
"""Questions that are asked of each article by `some_of_each`."""


def words_of(questions: Sequence[Question], count: int) -> list[str]:
    """Return so many words of the questions' contexts, each context once; from the beginning again if they end.

    Example:
        >>> words_of([Question("1", "Who?", "Ada wrote.", (), ())] * 2, 5)
        ['Ada', 'wrote.', 'Ada', 'wrote.', 'Ada']
    """
    words = " ".join(dict.fromkeys(q.context for q in questions)).split(" ")
    return (words * -(-count // len(words)))[:count]


def whole_articles(questions: Sequence[Question]) -> list[Question]:
    """Return the questions, each asked of its whole article: all paragraphs of its title, in order.

    Raises:
        InputError: no question has a title.

    Example:
        >>> two = [Question(text, "Who?", text, (text,), (0,), title="A") for text in ("Ada.", "Bob.")]
        >>> [(q.context, q.starts) for q in whole_articles(two)]
        [('Ada.\\n\\nBob.', (0,)), ('Ada.\\n\\nBob.', (6,))]
    """
    by_title = _paragraphs(questions)
    if set(by_title) == {""}:
        raise InputError("The questions name no articles: there is no 'title' to tell which paragraphs are of one.")
    articles: dict[str, tuple[str, dict[str, int]]] = {}
    for title, paragraphs in by_title.items():
        articles[title] = join(paragraphs)
    return [moved(q, *articles[q.title]) if q.title else q for q in questions]


def some_of_each(questions: Sequence[Question], count: int = PER_ARTICLE, seed: int = 3) -> list[Question]:
    """Return at most so many questions of each title, drawn at random, articles in order."""
    by_title: dict[str, list[Question]] = {}
    for question in questions:
        by_title.setdefault(question.title, []).append(question)
    draw = random.Random(seed)
    return [q for own in by_title.values() for q in (draw.sample(own, count) if len(own) > count else own)]


class DocumentMaker:
    """Asks questions of several paragraphs each: their own and others, in random order.

    The others are of the same title, and of any title once these are used up. Without a title, they are drawn from the
    nearest in the file that have none either: files as a rule hold articles one after the other. What is drawn for a
    question depends on its id and the seed alone.

    Args:
        questions: those whose paragraphs there are
        seed: of the draws

    Example:
        >>> two = [Question("1", "Who?", "Ada.", ("Ada",), (0,)), Question("2", "Who?", "Bob.", (), ())]
        >>> document = DocumentMaker(two, seed=1)(two[0], 2)
        >>> sorted(document.context.split(SEPARATOR)), document.context[document.starts[0] :][:3]
        (['Ada.', 'Bob.'], 'Ada')
    """

    def __init__(self, questions: Sequence[Question], seed: int = 42):
        self._by_title = _paragraphs(questions)
        self._untitled = {paragraph: i for i, paragraph in enumerate(self._by_title.get("", ()))}
        self._all = list(dict.fromkeys(p for own in self._by_title.values() for p in own))
        self._seed = seed

    def __call__(self, question: Question, size: int) -> Question:
        """Return the question, asked of `size` paragraphs, or of as many as there are."""
        return moved(question, *join(self._paragraphs(question, size)))

    def passages(self, question: Question, size: int) -> list[Question]:
        """Return the question, asked of each of those paragraphs by itself: of the others it has no answer."""
        return [
            question if p == question.context else replace(question, context=p, answers=(), starts=(), supporting=())
            for p in self._paragraphs(question, size)
        ]

    def _paragraphs(self, question: Question, size: int) -> list[str]:
        draw = random.Random(f"{self._seed} {question.id}")
        own = [p for p in self._article(question, size) if p != question.context]
        others = draw.sample(own, min(size - 1, len(own)))
        if len(others) < size - 1:
            taken = {question.context, *others}
            # More than are missing: some of them may be taken already.
            further = draw.sample(self._all, min(size + len(others), len(self._all)))
            others += [p for p in further if p not in taken][: size - 1 - len(others)]
        paragraphs = [question.context, *others]
        draw.shuffle(paragraphs)
        return paragraphs

    def _article(self, question: Question, size: int) -> Sequence[str]:
        """Return the paragraphs of a question's title; without one, the nearest `size` on either side."""
        found = self._by_title.get(question.title, [])
        if question.title:
            return found
        here = self._untitled.get(question.context, 0)
        return found[max(0, here - size) : here + size + 1]


def join(paragraphs: Iterable[str]) -> tuple[str, dict[str, int]]:
    """Return a document of paragraphs, and where each begins in it."""
    places: dict[str, int] = {}
    place = 0
    for paragraph in paragraphs:
        places[paragraph] = place
        place += len(paragraph) + len(SEPARATOR)
    return SEPARATOR.join(places), places


def by_paragraph(questions: Sequence[Question]) -> dict[str, dict[str, list[Question]]]:
    """Return the questions of each paragraph of each title, in order."""
    by_title: dict[str, dict[str, list[Question]]] = {}
    for question in questions:
        by_title.setdefault(question.title, {}).setdefault(question.context, []).append(question)
    return by_title


def _paragraphs(questions: Sequence[Question]) -> dict[str, list[str]]:
    """Return the different paragraphs of each title, in order."""
    return {title: list(paragraphs) for title, paragraphs in by_paragraph(questions).items()}


def moved(question: Question, document: str, places: dict[str, int]) -> Question:
    """Return a question of a paragraph, asked of a document that holds it; see `join`."""
    place = places[question.context]
    return replace(
        question,
        context=document,
        starts=tuple(start + place for start in question.starts),
        supporting=tuple((start + place, end + place) for start, end in question.supporting),
    )
