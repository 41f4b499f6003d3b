import pytest
from commands.cli import succeed

from bskim_export.bundle.bundle import Bundle
from bskim_export.checkpoint.loading import load_checkpoint, save_checkpoint


@pytest.fixture
def checkpoint(tiny, tmp_path):
    save_checkpoint(tiny().model, tmp_path / "model.pt", tiny().tokenizer)
    return tmp_path / "model.pt"


def test_a_checkpoint_becomes_a_directory_that_loads(checkpoint, tiny, tmp_path):
    shown = succeed("publish", checkpoint, tmp_path / "out")
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == names
    assert f"{(tmp_path / 'out' / 'model.safetensors').stat().st_size / 1e6:.0f} MB of weights" in shown
    assert load_checkpoint(tmp_path / "out").model.skim == tiny().model.skim


def test_it_may_have_half_the_size_and_a_bundles_thresholds(checkpoint, tiny_bundle, tmp_path):
    bundle = tiny_bundle("bert", (1,))
    succeed("publish", checkpoint, tmp_path / "whole")
    succeed("publish", checkpoint, tmp_path / "half", "--half", "--thresholds", bundle)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "half")]
    assert 0.49 < sizes[1] / sizes[0] < 0.6
    chosen = Bundle.open(bundle).thresholds[1]
    assert load_checkpoint(tmp_path / "half").model.skim.thresholds == (0, chosen, 0)
