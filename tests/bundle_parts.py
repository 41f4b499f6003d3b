"""A small manifest whose parts fit each other, for the tests of bundles."""

from pathlib import Path

from bskim_export.bundle.bundle import Bundle
from bskim_export.bundle.integrity import hash_file
from bskim_export.bundle.manifest import Graph, Manifest, Model, RunDefaults, Stage
from bskim_export.bundle.tensors import specify_all

AGAIN = "Export the model again with this version of bskim-export."
MODEL = Model("roberta", "some/model", 2, 32, 64, 4, 8, 16, 1, 32, 384, 1, None, 1234, 2, 1)
FILES = (
    "onnx/weights.bin",
    "tokenizer.json",
    "onnx/stage_00.onnx",
    "onnx/skim_00.onnx",
    "onnx/stage_01.onnx",
    "onnx/dense.onnx",
)


def graph(file: str, inputs: list[str], outputs: list[str]) -> Graph:
    """Return a graph with tensors of the table."""
    return Graph(file, specify_all(inputs, MODEL, "fp32"), specify_all(outputs, MODEL, "fp32"))


def small_manifest() -> Manifest:
    """Return the manifest of a model of two layers with a predictor at the first."""
    tokens = ["input_ids", "position_ids", "table", "back", "mask"]
    logits = ["start_logits", "end_logits"]
    first = graph("onnx/stage_00.onnx", [*tokens, "probe"], ["context", "residual", "diagonal"])
    skim = graph("onnx/skim_00.onnx", ["diagonal"], ["keep_probability"])
    boundary = ["last_context", "last_residual", "keep_cells", "keep", "table", "back", "mask"]
    last = graph("onnx/stage_01.onnx", boundary, logits)
    return Manifest(
        model=MODEL,
        dense=graph("onnx/dense.onnx", tokens, logits),
        stages=[Stage(first, [0], 0, skim), Stage(last, [1])],
        thresholds={0: 0.25},
        defaults=RunDefaults.of_length(384),
        precision="fp32",
        files=dict.fromkeys(FILES, "0" * 64),
        versions={"torch": "2.11"},
    )


def write_small_bundle(folder: Path) -> Bundle:
    """Write a bundle whose files are whole, but of no use to an engine."""
    (folder / "onnx").mkdir(parents=True)
    for name in FILES:
        (folder / name).write_bytes(name.encode() * 20)
    manifest = small_manifest()
    manifest.files.update({name: hash_file(folder / name) for name in FILES})
    return Bundle.create(folder, manifest)
