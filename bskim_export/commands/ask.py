"""bskim-ask: one question, one passage, and which parts of the passage were skimmed."""

from pathlib import Path

import click
from rich.text import Text

import bskim_export
from bskim_export.commands.common import backend_options, console, open_for, tidy
from bskim_export.errors import InputError
from bskim_export.runtime.pipeline import QAPipeline

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("engines", type=click.Path(path_type=Path), default="engines")
@click.option("--question", required=True, help="The question.")
@click.option("--context", help="The passage.")
@click.option(
    "--file", "path", type=click.Path(path_type=Path), help="A text file with the passage; - for standard input."
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Instead of the bundle's thresholds.")
@backend_options
@click.version_option(bskim_export.__version__)
@tidy
def main(engines, question, context, path, threshold, threads, precision, backend_name):
    """Answer a question from the bundle ENGINES (default: engines/).

    Prints the passage with the answer marked. What was skimmed is dimmed and in brackets, each followed by the layer
    after which it was dropped.
    """
    if (context is None) == (path is None):
        raise InputError("Pass the passage with --context, or its file with --file.")
    if context is None:
        try:
            context = click.get_text_stream("stdin").read() if str(path) == "-" else path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"'{path}' cannot be read as UTF-8 text: {error}") from None
    qa = QAPipeline(engines, threshold=threshold, backend=open_for(engines, backend_name, threads, precision))
    answer = qa.run(question=question, context=context, max_answer_len=30, return_skim=True)
    console.print(Text.assemble(("Question  ", "bold"), question))
    console.print(render_passage(context, answer))
    skipped = sum(s["end"] - s["start"] for s in answer["skipped"])
    console.print(
        Text.assemble(("Answer    ", "bold"), (answer["answer"], "bold green"), f"  (score {answer['score']:.3f})")
    )
    console.print(f"Skimmed   {skipped} of {len(context)} characters", highlight=False)


def render_passage(context: str, answer: dict) -> Text:
    """Return the passage with each skimmed range dimmed, in brackets and with its layer, and the answer marked."""
    passage, shown, done = Text(context), Text(), 0
    passage.stylize("bold green", answer["start"], answer["end"])
    for skipped in answer["skipped"]:
        start, end = skipped["start"], skipped["end"]
        passage.stylize("dim", start, end)
        shown.append_text(passage[done:start]).append("⟨", "cyan")
        shown.append_text(passage[start:end]).append(f"⟩{str(skipped['layer']).translate(_SUBSCRIPT)}", "cyan")
        done = end
    return shown.append_text(passage[done:])
