"""Compare the tokens of libbskim with those of the `tokenizers` library, over real text and generated strings.

    python tests/cpp/compare_tokens.py --tool bskim-tokens --tokenizer tokenizer.json --data dev.json --strings 20000

Exits with 1 if anything differs.
"""

import argparse
import gzip
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from strings import strings
from tokenizers import Encoding, Tokenizer

_SURROGATES = re.compile("[\ud800-\udfff]")
SHOWN = 5
"""Differences that are shown in full."""

Texts = dict[str, str]
"""A line for the tool: `question` and `context`, or `text`."""


@dataclass
class Outcome:
    """What a comparison found."""

    lines: int = 0
    tokens: int = 0
    errors: int = 0
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.lines} lines, {self.tokens} tokens, {self.errors} that neither can tokenise, "
            f"{len(self.differences)} differences"
        )


def clean(text: str) -> str:
    """Return a text without lone surrogates, as the runtime passes it on."""
    return _SURROGATES.sub("\ufffd", text)


def read_squad(path: Path) -> Iterator[Texts]:
    """Yield every context by itself, and every question with its context."""
    data = path.read_bytes()
    articles = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)["data"]
    seen = set()
    for paragraph in (p for article in articles for p in article["paragraphs"]):
        context = clean(paragraph["context"])
        if context not in seen:
            seen.add(context)
            yield {"text": context}
        for qa in paragraph["qas"]:
            yield {"question": clean(qa["question"]), "context": context}


def generated(texts: Sequence[str]) -> Iterator[Texts]:
    """Yield generated strings, each by itself, and with the following one as its context."""
    texts = [clean(text) for text in texts]
    yield from ({"text": text} for text in texts)
    yield from ({"question": a, "context": b} for a, b in pairwise(texts))


def characters() -> Iterator[Texts]:
    """Yield code points between letters, and in front of and behind marks and spaces: all that may be assigned."""
    points = [*range(0xD800), *range(0xE000, 0x34000), *range(0xE0000, 0xE1000), *range(0x34000, 0x110000, 0x333)]
    for i in range(0, len(points), 10):
        yield {"text": " ".join("a{0}b {0}\u0301{0}1{0}{0} .{0}'".format(chr(c)) for c in points[i : i + 10])}


def expected(tokenizer: Tokenizer, texts: Texts) -> dict[str, Any]:
    """Return what the tool has to write for a line."""
    try:
        if "text" in texts:
            return _read(tokenizer.encode(texts["text"], add_special_tokens=False))
        return _read(tokenizer.encode(texts["question"], texts["context"]))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library is no Exception
        return {"error": str(error)}


def _read(encoding: Encoding) -> dict[str, Any]:
    return {
        "ids": encoding.ids,
        "types": encoding.type_ids,
        "offsets": [list(pair) for pair in encoding.offsets],
        "words": [-1 if w is None else w for w in encoding.word_ids],
        "sequence": [-1 if s is None else s for s in encoding.sequence_ids],
    }


def difference(texts: Texts, want: dict[str, Any], got: dict[str, Any]) -> str | None:
    """Return how two results differ, if they do."""
    if "error" in want or "error" in got:
        return None if "error" in want and "error" in got else f"{texts!a}: {_shown(want)}, not {_shown(got)}"
    for name, values in want.items():
        if values == got[name]:
            continue
        place = next(
            (i for i, (a, b) in enumerate(zip(values, got[name], strict=False)) if a != b),
            min(len(values), len(got[name])),
        )
        near = slice(max(0, place - 1), place + 4)
        return f"{texts!a}: {name}[{place}], near {values[near]}, not {got[name][near]}"
    return None


def _shown(result: dict[str, Any]) -> str:
    return result.get("error", "tokens")


def compare(tool: Path | str, tokenizer: Path | str, lines: Iterable[Texts]) -> Outcome:
    """Run the tool and the library over lines of texts."""
    own = Tokenizer.from_file(str(tokenizer))
    own.no_truncation()
    own.no_padding()
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "in"), Path(folder, "out")
        with given.open("w", encoding="utf-8") as file:
            for texts in lines:
                file.write(json.dumps(texts) + "\n")
        with given.open("rb") as source, made.open("wb") as target:
            done = subprocess.run([str(tool), str(tokenizer)], stdin=source, stdout=target, stderr=subprocess.PIPE)
        if done.returncode:
            raise RuntimeError(f"the tool ended with {done.returncode}: {done.stderr.decode(errors='replace')}")
        with given.open(encoding="utf-8") as asked, made.open(encoding="utf-8") as answered:
            for line, answer in zip(asked, answered, strict=True):
                texts, got = json.loads(line), json.loads(answer)
                want = expected(own, texts)
                outcome.lines += 1
                outcome.errors += "error" in want
                outcome.tokens += len(want.get("ids", ()))
                if found := difference(texts, want, got):
                    outcome.differences.append(found)
    return outcome


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=Path, required=True, help="bskim-tokens")
    parser.add_argument("--tokenizer", type=Path, required=True, help="a tokenizer.json")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="files in SQuAD's format, gzipped or not")
    parser.add_argument("--strings", type=int, default=0, help="how many strings to generate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--characters", action="store_true", help="also every code point of Unicode")
    arguments = parser.parse_args()

    own = Tokenizer.from_file(str(arguments.tokenizer))
    sources = [(str(path), read_squad(path)) for path in arguments.data]
    if arguments.strings:
        tokens = sorted(token.content for token in own.get_added_tokens_decoder().values())
        found = strings(arguments.strings, arguments.seed, tokens)
        sources.append((f"{len(found)} generated strings", generated(found)))
    if arguments.characters:
        sources.append(("every code point", characters()))
    differ = False
    for name, lines in sources:
        outcome = compare(arguments.tool, arguments.tokenizer, lines)
        print(f"{name}: {outcome}", flush=True)
        for found in outcome.differences[:SHOWN]:
            print(f"  {found}")
        differ = differ or bool(outcome.differences)
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
