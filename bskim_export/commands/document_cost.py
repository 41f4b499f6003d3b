"""bskim document-cost: what the length of a text costs, and what it costs that passages are read apart."""

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from bskim_export.commands.common import bundle_argument, command, json_option, progress_bar, run_fresh, write_report
from bskim_export.commands.terminal import console
from bskim_export.commands.types import STDOUT, Whole

QUESTION = "Which NFL team represented the AFC at Super Bowl 50?"
PASSAGE_WORDS = 100
SCRIPT = """
import json, sys, time
from pathlib import Path
from bskim_export import QAPipeline
qa = QAPipeline(sys.argv[1])
text = Path(sys.argv[2]).read_text(encoding="utf-8")
start = time.perf_counter()
qa(question=sys.argv[3], context=text, max_windows=1_000_000)
seconds = time.perf_counter() - start
(peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "peak_mb": int(peak) / 1e3}))
"""
# A process's own peak: that of getrusage is at least what its parent had.


@command
@bundle_argument
@click.option("--words", type=Whole(min=1), multiple=True, default=(5_000, 20_000, 100_000), show_default=True,
              help="Of a text that a fresh process answers from. Several may be given.")  # fmt: skip
@click.option("--passages", type=Whole(min=1), default=200, show_default=True,
              help=f"Of {PASSAGE_WORDS} words each, answered from as passages and as one document.")  # fmt: skip
@click.option("--repeats", type=Whole(min=1), default=5, show_default=True, help="Runs of either, taking turns.")
@json_option
def main(bundle: Path, words: tuple[int, ...], passages: int, repeats: int, json_path: Path | None) -> None:
    """Print time and peak memory of BUNDLE (default: engines/) by the length of a text, and the time that passages
    take against the same text as one document. The text is SQuAD dev's, repeated where it is too short."""
    import numpy as np
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from bskim_export.bundle.bundle import Bundle
    from bskim_export.data.documents import words_of
    from bskim_export.data.squad import load_squad
    from bskim_export.evaluate.timing import interleaved
    from bskim_export.runtime.pipeline import QAPipeline

    folder = Bundle.open(bundle).folder  # a bundle that cannot be used is one clear error here, and a traceback there
    longest = max(*words, passages * PASSAGE_WORDS)
    every = words_of(load_squad(), longest)

    # Lengths, each in a process of its own.
    lengths: list[dict[str, Any]] = []
    with progress_bar() as bar, tempfile.TemporaryDirectory() as place:
        for count in bar.track(words, description="Lengths"):
            path = Path(place, "text.txt")
            path.write_text(" ".join(every[:count]), encoding="utf-8")
            lengths.append({"words": count, **json.loads(run_fresh(SCRIPT, folder, path, QUESTION))})

    # Passages and the same text as one document, in this process.
    qa = QAPipeline(folder)
    begins = range(0, passages * PASSAGE_WORDS, PASSAGE_WORDS)
    apart = [" ".join(every[i : i + PASSAGE_WORDS]) for i in begins]
    ways = [lambda: qa(question=QUESTION, passages=apart), lambda: qa(question=QUESTION, context=" ".join(apart))]
    joint, whole = np.median(interleaved(ways, repeats), axis=0).tolist()
    report = {
        "lengths": lengths,
        "passages": {"count": passages, "seconds": joint, "document_seconds": whole, "ratio": joint / whole},
    }
    write_report(json_path, report)
    if json_path == STDOUT:
        return
    table = Table(title="One question", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for header in ("words", "time (s)", "peak memory (MB)", "over the first"):
        table.add_column(header, justify="right")
    for one in lengths:
        more = one["peak_mb"] / lengths[0]["peak_mb"]
        table.add_row(f"{one['words']:,}", f"{one['seconds']:.1f}", f"{one['peak_mb']:.0f}", f"{more:.2f}x")
    console.print(table)
    console.print(
        f"{passages} passages of {PASSAGE_WORDS} words: p50 {joint:.2f} s; as one document: {whole:.2f} s; "
        f"{joint / whole:.2f}x"
    )
