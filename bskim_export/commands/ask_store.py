"""What bskim-ask says of the documents of a store."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from bskim_export.commands.terminal import console

if TYPE_CHECKING:
    from bskim_export.runtime.pipeline import QAPipeline

AROUND = 100
"""Characters that are shown on either side of an answer."""


def ask_store(qa: "QAPipeline", folder: Path, question: str, **options: Any) -> dict[str, Any]:
    """Return the answers of a store's documents: as `QAPipeline.run` gives them, with "document" and "around".

    Args:
        options: of the run

    Raises:
        BundleError: the model is not split.
        InputError: there is no store, or it is damaged or another model's.
    """
    from bskim_export.runtime.prepared.collection import Collection
    from bskim_export.runtime.prepared.store import Store

    identity = qa.split_answerer().identity
    documents = Collection(Store(folder).load(), identity)
    found = qa.run(question=question, prepared=documents, **options)
    answers: list[dict[str, Any]] = []
    for answer in found if isinstance(found, list) else [found]:
        if answer.get("passage") is None:
            answers.append({**answer, "around": None})
            continue
        part, own = documents.part_of(answer["passage"])
        answers.append({**answer, "around": around(part.passages[own].text, answer["start"], answer["end"])})
    return {"question": question, "answers": answers}


def around(text: str, start: int, end: int) -> dict[str, Any]:
    """Return whole words of a text around a range, and where the range is among them.

    Example:
        >>> around("It was written by Ada.", 18, 21)
        {'text': 'It was written by Ada.', 'start': 18, 'end': 21}
    """
    first, last = max(0, start - AROUND), min(len(text), end + AROUND)
    # A word that is cut is left out, unless nothing is left then.
    if first and (space := _space(text, range(first, start))) is not None:
        first = space + 1
    if last < len(text) and (space := _space(text, range(last - 1, end - 1, -1))) is not None:
        last = space
    return {"text": text[first:last], "start": start - first, "end": end - first}


def _space(text: str, places: range) -> int | None:
    return next((i for i in places if text[i].isspace()), None)


def show_store(report: dict[str, Any]) -> None:
    """Print the answers, each with its document and what stands around it."""
    console.print(Text.assemble(("Question  ", "bold"), report["question"]))
    for number, answer in enumerate(report["answers"]):
        text = (answer["answer"], "bold green") if answer["answer"] else ("none", "yellow")
        title = "Answer" if number == 0 else "or"
        where = "" if answer.get("document") is None else f", in {answer['document']}"
        console.print(Text.assemble((f"{title:<10}", "bold"), text, f"  (score {answer['score']:.3f}{where})"))
        if answer["around"] is not None:
            shown = answer["around"]
            passage = Text(re.sub(r"\s", " ", shown["text"]))  # on few lines, its characters where they are
            passage.stylize("bold green", shown["start"], shown["end"])
            console.print(Padding(passage, (0, 0, 0, 10)))
