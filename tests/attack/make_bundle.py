"""Exports a tiny random model, to be attacked: python tests/attack/make_bundle.py DIR"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from support import EXAMPLE, SHAPE, make_model, spread_scores
from transformers import BertConfig

from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.question import sample
from bskim_export.data.squad import load_squad
from bskim_export.export.exporter import export_bundle


def make_bundle(out: Path) -> None:
    """Export a BERT of three tiny layers with predictors after two of them."""
    questions = sample(load_squad(), 10, seed=1)
    tokenizer = (EXAMPLE / "tokenizer.json").read_text(encoding="utf-8")
    checkpoint = Checkpoint(make_model(BertConfig(**SHAPE), (0, 1), predictor="question"), tokenizer, "tiny")
    spread_scores(checkpoint, questions)
    export_bundle(checkpoint, out, questions=questions[:2])


if __name__ == "__main__":
    make_bundle(Path(sys.argv[1]))
