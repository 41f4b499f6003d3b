"""What goes wrong around a bundle: a clear message, the old bundle as it was, and one that still answers."""

import copy
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from support import SHAPE, make_model, windows_of
from transformers import BertConfig

from bskim_export import Bundle, QAPipeline, export_bundle, save_checkpoint
from bskim_export.backends.catalogue import CATALOGUE, open_backend
from bskim_export.bundle import bundle as bundle_module
from bskim_export.bundle.directory import atomic_directory
from bskim_export.checkpoint.loading import Checkpoint
from bskim_export.commands import main as group
from bskim_export.data.question import sample
from bskim_export.errors import BundleError, DiskFullError

HERE = [name for name, e in CATALOGUE.items() if e.device == "CPU" and e.installed]
ASKED = {"question": "Who wrote the book?", "context": "The book was written by Ada Lovelace in 1843. " * 20}
EXPORTS = """
import sys
from bskim_export.commands.export import main

for _ in range(int(sys.argv[3])):
    try:
        main([sys.argv[1], "--out", "engines", "--verify", sys.argv[2]], standalone_mode=False)
    except SystemExit as stopped:
        if stopped.code != 130:
            raise
"""
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=7m tmpfs disk && cp -r old disk/engines || exit 99
"$@"
code=$?
cp -r disk after
exit $code
"""


@pytest.fixture(scope="module")
def checkpoints(wordpiece) -> list[Checkpoint]:
    """Two models of one shape: their graphs are the same, their weights are not."""
    first = make_model(BertConfig(**{**SHAPE, "num_hidden_layers": 1}), (0,))
    second = copy.deepcopy(first)
    with torch.no_grad():
        for parameter in second.backbone.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    return [Checkpoint(model, wordpiece, "faults") for model in (first, second)]


@pytest.fixture(scope="module")
def pair(checkpoints, squad, tmp_path_factory) -> list[Path]:
    """Their bundles."""
    folder = tmp_path_factory.mktemp("pair")
    for name, checkpoint in zip("ab", checkpoints, strict=True):
        export_bundle(checkpoint, folder / name, questions=sample(squad, 2))
    return [folder / "a", folder / "b"]


@pytest.fixture
def out(pair, tmp_path) -> Path:
    """A copy of the first bundle in a folder of its own."""
    (tmp_path / "home").mkdir()
    return shutil.copytree(pair[0], tmp_path / "home" / "engines")


def answer(folder, backend="onnxruntime"):
    return QAPipeline(folder, backend=open_backend(backend))(**ASKED)


def written_first(path: Path) -> Path:
    """Return the file that `write_atomic` writes before it takes the place of another."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def replace_by(folder: Path, other: Path) -> None:
    """Do as an export of another model does."""
    with atomic_directory(folder) as partial:
        shutil.copytree(other, partial, dirs_exist_ok=True)


def assert_untouched(out: Path, pair) -> None:
    assert os.listdir(out.parent) == ["engines"]
    Bundle.open(out)
    assert answer(out) == answer(pair[0])


# A full disk


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("name", ["onnx/stage_00.onnx", "onnx/dense.onnx", "manifest.json", "report.json"])
def test_a_disk_that_is_full_for_any_file_leaves_the_old_bundle(name, checkpoints, pair, out, squad):
    def lead_to_the_full_device(what, done, total):
        for partial in out.parent.glob(".engines.partial-*"):
            path = partial / name if name.startswith("onnx/") else written_first(partial / name)
            if not path.is_symlink():
                path.symlink_to("/dev/full")

    with pytest.raises(DiskFullError, match=r"takes about 5 MB.* \(No space left on device\)") as caught:
        export_bundle(checkpoints[1], out, questions=sample(squad, 1), progress=lead_to_the_full_device)
    assert str(out.parent) in str(caught.value)
    assert_untouched(out, pair)


def test_the_command_says_that_the_disk_is_full_in_one_line(checkpoints, pair, out, tmp_path):
    save_checkpoint(checkpoints[1].model, tmp_path / "model.pt", checkpoints[1].tokenizer)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # the weights are larger
    try:
        done = CliRunner().invoke(group, ["export", str(tmp_path / "model.pt"), "--out", str(out), "--verify", "1"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.exit_code == 1
    assert "Error: No space left for the bundle" in done.output
    assert "Traceback" not in done.output
    assert_untouched(out, pair)


def test_an_export_to_a_disk_that_is_too_small_leaves_the_old_bundle(checkpoints, pair, out, tmp_path):
    """The whole command, and a file system that is really full."""
    save_checkpoint(checkpoints[1].model, tmp_path / "model.pt", checkpoints[1].tokenizer)
    (tmp_path / "disk").mkdir()
    shutil.copytree(pair[0], tmp_path / "old")
    export = [sys.executable, "-m", "bskim_export.commands", "export", "model.pt", "--out", "disk/engines"]
    try:
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", *export],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if not (tmp_path / "after").exists():
        pytest.skip("this user may not mount a disk")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert_untouched(tmp_path / "after" / "engines", pair)


# Exports that are killed, and exports that race


def test_exports_that_are_stopped_leave_the_old_bundle(checkpoints, pair, out, tmp_path):
    save_checkpoint(checkpoints[1].model, tmp_path / "model.pt", checkpoints[1].tokenizer)
    command = [sys.executable, "-c", EXPORTS, str(tmp_path / "model.pt"), "2000", "3"]
    process = subprocess.Popen(
        command, cwd=out.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    stops = [(signal.SIGINT, "onnx/weights.bin"), (signal.SIGTERM, "manifest.json"), (signal.SIGKILL, "manifest.json")]
    for number, moment in stops:
        wait_for(lambda moment=moment: list(out.parent.glob(f".engines.partial-*/{moment}")))
        (partial,) = out.parent.glob(".engines.partial-*")
        process.send_signal(number)
        if number != signal.SIGKILL:
            wait_for(lambda partial=partial: not partial.exists())
        Bundle.open(out)
        assert answer(out) == answer(pair[0])
    assert process.communicate(timeout=60)[1].count("Interrupted; nothing is left half-written.") == 2
    assert process.returncode == -signal.SIGKILL
    assert partial.exists()
    replace_by(out, pair[0])  # the next export clears up
    assert_untouched(out, pair)


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def heed_ctrl_c():
    """Undo what a shell does to processes in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_exports_that_race_leave_one_whole_bundle_that_answers_all_the_time(checkpoints, pair, out, tmp_path):
    for name, checkpoint in zip("ab", checkpoints, strict=True):
        save_checkpoint(checkpoint.model, tmp_path / f"{name}.pt", checkpoint.tokenizer)
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", EXPORTS, str(tmp_path / f"{name}.pt"), "1", "2"],
            cwd=out.parent, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for name in "ab"
    ]  # fmt: skip
    expected, answers, refused = [answer(folder) for folder in pair], [], []
    while any(process.poll() is None for process in racing):
        try:
            answers.append(answer(out))
        except BundleError as error:
            refused.append(str(error))
        time.sleep(1)
    for process in racing:
        assert process.wait() == 0, process.stderr.read()
    assert os.listdir(out.parent) == ["engines"]
    Bundle.open(out)
    assert answer(out) in expected
    assert answers.count(expected[0]) + answers.count(expected[1]) == len(answers) > 0
    assert all("was replaced" in text or "is not a bundle" in text for text in refused), refused


# A bundle that is replaced while it is open


@pytest.mark.parametrize("name", HERE)
def test_a_pipeline_never_mixes_the_graphs_of_two_bundles(name, checkpoints, pair, out, squad):
    backend = open_backend(name)
    qa = QAPipeline(out, threshold=0.5, backend=backend)
    before = qa(**ASKED)
    replace_by(out, pair[1])
    assert qa(**ASKED) == before  # what it has loaded serves on
    windows = windows_of(checkpoints[0], sample(squad, 1))
    with pytest.raises(BundleError, match=r"was replaced or changed after it was opened\. Start again"):
        qa.orchestrator.run(windows, None)  # dense.onnx was not needed so far
    again = QAPipeline(out, threshold=0.5, backend=backend)  # the same paths, the same places in weights.bin
    fresh = QAPipeline(pair[1], threshold=0.5, backend=open_backend(name))
    assert again(**ASKED) == fresh(**ASKED) != before


def test_weights_that_are_overwritten_where_they_are_are_noticed(pair, out, checkpoints, squad):
    qa = QAPipeline(out, threshold=0.5)
    shutil.copy(pair[1] / "onnx" / "weights.bin", out / "onnx" / "weights.bin")
    with pytest.raises(BundleError, match="was replaced or changed"):
        qa.orchestrator.run(windows_of(checkpoints[0], sample(squad, 1)), None)


@pytest.mark.parametrize("moment", ["find_fault", "load"])
def test_a_bundle_that_is_replaced_while_it_is_opened_is_not_called_damaged(moment, pair, out, monkeypatch):
    backend, done = open_backend("onnxruntime"), []
    owner = bundle_module if moment == "find_fault" else backend
    real = getattr(owner, moment)

    def replaced_first(*arguments):
        if not done:
            done.append(True)
            replace_by(out, pair[1])
        return real(*arguments)

    monkeypatch.setattr(owner, moment, replaced_first)
    with pytest.raises(BundleError, match="was replaced or changed after it was opened"):
        QAPipeline(out, backend=backend)
    assert QAPipeline(out, backend=backend)(**ASKED) == answer(pair[1])


def test_a_link_that_is_led_elsewhere_changes_no_open_pipeline(pair, tmp_path, checkpoints, squad):
    link = tmp_path / "engines"
    link.symlink_to(pair[0])
    qa = QAPipeline(link, threshold=0.5)
    link.unlink()
    link.symlink_to(pair[1])
    windows = windows_of(checkpoints[0], sample(squad, 1))
    (mine,), (expected,) = (p.orchestrator.run(windows[:1], None) for p in (qa, QAPipeline(pair[0])))
    assert (mine.start_logits == expected.start_logits).all()


def test_thresholds_are_not_written_into_a_bundle_that_they_were_not_found_for(pair, out):
    bundle = Bundle.open(out)
    replace_by(out, pair[1])
    before = {name: (out / name).read_bytes() for name in ("manifest.json", "report.json")}
    with pytest.raises(BundleError, match="was replaced"):
        bundle.write_calibration({0: 0.9}, {})
    assert {name: (out / name).read_bytes() for name in before} == before
