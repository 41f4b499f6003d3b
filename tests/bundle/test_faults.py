"""What goes wrong around a bundle: a clear message, the old bundle as it was, and one that still answers."""

import copy
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from bskim_export.errors import BundleError, DiskFullError, OutputError
from bskim_export.export.exporter import MEASURING_PARITY

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


def replace_by(folder: Path, other: Path) -> None:
    """Do as an export of another model does."""
    with atomic_directory(folder) as partial:
        shutil.copytree(other, partial, dirs_exist_ok=True)


def assert_untouched(out: Path, pair) -> None:
    assert os.listdir(out.parent) == ["engines"]
    Bundle.open(out)
    assert answer(out) == answer(pair[0])


# A full disk


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: a disk that is full, as far as writing goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 400_000, 1_000_000])  # report, graphs, weights
def test_a_disk_that_is_full_for_any_file_leaves_the_old_bundle(size, checkpoints, pair, out, squad):
    refused = pytest.raises(DiskFullError, match=r"takes about 5 MB.* \(File too large\)")
    with refused as caught, ExitStack() as limit:

        def full_from(what, done, total):
            if size != 100 or what == MEASURING_PARITY:
                limit.enter_context(largest_file(size))

        export_bundle(checkpoints[1], out, questions=sample(squad, 1), progress=full_from)
    assert str(out.parent) in str(caught.value)
    assert_untouched(out, pair)


def test_the_command_says_that_the_disk_is_full_in_one_line(checkpoints, pair, out, tmp_path):
    save_checkpoint(checkpoints[1].model, tmp_path / "model.pt", checkpoints[1].tokenizer)
    with largest_file(1_000_000):  # the weights are larger
        done = CliRunner().invoke(group, ["export", str(tmp_path / "model.pt"), "--out", str(out), "--verify", "1"])
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
        qa.runner.run(windows, None)  # the dense graph was not needed so far
    again = QAPipeline(out, threshold=0.5, backend=backend)  # the same paths, the same places in weights.bin
    fresh = QAPipeline(pair[1], threshold=0.5, backend=open_backend(name))
    assert again(**ASKED) == fresh(**ASKED) != before


def test_many_windows_are_answered_after_the_bundle_was_replaced(checkpoints, pair, out, squad, monkeypatch):
    """The engine for windows side by side would be made at the first call that has several."""
    told = []
    monkeypatch.setattr("bskim_export.runtime.single.log.warning", lambda message, *parts: told.append(message % parts))
    qa = QAPipeline(out, threshold=0.5, threads=2)
    windows = windows_of(checkpoints[0], sample(squad, 6))
    expected = QAPipeline(pair[0], threshold=0.5, threads=2).runner.run(windows, qa.policy)
    replace_by(out, pair[1])
    for mine, theirs in zip(qa.runner.run(windows, qa.policy), expected, strict=True):
        assert (mine.start_logits == theirs.start_logits).all()
    qa.runner.run(windows, qa.policy)
    assert len(told) == 1
    assert "was replaced" in told[0]


def test_weights_that_are_overwritten_where_they_are_are_noticed(pair, out, checkpoints, squad):
    qa = QAPipeline(out, threshold=0.5)
    shutil.copy(pair[1] / "onnx" / "weights.bin", out / "onnx" / "weights.bin")
    with pytest.raises(BundleError, match="was replaced or changed"):
        qa.runner.run(windows_of(checkpoints[0], sample(squad, 1)), None)


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
    (mine,), (expected,) = (p.runner.run(windows[:1], None) for p in (qa, QAPipeline(pair[0])))
    assert (mine.start_logits == expected.start_logits).all()


def test_thresholds_are_not_written_into_a_bundle_that_they_were_not_found_for(pair, out):
    bundle = Bundle.open(out)
    replace_by(out, pair[1])
    before = {name: (out / name).read_bytes() for name in ("manifest.json", "report.json")}
    with pytest.raises(BundleError, match="was replaced"):
        bundle.write_calibration({0: 0.9}, {})
    assert {name: (out / name).read_bytes() for name in before} == before


# Calibrations that meet


def calibrate(folder: Path, value: float, times: int) -> None:
    for _ in range(times):
        Bundle.open(folder, verify=False).write_calibration({0: value}, {"by": value})


def test_two_calibrations_at_once_never_mix_thresholds_and_evidence(out):
    fork = multiprocessing.get_context("fork")
    for _ in range(20):
        writers = [fork.Process(target=calibrate, args=(out, value, 4)) for value in (0.25, 0.75)]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            found = Bundle.open(out, verify=False)
            evidence = found.read_report().get("calibration", {})
            # Another may have written between the two looks; then the evidence is left out.
            assert not evidence or evidence["by"] == found.thresholds[0]
        assert [writer.exitcode for writer in writers] == [0, 0]
        found = Bundle.open(out, verify=False)
        assert found.read_report()["calibration"]["by"] == found.thresholds[0]
    assert sorted(os.listdir(out)) == ["manifest.json", "onnx", "report.json", "tokenizer.json"]


def test_a_kill_between_evidence_and_thresholds_loses_neither(out, monkeypatch):
    calibrate(out, 0.25, 1)
    monkeypatch.setattr(bundle_module, "_write_manifest", lambda *_: os._exit(9))
    child = os.fork()
    if child == 0:
        calibrate(out, 0.75, 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert json.loads((out / "report.json").read_text())["calibration"]["by"] == 0.75
    found = Bundle.open(out)
    assert (found.thresholds[0], found.read_report()["calibration"]["by"]) == (0.25, 0.25)
    monkeypatch.undo()
    calibrate(out, 0.5, 1)
    found = Bundle.open(out)
    assert (found.thresholds[0], found.read_report()["calibration"]["by"]) == (0.5, 0.5)


def test_evidence_for_other_thresholds_is_not_evidence(out):
    calibrate(out, 0.25, 1)
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "thresholds": {"0": 0.3}}, indent=2))
    report = Bundle.open(out).read_report()
    assert set(report) == {"parity"}


@pytest.mark.parametrize("same", [False, True])
def test_thresholds_never_reach_the_bundle_of_an_export_that_ends_meanwhile(same, pair, out):
    """Whatever the moment: they are written into the open directory, and not by its name."""
    stop = threading.Event()
    replaced = []

    def exports() -> None:
        while not stop.is_set():
            replace_by(out, pair[0] if same else pair[len(replaced) % 2])
            replaced.append(Bundle.open(out, verify=False).thresholds[0])

    exporter = threading.Thread(target=exports)
    old = {Bundle.open(folder).thresholds[0] for folder in pair}
    exporter.start()
    outcomes = []
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            Bundle.open(out, verify=False).write_calibration({0: 0.9}, {})
            outcomes.append("written")
        except BundleError as error:
            outcomes.append(str(error))
    stop.set()
    exporter.join()
    assert all(
        "was replaced" in o or "is not a bundle" in o or "cannot be opened" in o for o in outcomes if o != "written"
    )
    # Right after a swap the new bundle has its own thresholds, but where a calibration found it in time.
    assert len(replaced) > 20
    assert sum(value in old for value in replaced) > len(replaced) / 2


def test_a_calibration_of_what_is_replaced_says_so_and_writes_nothing_there(pair, out, monkeypatch):
    bundle = Bundle.open(out)
    real = bundle_module.write_json

    def replaced_first(path, value, **where):
        replace_by(out, pair[0])  # the same model, exported again just now
        real(path, value, **where)

    monkeypatch.setattr(bundle_module, "write_json", replaced_first)
    before = {name: (pair[0] / name).read_bytes() for name in ("manifest.json", "report.json")}
    with pytest.raises(BundleError, match="was replaced"):
        bundle.write_calibration({0: 0.9}, {})
    assert {name: (out / name).read_bytes() for name in before} == before
    assert os.listdir(out.parent) == ["engines"]


def test_calibration_keeps_modes(out):
    for name in ("manifest.json", "report.json"):
        (out / name).chmod(0o600)
    calibrate(out, 0.25, 1)
    assert {(out / name).stat().st_mode & 0o777 for name in ("manifest.json", "report.json")} == {0o600}


@pytest.mark.parametrize("content", ["{", "[]", "5", "null", "[" * 5000])
def test_a_spoiled_report_is_noticed_before_work(content, out):
    Bundle.open(out).check_calibratable()
    (out / "report.json").write_text(content)
    with pytest.raises(BundleError, match=r"report\.json' .*Delete it or copy it again"):
        Bundle.open(out).check_calibratable()


def test_a_report_that_cannot_be_written_is_noticed_before_work(out):
    (out / "report.json").unlink()
    (out / "report.json").mkdir()
    with pytest.raises(OutputError, match=r"report\.json' cannot be written \(Is a directory\)"):
        Bundle.open(out).check_calibratable()
