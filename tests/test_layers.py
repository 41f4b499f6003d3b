"""The structure of the code: imports go down the layers only, and files do one thing."""

import ast
import os
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bskim_export"
RANK = {
    "errors": 0, "locks": 0, "atomic": 1, "blocks": 1, "recipe_files": 1, "recipes": 1, "plugins": 1, "bundle": 2,
    "data": 3,
    "backends": 3, "model": 3, "checkpoint": 4, "runtime": 4, "evaluate": 5, "integrations": 5, "training": 6,
    "export": 7, "mapping": 7, "bench": 7, "calibrate": 7, "serve": 7, "reproduce": 8,
    "commands": 9,
}  # fmt: skip
"""The lower number is the lower layer; rooms of one number may not import each other."""
TORCH_FREE = (
    "errors", "locks", "atomic", "blocks", "recipe_files", "recipes", "bundle", "data", "backends", "runtime",
    "evaluate", "calibrate", "bench", "serve", "mapping",
)  # fmt: skip
HEAVY = ("torch", "transformers", "onnx", "onnx_ir", "triton")
ABOUT_TORCH = {
    "backends/torch.py", "backends/torch_ops.py", "backends/torch_fusion.py", "bench/kernel.py",
    "bench/random_models.py", "bench/peers/catalogue.py", "bench/peers/graphs.py", "bench/peers/libraries.py",
}  # fmt: skip
"""Modules of these rooms that are about PyTorch; nothing imports them unless they are asked for."""


def modules() -> list[str]:
    """Return the files of the package, those behind links (plugins/, calibration/) included."""
    found = []
    for folder, _, names in os.walk(PACKAGE, followlinks=True):
        found += [os.path.relpath(os.path.join(folder, n), PACKAGE) for n in names if n.endswith(".py")]
    return sorted(name for name in found if name != "__init__.py")


def room(name: str) -> str:
    return name.split("/")[0].removesuffix(".py")


def imports(name: str) -> set[str]:
    """Return the modules that a file imports, wherever in it; relative ones stay in their room."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module)
    return found


def test_the_walk_sees_the_rooms_behind_links():
    assert {room(name) for name in modules()} == set(RANK)
    assert "plugins/diag_attention/kernel.py" in modules()


@pytest.mark.parametrize("name", modules())
def test_imports_only_go_down(name):
    own = room(name)
    for imported in imports(name):
        if imported.startswith("bskim_export."):
            other = imported.split(".")[1]
            assert other == own or RANK[other] < RANK[own], f"{name} imports {imported}"
        elif own in TORCH_FREE and name not in ABOUT_TORCH:
            assert imported.split(".")[0] not in HEAVY, f"{name} imports {imported}"


def test_files_do_one_thing():
    lengths = {name: len((PACKAGE / name).read_text(encoding="utf-8").splitlines()) for name in modules()}
    assert {name: n for name, n in lengths.items() if n > 300} == {}


def test_only_the_bundle_writes_its_manifest():
    """`encode` makes the bytes of manifest.json; nothing else could write a file that opens again."""
    users = {n for n in modules() if "import" in (text := (PACKAGE / n).read_text()) and "encode(manifest)" in text}
    assert users == {"bundle/bundle.py"}
    assert "def encode(manifest: Manifest)" in (PACKAGE / "bundle" / "manifest_file.py").read_text()
