"""bskim-ask: one question, one passage, and which parts of the passage were skimmed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from bskim_export.commands.common import backend_options, bundle_argument, command, console, open_for, threshold_option
from bskim_export.errors import InputError

if TYPE_CHECKING:
    from bskim_export.runtime.scoring import Answer

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@command
@bundle_argument
@click.option("--question", required=True, help="The question.")
@click.option("--context", help="The passage.")
@click.option(
    "--file", "path", type=click.Path(path_type=Path), help="A text file with the passage; - for standard input."
)
@threshold_option
@backend_options
def main(
    bundle: Path,
    question: str,
    context: str | None,
    path: Path | None,
    threshold: float | None,
    threads: int | None,
    precision: str,
    backend_name: str | None,
) -> None:
    """Answer a question from BUNDLE (default: engines/).

    Prints the passage with the answer marked. What was skimmed is dimmed and in brackets, each followed by the layer
    after which it was dropped.
    """
    from bskim_export.runtime.pipeline import QAPipeline

    context = _read_passage(context, path)
    qa = QAPipeline(bundle, threshold=threshold, backend=open_for(bundle, backend_name, threads, precision))
    answer = qa.run(question=question, context=context, return_skim=True)
    console.print(Text.assemble(("Question  ", "bold"), question))
    console.print(render_passage(context, answer))
    skipped = sum(s["end"] - s["start"] for s in answer["skipped"])
    console.print(
        Text.assemble(("Answer    ", "bold"), (answer["answer"], "bold green"), f"  (score {answer['score']:.3f})")
    )
    console.print(f"Skimmed   {skipped} of {len(context)} characters", highlight=False)


def render_passage(context: str, answer: "Answer") -> Text:
    """Return the passage with each skimmed range dimmed, in brackets and with its layer, and the answer marked."""
    passage = Text(context)
    passage.stylize("bold green", answer["start"], answer["end"])
    shown = Text()
    done = 0
    for skipped in answer["skipped"]:
        start = skipped["start"]
        end = skipped["end"]
        passage.stylize("dim", start, end)
        shown.append_text(passage[done:start]).append("⟨", "cyan")
        shown.append_text(passage[start:end]).append(f"⟩{str(skipped['layer']).translate(_SUBSCRIPT)}", "cyan")
        done = end
    return shown.append_text(passage[done:])


def _read_passage(context: str | None, path: Path | None) -> str:
    """Return the passage of --context or --file. Raises InputError unless exactly one of them gives a text."""
    if context is not None and path is None:
        return context
    if context is not None or path is None:
        raise InputError("Pass the passage with --context, or its file with --file.")
    try:
        return (sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read as UTF-8 text: {error}") from None
