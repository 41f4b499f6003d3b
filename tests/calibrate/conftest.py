"""One recorded pass of the trained model, which the tests of threshold calibration share."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from bskim_export import QAPipeline
from bskim_export.calibrate.record import Record, record
from bskim_export.calibrate.simulate import Outcome, Simulator
from bskim_export.calibrate.true_runs import run_truly
from bskim_export.data.question import Question, sample
from bskim_export.runtime.answering import Answerer
from bskim_export.runtime.windows import Window

QUESTIONS = 24


@dataclass(frozen=True)
class Recorded:
    """The trained model, some questions, their record, and the work directory.

    Windows are short, so that most questions have several.
    """

    answerer: Answerer
    questions: list[Question]
    record: Record
    folder: Path

    def windows(self, question: Question) -> list[Window]:
        return self.answerer.windows(question.question, question.context)

    def run_truly(self, thresholds: np.ndarray) -> Outcome:
        return run_truly(self.answerer, self.questions, thresholds, self.folder)


def ends_with_a_block(question: Question, answerer: Answerer) -> bool:
    """Return whether the first passage token begins a block: then the first window may leave, too."""
    if not 100 < len(question.question) < 250:  # too short or too long for one block
        return False
    return answerer.windows(question.question, question.context)[0].question_length == 32


@pytest.fixture(scope="session")
def recorded(minilm_bundle, squad, tmp_path_factory) -> Recorded:
    qa = QAPipeline(minilm_bundle, threshold=0.5)
    answerer = qa.answerer(qa.options(max_seq_len=128, doc_stride=48))
    # Few questions end with a block; without some of them, hardly any would have all its windows leave.
    may_leave = [q for q in squad if ends_with_a_block(q, answerer)]
    questions = [*sample(squad, QUESTIONS - len(may_leave), seed=5), *may_leave]
    folder = tmp_path_factory.mktemp("work")
    return Recorded(answerer, questions, record(answerer, questions, folder), folder)


@pytest.fixture(scope="session")
def simulator(recorded) -> Simulator:
    model = recorded.answerer.runner.model
    assert model.predictor_question_macs > 0  # so that what a question costs counts, too
    return Simulator(recorded.record, model)


class StoppedRunner:
    """Runs nothing: what is asked of it must be known already."""

    alone = False

    def __init__(self, runner):
        self.model = runner.model
        self.skim_layers = runner.skim_layers

    def run(self, windows, policy, protected=None):
        raise AssertionError("nothing is run")


@pytest.fixture
def stopped(recorded) -> Answerer:
    """The answerer of the record, but it runs nothing."""
    return replace(recorded.answerer, runner=StoppedRunner(recorded.answerer.runner))
