import pytest

from bskim_export import QAPipeline
from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.backends.onnxruntime import OnnxRuntimeBackend
from bskim_export.backends.onnxruntime_gpu import OnnxRuntimeCudaBackend
from bskim_export.data.question import sample
from bskim_export.errors import InputError

NAMES = [name for name, entry in CATALOGUE.items() if entry.provider]


class OnCpu(OnnxRuntimeCudaBackend):
    """The same code with the CPU's provider and memory: bindings, outputs that stay on the device."""

    name = "onnxruntime-bound"
    provider = "CPUExecutionProvider"
    device = "cpu"


@pytest.mark.parametrize("name", NAMES)
def test_an_onnx_runtime_without_the_provider_is_refused_with_advice(name):
    if CATALOGUE[name].installed:
        pytest.skip("this ONNX Runtime has it")
    with pytest.raises(InputError, match=rf"{name} backend needs.*Install onnxruntime-gpu"):
        open_backend(name)


def test_bound_engines_give_the_same_answers(tiny_bundle, squad):
    questions = sample(squad, 8, seed=4)
    asked = {"question": [q.question for q in questions], "context": [q.context for q in questions]}
    folder = tiny_bundle("bert", (0, 1, 2), "question")
    bound, plain = (QAPipeline(folder, backend=b)(**asked) for b in (OnCpu(), OnnxRuntimeBackend()))
    assert bound == plain
