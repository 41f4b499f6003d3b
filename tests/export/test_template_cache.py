import copy
import threading

import pytest
import torch
from torch import nn
from torch.export import Dim

from bskim_export import export_bundle
from bskim_export.data.question import sample
from bskim_export.export import template_cache, template_file
from bskim_export.export.onnx_graph import Input
from bskim_export.export.template_cache import cached_template, forget_templates, structure_of
from bskim_export.export.template_file import encode

INPUTS = {"x": Input(torch.zeros(4, 6), {0: Dim("rows")})}


class Block(nn.Module):
    """A layer with a parameter that may be used twice, a constant, and a buffer."""

    def __init__(self, power=2, shift=1.0, shared=False, width=6):
        super().__init__()
        self.first = nn.Linear(6, width)
        self.second = self.first if shared else nn.Linear(6, width)
        self.power = power
        self.register_buffer("shift", torch.tensor([shift]))

    def forward(self, x):
        return self.first(x) ** self.power + self.second(x) + self.shift


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget_templates()
    yield
    forget_templates()


@pytest.fixture
def traced(monkeypatch) -> list[nn.Module]:
    """The modules that were traced, in order."""
    modules = []
    original = template_cache.export_template

    def export(module, inputs, outputs):
        modules.append(module)
        return original(module, inputs, outputs)

    monkeypatch.setattr(template_cache, "export_template", export)
    return modules


def test_modules_that_differ_in_their_weights_only_are_traced_once(traced):
    one, other = Block(), Block()
    first = cached_template(one, INPUTS, ("y",))
    second = cached_template(other, INPUTS, ("y",))
    assert traced == [one]
    assert first.origins == second.origins
    assert first.model is not second.model


@pytest.mark.parametrize(
    "different", [{"power": 3}, {"shift": 2.0}, {"shared": True}, {"width": 1}], ids=lambda one: next(iter(one))
)
def test_modules_of_another_structure_are_traced_anew(traced, different):
    modules = [Block(), Block(**different)]
    for module in modules:
        cached_template(module, INPUTS, ("y",))
    assert traced == modules


def test_other_inputs_outputs_and_types_are_traced_anew():
    module = Block()
    wide = {"x": Input(torch.zeros(4, 2, 6), {0: Dim("rows")})}
    fixed = {"x": Input(torch.zeros(4, 6), {})}
    keys = [
        structure_of(module, INPUTS, ("y",)),
        structure_of(module, INPUTS, ("z",)),
        structure_of(module, wide, ("y",)),
        structure_of(module, fixed, ("y",)),
        structure_of(copy.deepcopy(module).half(), INPUTS, ("y",)),
    ]
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_a_template_that_was_changed_is_whole_at_the_next_call():
    module = Block()
    before = len(cached_template(module, INPUTS, ("y",)).model.graph)
    graph = cached_template(module, INPUTS, ("y",)).model.graph
    graph.remove([*graph][-1], safe=False)
    assert len(graph) == before - 1
    assert len(cached_template(module, INPUTS, ("y",)).model.graph) == before


def test_what_cannot_be_hashed_is_traced_each_time(traced):
    module = Block()
    module.lock = threading.Lock()
    assert structure_of(module, INPUTS, ("y",)) is None


def test_the_least_recently_used_templates_are_forgotten(traced, monkeypatch):
    monkeypatch.setattr(template_cache, "KEPT_TEMPLATES", 2)
    monkeypatch.setattr(template_cache, "read_template", lambda key: None)
    one, two, three = (Block(power) for power in (1, 2, 3))
    for module in (one, two, one, three, one, two):
        cached_template(module, INPUTS, ("y",))
    assert traced == [one, two, three, two]


def cached_files(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.template"))


def test_another_process_reads_what_this_one_traced(traced, tmp_path):
    module = Block(shared=True)
    first = cached_template(module, INPUTS, ("y",))
    forget_templates()
    second = cached_template(module, INPUTS, ("y",))
    assert traced == [module]
    assert encode(first) == encode(second)
    assert first.origins == second.origins
    assert list(first.model.graph.initializers) == list(second.model.graph.initializers)
    assert first.inputs == second.inputs == ["x"]
    (path,) = cached_files(tmp_path)
    assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("spoil", [lambda b: b"", lambda b: b[:-7], lambda b: b[:40] + b"x" + b[41:]])
def test_a_damaged_file_is_traced_again_and_replaced(traced, tmp_path, spoil):
    module = Block()
    cached_template(module, INPUTS, ("y",))
    (path,) = cached_files(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(spoil(whole))
    forget_templates()
    cached_template(module, INPUTS, ("y",))
    assert traced == [module, module]
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_no_more_than_tracing(traced, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cached_template(Block(), INPUTS, ("y",)).inputs == ["x"]
    assert len(traced) == 1


def test_other_code_and_other_versions_trace_anew(traced, monkeypatch):
    cached_template(Block(), INPUTS, ("y",))
    forget_templates()
    monkeypatch.setattr(template_file, "_made_by", lambda: b"torch 99")
    cached_template(Block(), INPUTS, ("y",))
    assert len(traced) == 2


def test_the_cache_does_not_grow_without_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(template_file, "KEPT_FILES", 2)
    for i in range(4):
        template_file.write_template(bytes([i]), b"content")
    assert len(cached_files(tmp_path)) == 2


def test_a_bundle_is_the_same_to_the_byte_whether_its_graphs_were_traced_or_read(tiny, squad, tmp_path):
    checkpoint = tiny("albert", (1,), "question")
    for name in ("traced", "read"):
        export_bundle(checkpoint, tmp_path / name, questions=sample(squad, 1))
        forget_templates()
    files = {f.relative_to(tmp_path / "traced") for f in (tmp_path / "traced" / "onnx").iterdir()}
    assert len(files) >= 4
    for file in files:
        assert (tmp_path / "traced" / file).read_bytes() == (tmp_path / "read" / file).read_bytes()
