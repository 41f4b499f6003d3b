"""Give skim predictors to a question-answering model whose own weights must not change.

    python examples/retrofit_your_model.py my-qa-model/ --dataset train.json --out retrofitted/

The steps are those of `bskim-train --freeze`, `bskim-export` and `bskim-calibrate`. Here they are calls, so that they
can go into a pipeline of your own. Take 10,000 questions or more for a model that you mean to use.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from bskim_export import QAPipeline, export_bundle, load_checkpoint, read_questions
from bskim_export.calibrate.recipes import Recipe
from bskim_export.calibrate.session import Session
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.data.question import Question, hold_out, sample
from bskim_export.training.run import train
from bskim_export.training.settings import TrainSettings


def main() -> None:
    """Train predictors, export, calibrate thresholds, and print the evidence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a directory, a hub id or a model.pt")
    parser.add_argument("--dataset", default="squad", help="questions to learn from; see docs/datasets.md")
    parser.add_argument("--limit", type=int, help="questions of it, drawn at random; default: all")
    parser.add_argument("--held-out", type=int, default=500, help="of these, how many choose the thresholds")
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--max-f1-drop", type=float, default=0.5, help="points of F1 that skimming may cost")
    parser.add_argument("--out", type=Path, default=Path("retrofitted"))
    arguments = parser.parse_args()
    questions = sample(read_questions(arguments.dataset), arguments.limit)
    # Whole passages are held out: predictors remember what a passage that they have seen is asked about.
    questions, held_out = hold_out(questions, arguments.held_out)
    trained = add_predictors(arguments.model, questions, held_out, arguments)
    bundle = arguments.out / "bundle"
    export_bundle(trained, bundle, questions=held_out[:32])
    print(summary(calibrate(bundle, held_out, arguments.max_f1_drop)))


def add_predictors(
    source: str, questions: list[Question], held_out: list[Question], arguments: argparse.Namespace
) -> Checkpoint:
    """Train predictors on a model as it is, and return both.

    Args:
        source: the model
        questions: for the predictors to learn from
        held_out: questions that precision and recall are logged on
    """
    without = load_checkpoint(source, layers=[])  # no predictors, even if the checkpoint has some
    before = {name: value.clone() for name, value in without.model.backbone.state_dict().items()}
    settings = TrainSettings(source, arguments.dataset, predictor="question", freeze=True, epochs=arguments.epochs)
    path = arguments.out / "model.pt"
    train(without, questions, held_out, settings, path)
    trained = load_checkpoint(path)
    after = trained.model.backbone.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    print(f"Predictors after layers {list(trained.model.skim.layers)}; the model's own {len(before)} tensors are "
          "the same to the bit.")  # fmt: skip
    return trained


def calibrate(bundle: Path, questions: list[Question], max_f1_drop: float) -> dict[str, Any]:
    """Choose the thresholds of a bundle, write them into it, and return the evidence."""
    pipeline = QAPipeline(bundle)
    answerable = [q for q in questions if q.answers]
    recipe = Recipe(sample=len(answerable), held_out=0, max_f1_drop=max_f1_drop)
    # Finished work is kept beside the bundle, so that an interrupted calibration goes on where it was.
    session = Session(pipeline, answerable, recipe, bundle.with_suffix(".calibration"), machine="this one")
    evidence = session.calibrate()
    pipeline.bundle.write_calibration(evidence["thresholds"], evidence)
    return evidence


def summary(evidence: dict[str, Any]) -> str:
    """Return the evidence in a sentence."""
    rows = evidence["calibration"]
    return (
        f"F1 {rows['dense']['f1']:.2f} dense, {rows['skim']['f1']:.2f} skimmed, at {rows['skim']['speedup_macs']:.2f}x "
        f"fewer multiply-accumulates, on {rows['questions']} held-out questions."
    )


if __name__ == "__main__":
    main()
