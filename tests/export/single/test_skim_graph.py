"""The single graph that nobody steers takes what any BERT in ONNX takes, and gives what the pipeline gives."""

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FAMILIES, usual, windows_of
from tokenizers import Tokenizer

from bskim_export import QAPipeline
from bskim_export.bundle.bundle import Bundle
from bskim_export.data.question import sample
from bskim_export.export.single.separator import find_separator
from bskim_export.export.single.skim_graph import make_skim_graph
from bskim_export.runtime.policy import Thresholds

KINDS = [
    *((family, (0, 1, 2), "question") for family in FAMILIES),
    ("bert", (0, 1, 2), "diagonal"),
    ("bert", (1,), "diagonal"),
    ("roberta", (0, 2), "question"),
]


class Single:
    """A single graph of a bundle that nobody steers, in memory."""

    def __init__(self, folder, thresholds=None):
        self.bundle = Bundle.open(folder)
        manifest = replace(self.bundle.manifest, thresholds=thresholds or self.bundle.thresholds)
        separator = find_separator(Tokenizer.from_file(str(self.bundle.tokenizer)))
        model = make_skim_graph(manifest, lambda file: ir.load(folder / file), separator)
        model = ir.external_data.load_to_model(model)
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto, full_check=True)
        options = ort.SessionOptions()
        options.log_severity_level = 2
        self.session = ort.InferenceSession(proto.SerializeToString(), options)

    def run(self, windows, more=0):
        """Run windows, `more` positions of padding behind the longest."""
        length = max(w.length for w in windows) + more
        blocks = -(-length // self.bundle.model.block_size)
        names = ("input_ids", "attention_mask", "token_type_ids")
        feeds = {name: np.zeros((len(windows), length), np.int64) for name in names}
        feeds["input_ids"][:] = self.bundle.model.pad_token_id
        for row, w in enumerate(windows):
            feeds["input_ids"][row, : w.length] = w.input_ids[: w.length]
            feeds["attention_mask"][row, : w.length] = 1
            feeds["token_type_ids"][row, : w.length] = w.token_type_ids[: w.length]
        wanted = {i.name for i in self.session.get_inputs()}
        start, end, dropped, probability = self.session.run(None, {n: v for n, v in feeds.items() if n in wanted})
        assert start.shape == end.shape == (len(windows), length)
        assert dropped.shape == (len(windows), blocks)
        assert probability.shape == (len(windows), len(self.bundle.skim_layers), blocks)
        return start, end, dropped, probability


@pytest.fixture(scope="module")
def single(tiny_bundle):
    """Return a function: kind of tiny bundle -> its single graph."""
    made = {}

    def make(*kind):
        if kind not in made:
            made[kind] = Single(tiny_bundle(*kind))
        return made[kind]

    return make


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_windows_get_the_same_in_any_batch_and_any_padding(single, tiny, squad, data):
    kind = ("bert", (0, 1, 2), "question")
    windows = windows_of(tiny(*kind), sample(squad, 8, seed=5))
    chosen = data.draw(st.lists(st.sampled_from(windows), min_size=1, max_size=5))
    more = data.draw(st.integers(0, 70))
    together = single(*kind).run(chosen, more)
    for row, window in enumerate(chosen):
        alone = single(*kind).run([window])
        blocks = alone[2].shape[1]
        assert together[2][row, :blocks].tolist() == alone[2][0].tolist()
        np.testing.assert_allclose(together[0][row, : window.length], alone[0][0], atol=1e-3)


@pytest.mark.parametrize("kind", usual(KINDS))
def test_a_questions_only_window_gets_what_the_pipeline_gives_it(tiny_bundle, squad, kind):
    """Also where everything was refused, so that the pipeline runs the window once more with its surest block."""
    qa = QAPipeline(tiny_bundle(*kind))
    raised = qa.bundle.thresholds | {qa.bundle.skim_layers[-1]: 1.0}
    graph = Single(tiny_bundle(*kind), raised)
    answerer = replace(qa.answerer(qa.options(max_seq_len=384)), policy=Thresholds(raised))
    again = 0
    same = 0
    only = []
    for n, q in enumerate(sample(squad, 60, seed=8)):
        # A question's only window may leave only if its passage begins with a block: every other one gets such a
        # length.
        longer = [q.question + " a" * more for more in range(33)]
        cut = [answerer.windows(question, q.context) for question in (longer if n % 2 else longer[:1])]
        only += [windows[0] for windows in cut if len(windows) == 1 and windows[0].may_leave >= n % 2][:1]
    for window in only:
        (result,) = answerer.run([window])
        if result.left:
            again += 1
            (result,) = answerer.run([window], [result.best_block])
        dropped = graph.run([window])[2][0]
        same += dropped[: len(result.dropped_after)].tolist() == result.dropped_after.tolist()
    assert same >= len(only) - 2  # ties
    assert again >= 5
