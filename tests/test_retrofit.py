import re
from pathlib import Path

import torch
from conftest import SHAPE, make_model, windows_of
from transformers import BertConfig

from bskim_export import QAPipeline, export_bundle, load_checkpoint, save_checkpoint
from bskim_export.checkpoint import Checkpoint, released_names
from bskim_export.data.question import sample
from bskim_export.export.verify import torch_inputs

PAGE = Path(__file__).parents[1] / "docs" / "retrofit.md"


def test_the_page_on_retrofitting_works_as_printed_and_leaves_the_model_untouched(
    wordpiece, tmp_path, monkeypatch, squad
):
    model = make_model(BertConfig(**SHAPE | {"num_hidden_layers": 5}), ())
    plain = Checkpoint(model, wordpiece, "five layers")
    monkeypatch.chdir(tmp_path)
    save_checkpoint(plain.model, "my-qa-model", plain.tokenizer)
    before = released_names(load_checkpoint("my-qa-model").model)
    windows = [w for w in windows_of(plain, sample(squad, 60, seed=11)) if len(w.input_ids) == 192]
    inputs = [torch.stack(column) for column in zip(*map(torch_inputs, windows), strict=True)]
    labels = torch.tensor([[-100, 1, 0, 0, 1, 0]] * len(windows))
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(program, {"batches": [(*inputs, labels)] * 3})

    trained = load_checkpoint("model.pt")
    assert trained.model.skim.layers == (2, 3, 4)
    after = released_names(trained.model)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    export_bundle(trained, "engines", questions=sample(squad, 2))
    assert QAPipeline("engines").manifest.skim_layers == [2, 3, 4]
