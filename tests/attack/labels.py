"""Counts, per data file, the answered questions that training labels as unanswered, and why.

    python tests/attack/labels.py FILE ... [--tokenizer DIR]

A question is lost to the window if no window could hold its answer at this length, or if every window cuts it because
it is longer than what neighbours share. Whatever is lost otherwise is a fault: the command then ends with 1.
"""

import argparse
import sys
from pathlib import Path

from tokenizers import Tokenizer

from bskim_export.bundle.manifest import DOC_STRIDE
from bskim_export.data.question import Question
from bskim_export.data.readers import read_questions
from bskim_export.runtime.windows import WindowMaker
from bskim_export.training.features import make_features

EXAMPLE = Path(__file__).parents[2] / "examples" / "minilm-l6-squad"


def make_maker(tokenizer: Path) -> WindowMaker:
    """Return the window maker of the example model, with any tokenizer."""
    from bskim_export.checkpoint.loading import load_checkpoint

    model = load_checkpoint(str(EXAMPLE)).describe()
    return WindowMaker(Tokenizer.from_file(str(tokenizer / "tokenizer.json")), model)


def shortest_answer(question: Question, maker: WindowMaker) -> int:
    """Return the tokens of the question's shortest answer, counted in its whole context: what overlaps its text."""
    offsets = maker.tokenizer.encode(question.context, add_special_tokens=False).offsets
    counts = []
    for start, answer in zip(question.starts, question.answers, strict=True):
        begin = start + len(answer) - len(answer.lstrip())
        end = start + len(answer.rstrip())
        counts.append(sum(a < end and b > begin for a, b in offsets))
    return min(counts)


def count_labels(questions: list[Question], maker: WindowMaker, max_seq_len: int, stride: int) -> dict[str, int]:
    """Return how many questions there are, are answered, are labelled, and are lost for which reason."""
    counts = {"questions": len(questions), "answered": 0, "labelled": 0, "exceeds": 0, "cut": 0, "otherwise": 0}
    for question in questions:
        if not question.answers:
            continue
        counts["answered"] += 1
        if any(f.start for f in make_features([question], maker, max_seq_len, stride)):
            counts["labelled"] += 1
            continue
        tokens = shortest_answer(question, maker)
        asked = len(maker.tokenizer.encode(question.question))
        room = max_seq_len - asked - 1
        if tokens > room:
            counts["exceeds"] += 1
        elif tokens > min(stride, room // 2):
            counts["cut"] += 1
        else:
            counts["otherwise"] += 1
            print(f"  lost: {question.id}: {question.answers[:2]!r}", file=sys.stderr)
    return counts


def main() -> None:
    """Print one line a file, and end with 1 if anything is lost that a window could hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--tokenizer", type=Path, default=EXAMPLE, help="a directory with tokenizer.json")
    parser.add_argument("--max-seq-len", type=int, default=384)
    parser.add_argument("--doc-stride", type=int, default=DOC_STRIDE)
    arguments = parser.parse_args()
    maker = make_maker(arguments.tokenizer)
    failed = 0
    headers = ("file", "questions", "answered", "labelled", "longer than a window", "cut by all", "lost otherwise")
    print(" | ".join(headers))
    for file in arguments.files:
        questions = read_questions(file, lambda note: print(f"  {note}", file=sys.stderr))
        counts = count_labels(questions, maker, arguments.max_seq_len, arguments.doc_stride)
        print(" | ".join([file.name, *(f"{n:,}" for n in counts.values())]), flush=True)
        failed += counts["otherwise"]
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
