import copy

import pytest
import torch
from click.testing import CliRunner
from support import EXAMPLE, FAMILIES, windows_of
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from bskim_export import load_checkpoint
from bskim_export.bundle.bundle import Bundle
from bskim_export.checkpoint.publishing import publish
from bskim_export.checkpoint.tokenizer_files import tokenizer_json
from bskim_export.commands import main as group
from bskim_export.data.question import sample
from bskim_export.errors import CheckpointError
from bskim_export.export.torch_reference import torch_inputs


def logits(model, window):
    ids, mask, types, question = (t[None] for t in torch_inputs(window))
    with torch.no_grad():
        return model(ids, mask, types, question)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_published_loads_as_the_same_model(tiny, squad, tmp_path, family):
    checkpoint = tiny(family)
    publish(checkpoint, tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.model.skim == checkpoint.model.skim
    assert loaded.tokenizer == tokenizer_json(checkpoint.tokenizer)
    (window, *_) = windows_of(checkpoint, sample(squad, 1))
    before = logits(checkpoint.model, window)
    after = logits(loaded.model, window)
    assert torch.equal(before.start_logits, after.start_logits)
    assert all(torch.equal(before.skim_logits[i], after.skim_logits[i]) for i in checkpoint.model.skim.layers)


def test_transformers_loads_it_as_a_plain_model(tmp_path, squad):
    checkpoint = load_checkpoint(EXAMPLE)
    publish(checkpoint, tmp_path)
    plain = AutoModelForQuestionAnswering.from_pretrained(tmp_path, dtype="auto").eval()
    assert plain.dtype == torch.float32
    (question,) = sample(squad, 1)
    encoded = AutoTokenizer.from_pretrained(tmp_path)(question.question, question.context, return_tensors="pt")
    (window,) = windows_of(checkpoint, [question])
    assert encoded["input_ids"][0].tolist() == window.input_ids.tolist()[: window.length]
    with torch.no_grad():
        expected = logits(checkpoint.model, window).start_logits[0, : window.length]
        torch.testing.assert_close(plain(**encoded).start_logits[0], expected, atol=1e-4, rtol=0)


def test_half_precision_is_half_the_size_and_nearly_the_same(tiny, squad, tmp_path):
    checkpoint = tiny("bert")
    publish(checkpoint, tmp_path / "full")
    publish(checkpoint, tmp_path / "half", half=True)
    sizes = [(tmp_path / kind / "model.safetensors").stat().st_size for kind in ("full", "half")]
    assert 0.49 < sizes[1] / sizes[0] < 0.6
    (window, *_) = windows_of(checkpoint, sample(squad, 1))
    loaded = load_checkpoint(tmp_path / "half").model
    assert loaded.predictors["0"].bn1.running_var.dtype == torch.float32
    before = logits(checkpoint.model, window)
    after = logits(loaded, window)
    torch.testing.assert_close(before.start_logits, after.start_logits, atol=0.1, rtol=0)
    assert not torch.equal(before.start_logits, after.start_logits)


def test_weights_that_do_not_fit_are_refused_and_lose_nothing(tiny, tmp_path):
    checkpoint = copy.deepcopy(tiny("bert"))
    publish(checkpoint, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with torch.no_grad():
        checkpoint.model.backbone.qa_outputs.bias[0] = 1e6
    with pytest.raises(CheckpointError, match=r"qa_outputs\.bias.*full precision"):
        publish(checkpoint, tmp_path, half=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_thresholds_come_from_a_bundle(tiny, tiny_bundle, tmp_path):
    publish(tiny("bert"), tmp_path / "model")
    bundle = tiny_bundle("bert", (1,))
    done = CliRunner().invoke(
        group, ["publish", str(tmp_path / "model"), str(tmp_path / "out"), "--thresholds", str(bundle)]
    )
    assert done.exit_code == 0, done.output
    chosen = Bundle.open(bundle).thresholds[1]
    assert load_checkpoint(tmp_path / "out").model.skim.thresholds == (0, chosen, 0)


def test_a_threshold_needs_a_predictor(tiny, tmp_path):
    with pytest.raises(CheckpointError, match=r"no predictor for layers \[2\]"):
        publish(tiny("bert", (1,)), tmp_path, thresholds={2: 0.5})
