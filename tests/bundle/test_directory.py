import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bskim_export.bundle.directory import atomic_directory, check_target
from bskim_export.bundle.manifest_file import MANIFEST
from bskim_export.errors import BundleError

KILLED_MID_WRITE = """
import os, signal, sys
from pathlib import Path
from bskim_export.bundle.directory import atomic_directory

with atomic_directory(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


WRITES_OFTEN = """
import sys
from pathlib import Path
from bskim_export.bundle.manifest_file import MANIFEST
from bskim_export.bundle.directory import atomic_directory, check_target

for i in range(int(sys.argv[3])):
    check_target(Path(sys.argv[1]))
    with atomic_directory(Path(sys.argv[1])) as folder:
        (folder / "onnx").mkdir()
        for name in (MANIFEST, "onnx/weights.bin"):
            (folder / name).write_text(f"{sys.argv[2]}{i}")
"""


def bundle_of(text: str) -> dict[str, str]:
    return {MANIFEST: text, "onnx/weights.bin": text}


def fill(folder: Path, text: str) -> Path:
    (folder / "onnx").mkdir(parents=True)
    for name, content in bundle_of(text).items():
        (folder / name).write_text(content)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def write_new(out: Path) -> None:
    with atomic_directory(out) as folder:
        fill(folder, "new")


def write_and_fail(out: Path, error: type[BaseException] = RuntimeError) -> None:
    with atomic_directory(out) as folder:
        fill(folder, "new")
        raise error("disk full")


@pytest.fixture
def out(tmp_path) -> Path:
    """A target in a folder of its own."""
    return tmp_path / "home" / "engines"


@pytest.fixture(params=["absent", "bundle"])
def before(request, out) -> dict[str, str]:
    """What is at `out` before it is written: nothing, or an old bundle."""
    return {} if request.param == "absent" else contents(fill(out, "old"))


@pytest.fixture
def dead_pid() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_directory_appears_or_is_replaced_only_when_it_is_whole(out, before):
    with atomic_directory(out) as folder:
        assert list(folder.iterdir()) == []
        fill(folder, "new")
        assert contents(out) == before
        assert folder.parent == out.parent  # the same file system: renaming must do
    assert contents(out) == bundle_of("new")
    assert os.listdir(out.parent) == ["engines"]


def test_empty_directory_is_replaced(out):
    out.mkdir(parents=True)
    write_new(out)
    assert contents(out) == bundle_of("new")


def test_relative_target_stays_where_it_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_directory(Path("engines")) as folder:
        fill(folder, "new")
        os.chdir(tmp_path.parent)
    assert contents(tmp_path / "engines") == bundle_of("new")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_exception_leaves_everything_as_it_was(out, before, error):
    with pytest.raises(error, match="disk full"):
        write_and_fail(out, error)
    assert os.listdir(out.parent) == (["engines"] if before else [])
    assert contents(out) == before


def test_foreign_directory_is_refused_and_untouched(out):
    out.mkdir(parents=True)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match=r"is not a bundle; nothing was changed\. Choose another --out"):
        check_target(out)
    with pytest.raises(BundleError, match="nothing was changed"):
        write_new(out)
    assert contents(out) == {"thesis.txt": "mine"}
    assert os.listdir(out.parent) == ["engines"]


def test_file_is_refused_and_untouched(out):
    out.parent.mkdir()
    out.write_text("mine")
    with pytest.raises(BundleError, match=r"is a file; a bundle is a directory\. Choose another --out"):
        check_target(out)
    with pytest.raises(BundleError, match="is a file"):
        write_new(out)
    assert out.read_text() == "mine"


def test_targets_that_may_be_written_pass(out):
    check_target(out)
    out.mkdir(parents=True)
    check_target(out)
    check_target(fill(out / "inside", "old"))


def test_partial_directory_of_a_dead_process_is_removed(out, before, dead_pid):
    fill(out.parent / f".engines.partial-{dead_pid}-0123abcd", "half")
    write_new(out)
    assert contents(out) == bundle_of("new")
    assert os.listdir(out.parent) == ["engines"]


def test_bundle_that_a_dead_process_had_set_aside_comes_back(out, dead_pid):
    fill(out.parent / f".engines.old-{dead_pid}-0123abcd", "old")
    fill(out.parent / f".engines.partial-{dead_pid}-0123abcd", "half")
    with pytest.raises(RuntimeError, match="disk full"):
        write_and_fail(out)
    assert contents(out) == bundle_of("old")
    assert os.listdir(out.parent) == ["engines"]


def test_bundle_that_was_set_aside_is_removed_when_the_new_one_took_its_place(out, dead_pid):
    fill(out, "newer")
    fill(out.parent / f".engines.old-{dead_pid}-0123abcd", "old")
    with pytest.raises(RuntimeError, match="disk full"):
        write_and_fail(out)
    assert contents(out) == bundle_of("newer")
    assert os.listdir(out.parent) == ["engines"]


def test_partial_directory_of_a_running_process_stays(out):
    running = fill(out.parent / f".engines.partial-{os.getppid()}-0123abcd", "half")
    write_new(out)
    assert contents(running) == bundle_of("half")


@pytest.mark.parametrize("name", [".engines.partial-", ".engines.partial-x", ".engines.notes-PID", "engines.old-PID"])
def test_folders_that_only_look_alike_stay(out, dead_pid, name):
    other = fill(out.parent / name.replace("PID", str(dead_pid)), "mine")
    write_new(out)
    assert contents(other) == bundle_of("mine")


def test_bundle_set_aside_for_another_target_stays(out, before, dead_pid):
    other = fill(out.parent / f".engines.v2.old-{dead_pid}-0123abcd", "v2")
    write_new(out)
    assert contents(other) == bundle_of("v2")


def test_leftovers_under_the_own_process_id_neither_block_nor_get_lost(out):
    """In a container, every run may have the same process id."""
    fill(out.parent / f".engines.partial-{os.getpid()}-0123abcd", "half")
    fill(out.parent / f".engines.old-{os.getpid()}-0123abcd", "old")
    with pytest.raises(RuntimeError, match="disk full"):
        write_and_fail(out)
    assert contents(out) == bundle_of("old")


def test_name_with_pattern_characters_is_cleaned_too(out, dead_pid):
    target = out.parent / "engines[1]"
    fill(out.parent / f".engines[1].old-{dead_pid}-0123abcd", "old")
    with pytest.raises(RuntimeError, match="disk full"):
        write_and_fail(target)
    assert contents(target) == bundle_of("old")


def test_killed_process_leaves_the_old_bundle_and_the_next_run_cleans_up(out, before):
    killed = subprocess.run([sys.executable, "-c", KILLED_MID_WRITE, str(out)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert contents(out) == before
    assert [p.read_text() for p in out.parent.glob(".engines.partial-*/half")] == ["half"]
    write_new(out)
    assert contents(out) == bundle_of("new")
    assert os.listdir(out.parent) == ["engines"]


def test_writers_that_race_all_end_well_and_leave_one_whole_bundle(out, before):
    command = [sys.executable, "-c", WRITES_OFTEN, str(out)]
    racing = [subprocess.Popen([*command, name, "300"], stderr=subprocess.PIPE, text=True) for name in "abc"]
    assert [(p.communicate()[1], p.returncode) for p in racing] == [("", 0)] * 3
    assert contents(out) in [bundle_of(f"{name}299") for name in "abc"]
    assert os.listdir(out.parent) == ["engines"]


@pytest.mark.parametrize("renamings", [1, 2])
@pytest.mark.parametrize("after", [False, True])
def test_an_interruption_of_the_swap_leaves_one_of_the_two(out, renamings, after, monkeypatch):
    fill(out, "old")
    real, done = Path.rename, []

    def interrupted(path, target):
        done.append(path)
        if len(done) == renamings and not after:
            raise KeyboardInterrupt
        real(path, target)
        if len(done) == renamings:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_new(out)
    assert contents(out) == bundle_of("new" if renamings == 2 and after else "old")
    assert os.listdir(out.parent) == ["engines"]


def test_leftovers_that_another_process_clears_at_the_same_time_do_no_harm(out, dead_pid, monkeypatch):
    fill(out.parent / f".engines.old-{dead_pid}-0123abcd", "old")
    real = Path.rename

    def beaten(path, target):
        if ".old-" in path.name:
            real(path, target)  # the other process
        real(path, target)

    monkeypatch.setattr(Path, "rename", beaten)
    write_new(out)
    assert contents(out) == bundle_of("new")
    assert os.listdir(out.parent) == ["engines"]


def test_a_place_that_cannot_be_written_to_is_refused_by_name(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BundleError, match=r"file' cannot be written to \(.*\)\. Choose another --out"):
        write_new(tmp_path / "file" / "engines")
