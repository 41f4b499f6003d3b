"""Compare the answers of libbskim with those of QAPipeline, on the same bundle and the same backend.

    python tests/cpp/compare_answers.py engines/ --dataset squad
    python tests/cpp/compare_answers.py engines/ --dataset articles
    python tests/cpp/compare_answers.py engines/ --dataset squad --limit 500 --passages --backend openvino

Prints how many questions have the same answers, places, skipped ranges and shares of kept blocks, and the largest
difference of scores. Exits with 1 at any difference, or at a score that differs by more than 1e-5.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bskim_export.data.question import Question, sample
from bskim_export.data.readers import read_questions
from bskim_export.runtime.pipeline import QAPipeline

TOOL = Path("build/cpp/bskim-answer")
MOST = 1e-5
TOGETHER = 200
"""Questions of one call."""


@dataclass
class Counts:
    """What differs, of how many questions."""

    questions: int = 0
    answers: int = 0
    bytes: int = 0
    skipped: int = 0
    kept_share: int = 0
    score: float = 0.0
    shown: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Return whether nothing differs."""
        return not (self.answers or self.bytes or self.skipped or self.kept_share) and self.score <= MOST

    def report(self) -> str:
        """Return one line of figures, and some of the differences."""
        line = (
            f"{self.questions} questions: {self.answers} with other answers or places, {self.bytes} with wrong byte "
            f"offsets, {self.skipped} with other skipped ranges, {self.kept_share} with another share of kept blocks; "
            f"scores differ by {self.score:.1e} at most"
        )
        return "\n".join([line, *self.shown])


class Other:
    """bskim-answer, which reads a line for each call and writes one."""

    def __init__(self, tool: Path, bundle: Path, options: list[str]):
        command = [str(tool), str(bundle), "--jsonl", "--quiet", *options]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **call: Any) -> dict[str, Any]:
        """Return what it says of a call. Raises RuntimeError if it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"bskim-answer ended with status {self._process.wait()}.")
        found: dict[str, Any] = json.loads(line)
        return found


def compare(
    theirs: dict[str, Any], ours: list[dict[str, Any]], contexts: list[str], counts: Counts, name: str = ""
) -> None:
    """Count what differs between the answers to one question.

    Args:
        theirs: what bskim-answer says
        ours: what QAPipeline says
        contexts: the context, or the passages
    """
    counts.questions += 1
    places = [(a["start"], a["end"], a["answer"], a.get("passage")) for a in theirs.get("answers", [])]
    expected = [(a["start"], a["end"], a["answer"], a.get("passage")) for a in ours]
    if places != expected:
        counts.answers += 1
        if len(counts.shown) < 10:
            counts.shown.append(f"  {name}: {theirs.get('error', places)} instead of {expected}")
        return
    for one, other in zip(theirs["answers"], ours, strict=True):
        counts.score = max(counts.score, abs(one["score"] - other["score"]))
        text = contexts[other.get("passage") or 0].encode("utf-8", "replace")
        if text[one["start_byte"] : one["end_byte"]].decode() != one["answer"]:
            counts.bytes += 1
    counts.skipped += theirs["skipped"] != ours[0]["skipped"]
    counts.kept_share += theirs["kept_share"] != ours[0]["stats"]["kept_share"]


def calls(questions: list[Question], joint: bool) -> Iterator[list[Question]]:
    """Yield the questions of each call."""
    size = 1 if joint else TOGETHER
    for start in range(0, len(questions), size):
        yield questions[start : start + size]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--tool", type=Path, default=TOOL)
    parser.add_argument("--dataset", default="squad")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--passages", action="store_true", help="ask of the paragraphs of the context, jointly")
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--backend")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--max-blocks", type=int)
    given = parser.parse_args()
    questions = sample(read_questions(given.dataset, lambda _: None), given.limit, 0)
    named = {name: getattr(given, name) for name in ("backend", "precision", "threads", "threshold")}
    flags = [text for name, value in named.items() if value is not None for text in (f"--{name}", str(value))]
    asked = {"top_k": given.top_k, "return_skim": True, "max_blocks": given.max_blocks}
    other = Other(given.tool, given.bundle, flags if given.backend else flags[2:])
    qa = QAPipeline(given.bundle, **named)
    counts = Counts()
    with tqdm(total=len(questions), disable=None) as bar:
        for part in calls(questions, given.passages):
            if given.passages:
                texts = [text for text in part[0].context.split("\n") if text.strip()] or [part[0].context]
                found = other.ask(question=part[0].question, passages=texts, **asked)
                ours = qa.run(question=part[0].question, passages=texts, return_stats=True, **asked)
                compare(found, ours if isinstance(ours, list) else [ours], texts, counts, part[0].id)
            else:
                pairs = [{"question": one.question, "context": one.context} for one in part]
                results = other.ask(questions=pairs, **asked)
                if "error" in results:
                    raise RuntimeError(results["error"])
                for one, theirs, ours in zip(
                    part, results["results"], qa.run(data=pairs, return_stats=True, **asked), strict=True
                ):
                    answers = ours if isinstance(ours, list) else [ours]
                    compare(theirs, answers, [one.context], counts, one.id)
            bar.update(len(part))
    print(counts.report())
    return 0 if counts.same else 1


if __name__ == "__main__":
    sys.exit(main())
