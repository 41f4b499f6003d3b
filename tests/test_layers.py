import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bskim_export"
RANK = {
    "errors": 0, "blocks": 1, "bundle": 1, "whole": 1, "plugins": 1, "backends": 2, "data": 2, "runtime": 3, "model": 4,
    "checkpoint": 5, "publish": 6, "export": 6, "bench": 6, "training": 6, "calibrate": 7, "commands": 8,
}  # fmt: skip
TORCH_FREE = ("blocks", "bundle", "whole", "errors", "backends", "data", "runtime", "bench", "calibrate")
TORCHS_OWN = [PACKAGE / "backends" / name for name in ("torch.py", "torch_ops.py", "torch_fusion.py")]
TORCHS_OWN.append(PACKAGE / "bench" / "kernel.py")
"""The backend that is about PyTorch, and what times its kernel; nothing imports them unless they are asked for."""
FILES = [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_go_down(path):
    own = room(path)
    for name in imports(path):
        if name.startswith("bskim_export."):
            other = name.split(".")[1]
            assert other == own or RANK[other] < RANK[own], f"{path.name} imports {name}"
        elif own in TORCH_FREE and path not in TORCHS_OWN:
            assert name.split(".")[0] not in ("torch", "transformers", "onnx", "onnx_ir"), f"{path.name} imports {name}"


def test_files_do_one_thing():
    assert {p.name: n for p in FILES if (n := len(p.read_text().splitlines())) > 300} == {}
