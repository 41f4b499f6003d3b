import re

from commands.cli import succeed
from support import EXAMPLE

from bskim_export.checkpoint.loading import save_checkpoint


def test_a_bundle_is_in_parity_with_its_own_model(minilm_bundle):
    shown = succeed("parity", EXAMPLE, minilm_bundle, "--limit", 3, "--backend", "onnxruntime")
    assert re.search(
        r"against PyTorch on 3 questions of squad \(0 ties left out\): 0 of [1-9]\d* blocks and 0 answ", shown
    )
    assert "0 answers differ (100.0% the same)" in shown


def test_a_bundle_of_another_model_is_not(tiny, tiny_bundle, tmp_path):
    """The counts are of what differs, and not always 0."""
    checkpoint = tiny("bert with pruned heads")
    save_checkpoint(checkpoint.model, tmp_path / "other.pt", checkpoint.tokenizer)
    shown = succeed("parity", tmp_path / "other.pt", tiny_bundle(), "--limit", 3)
    (within,) = re.findall(r"Dense logits within ([0-9.e+-]+)\.$", shown)
    assert float(within) > 1e-3
    (different,) = re.findall(r": (\d+) of \d+ blocks", shown)
    assert int(different) > 0
