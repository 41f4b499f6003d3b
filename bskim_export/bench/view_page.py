"""One HTML file about questions that were answered dense and skimming. It needs nothing else, and asks nobody.

Texts of a data set are strangers'. They go into the file as JSON in which `<` is escaped, and the page puts them in as
text. The file's own policy lets the browser run its one script and load nothing.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bskim_export.bench.view_report import Both, Way, in_order
from bskim_export.runtime.windows import replace_surrogates

_FILES = Path(__file__).parent / "view"
_DIGITS = 4
"""Of EM and F1 of a question, and of its kept share."""


def make_page(report: dict[str, Any], rows: Sequence[Both]) -> bytes:
    """Return the file, in UTF-8.

    Args:
        report: what is said of all questions: `summary`, `curve`, and what they were answered with
        rows: the questions, answered
    """
    style, script, page = (
        (_FILES / name).read_text(encoding="utf-8") for name in ("style.css", "page.js", "page.html")
    )
    style = f"\n{style}"
    script = f"\n{script}"
    policy = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; "
    policy += "base-uri 'none'; form-action 'none'"
    data = encode({**report, **list_questions(rows)})
    # The data come last, so that what they hold is never taken for a place to fill in.
    for name, content in (("policy", policy), ("style", style), ("script", script), ("data", data)):
        page = page.replace(f"{{{{{name}}}}}", content, 1)
    return page.encode()


def _hash(content: str) -> str:
    """Return how a Content-Security-Policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def encode(value: object) -> str:
    r"""Return JSON that can stand within a script element, whatever texts are in it.

    Example:
        >>> encode({"text": "</script>"})
        '{"text":"\\u003c/script>"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Both stand within strings only. A lone surrogate is no character, and UTF-8 cannot hold it.
    return replace_surrogates(text).replace("<", "\\u003c")


def list_questions(rows: Sequence[Both]) -> dict[str, Any]:
    """Return `contexts`, each once, and `questions` in the order in which they are shown, as `page.js` reads them."""
    places: dict[str, int] = {}
    questions = [_listed(group, row, places) for group, row in in_order(rows)]
    return {"contexts": list(places), "questions": questions}


def _listed(group: str, row: Both, places: dict[str, int]) -> dict[str, Any]:
    """Return one question; its context is noted in `places`, by its number."""
    own = row.question
    spans = sorted({(start, start + len(text)) for text, start in zip(own.answers, own.starts, strict=True)})
    return {
        "group": group,
        "id": own.id,
        "question": own.question,
        "context": places.setdefault(own.context, len(places)),
        "gold": list(dict.fromkeys(own.gold)),
        "spans": [place for span in spans for place in span],
        "dense": _answer(row.dense),
        "skim": _answer(row.skim),
        "windows": row.windows,
        "kept": round(row.kept_share, _DIGITS),
        "skipped": row.skipped,
    }


def _answer(way: Way) -> dict[str, Any]:
    return {
        "text": way.text,
        "start": way.start,
        "end": way.end,
        "em": round(way.em, _DIGITS),
        "f1": round(way.f1, _DIGITS),
        "gmacs": round(way.macs / 1e9, _DIGITS),
        "ms": round(1e3 * way.seconds, 2),
    }
