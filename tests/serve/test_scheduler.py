"""Windows of many requests share the cores: the same answers as alone, and nobody waits for a long document."""

import threading
import time
from dataclasses import replace

import pytest

from bskim_export import QAPipeline
from bskim_export.data.question import sample
from bskim_export.errors import BundleError
from bskim_export.serve.jobs import Job
from bskim_export.serve.limits import Limits
from bskim_export.serve.requests import make_job
from bskim_export.serve.scheduler import Scheduler

LIMITS = Limits()


class Outcomes:
    """Who was told what, in which order."""

    def __init__(self):
        self.found = {}
        self.order = []
        self._told = threading.Condition()

    def __call__(self, job, outcome, error):
        with self._told:
            self.found[job] = error or outcome
            self.order.append(job)
            self._told.notify_all()

    def of(self, *jobs):
        """Wait for jobs, and return what came of them."""
        with self._told:
            assert self._told.wait_for(lambda: all(job in self.found for job in jobs), 60)
        return [self.found[job] for job in jobs]


@pytest.fixture(params=["onnxruntime", "openvino"])
def qa(request, tiny_bundle):
    """The single graph, and stages in batches."""
    return QAPipeline(tiny_bundle("bert"), backend=request.param, threads=2)


@pytest.fixture
def outcomes():
    return Outcomes()


@pytest.fixture
def scheduler(qa, outcomes):
    made = Scheduler(qa.runner, outcomes)
    yield made
    made.close()


def job_of(qa, inputs, **parameters) -> Job:
    return make_job(qa, "answer", inputs, parameters, LIMITS)


def pair(question, times=1):
    return {"question": question.question, "context": " ".join([question.context] * times)}


def test_questions_in_company_are_answered_as_alone(qa, scheduler, outcomes, squad):
    questions = sample(squad, 12, seed=1)
    inputs = [pair(q, times=1 + 5 * (i % 3)) for i, q in enumerate(questions)]
    options = [{}, {"top_k": 3}, {"max_blocks": 6}, {"handle_impossible_answer": True}, {"return_skim": True}]
    jobs = [job_of(qa, one, **options[i % 5]) for i, one in enumerate(inputs)]
    for job in jobs:
        scheduler.submit(job)
    for i, found in enumerate(outcomes.of(*jobs)):
        alone = qa.run(data=inputs[i], **options[i % 5])
        assert found == (alone if isinstance(alone, list) else [alone])


def test_a_list_is_one_job(qa, scheduler, outcomes, squad):
    inputs = [pair(q) for q in sample(squad, 5, seed=2)]
    job = job_of(qa, inputs)
    scheduler.submit(job)
    assert outcomes.of(job)[0] == [[one] for one in qa.run(data=inputs)]
    assert job.tally.windows >= 5
    assert job.tally.blocks > 0
    assert job.tally.seconds > 0


def test_a_short_question_does_not_wait_for_a_document(qa, scheduler, outcomes, squad):
    one, other = sample(squad, 2, seed=3)
    document = job_of(qa, pair(one, times=150))
    short = job_of(qa, pair(other))
    assert len(document.steps) > 60
    scheduler.submit(document)
    while document.tally.windows < 5:
        time.sleep(0.001)
    scheduler.submit(short)
    outcomes.of(short, document)
    assert outcomes.order == [short, document]


def test_a_document_gets_its_share_while_short_questions_keep_coming(qa, scheduler, outcomes, squad):
    one, other = sample(squad, 2, seed=4)
    document = job_of(qa, pair(one, times=20))
    scheduler.submit(document)
    waiting = []
    for _ in range(2000):  # never fewer than eight wait
        if document in outcomes.found:
            break
        waiting = [job for job in waiting if job not in outcomes.found]
        if len(waiting) < 8:
            waiting.append(job_of(qa, pair(other)))
            scheduler.submit(waiting[-1])
        else:
            time.sleep(0.002)
    assert document in outcomes.found
    assert waiting


def test_what_is_cancelled_runs_no_further_and_nobody_is_told(qa, scheduler, outcomes, squad):
    one, other = sample(squad, 2, seed=3)
    document = job_of(qa, pair(one, times=100))
    count = len(document.steps)
    scheduler.submit(document)
    while document.tally.windows < 3:
        time.sleep(0.001)
    scheduler.cancel(document)
    short = job_of(qa, pair(other))
    scheduler.submit(short)
    outcomes.of(short)
    assert document not in outcomes.found
    assert document.tally.windows < count / 2
    assert scheduler.waiting == 0


@pytest.mark.parametrize("qa", ["onnxruntime"], indirect=True)  # OpenVINO looks up what no table has
def test_a_fault_of_the_engine_ends_those_who_ran_and_no_others(qa, scheduler, outcomes, squad):
    one, other = sample(squad, 2, seed=5)

    broken = job_of(qa, pair(one))
    for step in broken.steps:
        step.window = replace(step.window, input_ids=step.window.input_ids + 10**9)  # tokens that no table has
    scheduler.submit(broken)
    assert isinstance(outcomes.of(broken)[0], BundleError)
    fine = job_of(qa, pair(other))
    scheduler.submit(fine)
    assert outcomes.of(fine)[0] == [qa.run(data=pair(other))]


def test_the_wait_grows_with_what_is_ahead_and_not_with_a_document_behind(qa, scheduler, outcomes, squad):
    one, other = sample(squad, 2, seed=6)
    first = job_of(qa, pair(one))
    scheduler.submit(first)
    outcomes.of(first)
    document = job_of(qa, pair(one, times=200))
    short = job_of(qa, pair(other))
    positions = short.positions
    whole = document.positions
    assert scheduler.wait_for(positions, positions)[0] == 0
    scheduler.submit(document)
    while document.tally.windows < 3:
        time.sleep(0.001)
    begin, _ = scheduler.wait_for(positions, positions)
    _, end = scheduler.wait_for(whole, 384)
    assert begin < end / 20  # a short question goes first, a second document does not
    scheduler.cancel(document)
