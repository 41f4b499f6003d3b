"""bskim store-cost: what a question to a large store of prepared documents costs, and where the time goes."""

import time
from pathlib import Path

import click

from bskim_export.commands.common import (
    backend_options,
    bundle_argument,
    command,
    deliver,
    json_option,
    open_for,
    progress_bar,
    write_report,
)
from bskim_export.commands.terminal import console
from bskim_export.commands.types import Whole

DISTINCT = 20
"""Documents that are really prepared; the others are copies, which lie elsewhere in memory."""


@command
@bundle_argument
@click.option("--documents", type=Whole(min=1), default=1000, show_default=True, metavar="N", help="In the store.")
@click.option("--words", type=Whole(min=1), default=5000, show_default=True, metavar="N", help="Of a document.")
@click.option("--questions", "count", type=Whole(min=1), default=50, show_default=True, metavar="N", help="Of SQuAD "
              "dev, asked one at a time.")  # fmt: skip
@backend_options
@json_option
def main(
    bundle: Path,
    documents: int,
    words: int,
    count: int,
    threads: int | None,
    precision: str,
    backend_name: str | None,
    json_path: Path | None,
) -> None:
    """Ask questions over N prepared documents at once with BUNDLE (default: engines/), a split model.

    Every block of all documents is scored. The text is SQuAD dev's. Some documents are prepared, and copied as often as
    it takes: features with memory of their own, which is what a question reads all of.
    """
    from dataclasses import replace

    import numpy as np

    from bskim_export.data.documents import words_of
    from bskim_export.data.question import sample
    from bskim_export.data.squad import load_squad
    from bskim_export.runtime.asked import Passage
    from bskim_export.runtime.pipeline import QAPipeline
    from bskim_export.runtime.prepared.collection import Collection
    from bskim_export.runtime.prepared.passages import question_ids

    questions = sample(load_squad(), count)
    qa = QAPipeline(bundle, backend=open_for(bundle, backend_name, threads, precision))
    group = min(10, documents)  # as a store's files hold them
    distinct = min(DISTINCT, documents) // group * group
    every = words_of(load_squad(), distinct * words)
    texts = [Passage(" ".join(every[i * words : (i + 1) * words])) for i in range(distinct)]
    answerer = qa.split_answerer()
    with progress_bar() as bar:
        parts = [
            answerer.prepare(texts[i : i + group], False, [f"{n}" for n in range(i, i + group)])
            for i in bar.track(range(0, distinct, group), description="Preparing")
        ]
        copies = [replace(parts[i % len(parts)], features=parts[i % len(parts)].features.copy())
                  for i in range(documents // group)]  # fmt: skip
        if rest := documents % group:
            copies.append(parts[0].only(range(rest)))
        whole, scan = [], []
        for number, question in enumerate(bar.track([questions[0], *questions], description="Asking")):
            start = time.perf_counter()
            qa(question=question.question, prepared=copies)
            if number:  # the first one warms up
                whole.append(time.perf_counter() - start)
            collection = Collection(copies, answerer.identity)
            (asked,) = answerer.lower.ask([question_ids(answerer.tokenizer, question.question, qa.bundle.model)])
            start = time.perf_counter()
            collection.scores(asked)
            if number:
                scan.append(time.perf_counter() - start)
    report = {
        "documents": documents,
        "blocks": sum(len(one) for one in copies),
        "seconds": float(np.median(whole)),
        "p95_seconds": float(np.quantile(whole, 0.95)),
        "scan_seconds": float(np.median(scan)),
        "bytes_per_token": sum(p.nbytes for p in parts) / sum(int(p.tokens.sum()) for p in parts),
    }
    deliver(
        lambda: console.print(
            f"{report['documents']:,} documents of {words:,} words, {report['blocks']:,} blocks: a question takes "
            f"{report['seconds'] * 1e3:.0f} ms (median of {count}; p95 {report['p95_seconds'] * 1e3:.0f} ms), "
            f"{report['scan_seconds'] * 1e3:.0f} ms of it to score all blocks. {report['bytes_per_token']:.0f} bytes a "
            "token."
        ),
        lambda: write_report(json_path, report),
    )
