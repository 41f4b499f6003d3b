"""bskim-ask: one question, one passage or a store of documents, and which parts of the passage were skimmed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from bskim_export.commands.common import (
    align_option,
    backend_options,
    bundle_argument,
    command,
    deliver,
    json_option,
    max_blocks_option,
    open_for,
    threshold_option,
    window_scale_option,
    write_report,
)
from bskim_export.commands.terminal import console
from bskim_export.commands.types import Named, Real, Whole
from bskim_export.errors import InputError

if TYPE_CHECKING:
    from bskim_export.runtime.highlight import HighlightedPassage
    from bskim_export.runtime.scoring import Answer

_SUBSCRIPT: dict[int, int] = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@command
@bundle_argument
@click.option("--question", required=True, help="The question.")
@click.option("--context", help="The passage.")
@click.option("--file", "path", type=Named(), help="A text file with the passage; - for standard input.")
@click.option("--store", type=Named(), metavar="DIR", help="Instead of a passage, all documents that bskim-prepare put "
              "into this directory.")  # fmt: skip
@click.option("--top-k", type=Whole(min=1), default=1, show_default=True, metavar="N", help="Answers, best first.")
@click.option("--handle-impossible-answer", "impossible", is_flag=True, help="Let the passage have no answer.")
@click.option("--highlight", is_flag=True, help="Do not answer: show the sentences that matter, and dim the others.")
@click.option("--keep", type=Real(0, 1), metavar="SHARE", help="With --highlight: the share of the text to keep. "
              "[default: sentences with a probability of 0.1 or more]")  # fmt: skip
@align_option
@max_blocks_option
@window_scale_option
@threshold_option
@backend_options
@json_option
def main(
    bundle: Path,
    question: str,
    context: str | None,
    path: Path | None,
    store: Path | None,
    top_k: int,
    impossible: bool,
    highlight: bool,
    keep: float | None,
    align_to_words: bool,
    max_blocks: int | None,
    window_scale: str | None,
    threshold: float | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    json_path: Path | None,
) -> None:
    """Answer a question from BUNDLE (default: engines/).

    Prints the passage with the answer marked. What was skimmed is dimmed and in brackets, each followed by the layer
    after which it was dropped. Of a store, prints what stands around each answer, and the name of its document.
    """
    from bskim_export.runtime.pipeline import QAPipeline

    if (context, path, store).count(None) != 2:
        raise InputError(
            "Pass the passage with --context, or its file with --file, or documents with --store: one of them."
        )
    if keep is not None and not highlight:
        raise InputError("--keep is for --highlight.")
    if highlight and store is not None:
        raise InputError("--highlight is for a passage: it reads all of it, and of a store only some blocks are read.")
    passage = "" if store is not None else _read_passage(context, path)
    qa = QAPipeline(bundle, threshold=threshold, backend=open_for(bundle, backend_name, threads, precision))
    if store is not None:
        from bskim_export.commands.ask_store import ask_store, show_store

        answered = ask_store(
            qa,
            store,
            question,
            top_k=top_k,
            handle_impossible_answer=impossible,
            align_to_words=align_to_words,
            max_blocks=max_blocks,
            window_scale=window_scale,
        )
        deliver(lambda: show_store(answered), lambda: write_report(json_path, answered))
        return
    if highlight:
        (judged,) = qa.highlight(question, [passage], keep=keep)["passages"]
        pruned = {"question": question, "highlight": judged}
        deliver(lambda: _show_highlight(question, passage, judged), lambda: write_report(json_path, pruned))
        return
    found = qa.run(
        question=question,
        context=passage,
        top_k=top_k,
        handle_impossible_answer=impossible,
        align_to_words=align_to_words,
        max_blocks=max_blocks,
        window_scale=window_scale,
        return_skim=True,
    )
    answers = found if isinstance(found, list) else [found]
    skipped = answers[0].get("skipped", [])
    report = {
        "question": question,
        "answers": [{name: value for name, value in one.items() if name != "skipped"} for one in answers],
        "skipped": skipped,
    }
    deliver(lambda: _show(question, passage, answers), lambda: write_report(json_path, report))


def _show(question: str, context: str, answers: "list[Answer]") -> None:
    best = answers[0]
    skipped = best.get("skipped", [])
    console.print(Text.assemble(("Question  ", "bold"), question))
    console.print(render_passage(context, best, _marks(console.encoding)))
    for number, answer in enumerate(answers):
        text = (answer["answer"], "bold green") if answer["answer"] else ("none", "yellow")
        title = "Answer" if number == 0 else "or"
        console.print(Text.assemble((f"{title:<10}", "bold"), text, f"  (score {answer['score']:.3f})"))
    characters = sum(s["end"] - s["start"] for s in skipped)
    console.print(f"Skimmed   {characters} of {len(context)} characters")


def _show_highlight(question: str, context: str, judged: "HighlightedPassage") -> None:
    passage = Text(context)
    for sentence in judged["sentences"]:
        passage.stylize("bold green" if sentence["kept"] else "dim", sentence["start"], sentence["end"])
    console.print(Text.assemble(("Question  ", "bold"), question))
    console.print(passage)
    for sentence in judged["sentences"]:
        if sentence["kept"]:
            text = context[sentence["start"] : sentence["end"]]
            console.print(
                Text.assemble(("Kept      ", "bold"), f"{sentence['probability']:.3f}  ", (text, "bold green"))
            )
    console.print(f"Cut       {judged['compression']:.0%} of {len(context)} characters")


def _marks(encoding: str) -> tuple[str, str, dict[int, int]]:
    """Return what stands before and after a skimmed range, and how the digits of its layer are written."""
    try:
        "⟨⟩₀".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "<", ">", {}
    return "⟨", "⟩", _SUBSCRIPT


def render_passage(
    context: str, answer: "Answer", marks: tuple[str, str, dict[int, int]] = ("⟨", "⟩", _SUBSCRIPT)
) -> Text:
    """Return the passage with each skimmed range dimmed, in brackets and with its layer, and the answer marked.

    Args:
        marks: the two brackets, and a table for the digits of the layer
    """
    before = marks[0]
    after = marks[1]
    passage = Text(context)
    passage.stylize("bold green", answer["start"], answer["end"])
    shown = Text()
    done = 0
    for skipped in answer["skipped"]:
        start = skipped["start"]
        end = skipped["end"]
        passage.stylize("dim", start, end)
        shown.append_text(passage[done:start]).append(before, "cyan")
        shown.append_text(passage[start:end]).append(f"{after}{str(skipped['layer']).translate(marks[2])}", "cyan")
        done = end
    return shown.append_text(passage[done:])


def _read_passage(context: str | None, path: Path | None) -> str:
    """Return the passage of --context or --file. Raises InputError if the file cannot be read."""
    if path is None:
        return context or ""
    try:
        return (sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read as UTF-8 text: {error}") from None
