import subprocess
import sys

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "onnx", "onnxscript", "onnx_ir", "safetensors"}:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
"""


def run(program: str, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + program, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_the_runtime_answers_without_torch_and_transformers(minilm_bundle):
    program = """
from bskim_export import QAPipeline
print(QAPipeline(sys.argv[1])(question="Who wrote it?", context="It was written by Ada Lovelace in 1843.")["answer"])
"""
    done = run(program, minilm_bundle)
    assert done.stdout.strip() == "Ada Lovelace", done.stderr


def test_the_benchmark_and_the_help_need_no_torch(minilm_bundle):
    program = "from bskim_export.commands import main; main(sys.argv[1:])"
    assert run(program, "bench", minilm_bundle, "--limit", 2).returncode == 0
    for command in ("export", "bench", "ask", "calibrate"):
        assert "Usage" in run(program, command, "--help").stdout


def test_export_without_torch_says_which_extra_brings_it(tmp_path):
    done = run("from bskim_export.commands.export import main; main(sys.argv[1:])", "model.pt", "--out", tmp_path / "x")
    assert done.returncode == 1
    assert "pip install 'bskim-export[export]'" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_importing_the_package_is_free():
    done = subprocess.run(
        [sys.executable, "-c", "import bskim_export, sys; print('numpy' in sys.modules, 'onnxruntime' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]
