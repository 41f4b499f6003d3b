import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bskim_export.bundle.directory import atomic_directory, check_target
from bskim_export.bundle.manifest_file import MANIFEST
from bskim_export.errors import BundleError
from bskim_export.locks import temporary_name

KILLED_MID_WRITE = """
import os, signal, sys
from pathlib import Path
from bskim_export.bundle.directory import atomic_directory

with atomic_directory(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print("writing", flush=True)
    sys.stdin.readline()
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
        (folder / MANIFEST).write_text(sys.argv[4].replace("TEXT", f"{sys.argv[2]}{i}"))
        (folder / "onnx/weights.bin").write_text(f"{sys.argv[2]}{i}")
"""


def manifest(text: str, **fields: object) -> str:
    """Return a manifest that reads as ours, which `text` is the precision of."""
    own = {"format_version": 2, "model": {}, "stages": [], "thresholds": {}, "files": {}, "versions": {}}
    return json.dumps({**own, "precision": text, **fields})


def bundle_of(text: str) -> dict[str, str]:
    return {MANIFEST: manifest(text), "onnx/weights.bin": text}


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


def leftover(out: Path, kind: str, text: str) -> Path:
    """Make what a killed export leaves."""
    return fill(out.parent / temporary_name(out.name, kind), text)


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


FOREIGN = {
    "a thesis": ({"thesis.txt": "mine"}, "exists and is not a bundle"),
    "a web extension": ({MANIFEST: '{"manifest_version": 3, "name": "x", "version": "1.0"}', "src/thesis.js": "mine"},
                        "has a manifest.json that no bundle has"),
    "a spoiled manifest": ({MANIFEST: "{", "onnx/weights.bin": "1"}, "that no bundle has"),
    "deep JSON": ({MANIFEST: "[" * 100_000}, "that no bundle has"),
    "a list": ({MANIFEST: "[]"}, "that no bundle has"),
    "half of our fields": ({MANIFEST: '{"format_version": 2, "files": {}}'}, "that no bundle has"),
    "a bundle with notes": ({MANIFEST: manifest("x"), "onnx/weights.bin": "1", "notes.md": "mine"}, "holds 'notes.md'"),
    "notes among graphs": ({MANIFEST: manifest("x"), "onnx/notes.md": "mine"}, "holds 'onnx/notes.md'"),
    "notes among engines": ({MANIFEST: manifest("x"), "engines/rtx/mine.md": "mine"}, "holds 'engines/rtx/mine.md'"),
    "a repository": ({MANIFEST: manifest("x"), ".git/HEAD": "mine"}, "holds '.git'"),
    "no manifest": ({"onnx/weights.bin": "1", "tokenizer.json": "{}"}, "exists and is not a bundle"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_directory_is_refused_and_untouched(name, out):
    files, message = FOREIGN[name]
    for path, text in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text)
    for attempt in (check_target, write_new):
        with pytest.raises(BundleError, match=rf"{message}.*nothing was changed\. Choose another --out"):
            attempt(out)
    assert contents(out) == files
    assert os.listdir(out.parent) == ["engines"]


OURS = {
    "of this version": {MANIFEST: manifest("old"), "report.json": "{}", "tokenizer.json": "{}", "onnx/a.onnx": "1"},
    "of the first version": {MANIFEST: manifest("old", format_version=1), "onnx/weights.bin": "1"},
    "of a later version": {MANIFEST: manifest("old", format_version=99, files={"new/thing.bin": "0"}),
                           "new/thing.bin": "1"},
    "with its tokenizer's files": {MANIFEST: manifest("old", files={"vocab.txt": "0", "onnx/x": "0"}),
                                   "vocab.txt": "", "onnx/x": ""},
    "with engines": {MANIFEST: manifest("old"), "engines/tensorrt-8.9/a.engine": "1",
                     "engines/tensorrt-8.9/a.json": "{}"},
    "with what a killed calibration left": {MANIFEST: manifest("old"), ".report.json.tmp-0123456789abcdef": "",
                                            ".manifest.json.4711": ""},
}  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_a_bundle_of_any_version_is_replaced(name, out):
    for path, text in OURS[name].items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text)
    write_new(out)
    assert contents(out) == bundle_of("new")
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


def test_partial_directory_of_a_dead_process_is_removed(out, before):
    leftover(out, "partial", "half")
    write_new(out)
    assert contents(out) == bundle_of("new")
    assert os.listdir(out.parent) == ["engines"]


def test_bundle_that_a_dead_process_had_set_aside_comes_back(out):
    leftover(out, "old", "old")
    leftover(out, "partial", "half")
    with pytest.raises(RuntimeError, match="disk full"):
        write_and_fail(out)
    assert contents(out) == bundle_of("old")
    assert os.listdir(out.parent) == ["engines"]


def test_bundle_that_was_set_aside_is_removed_when_the_new_one_took_its_place(out):
    fill(out, "newer")
    leftover(out, "old", "old")
    with pytest.raises(RuntimeError, match="disk full"):
        write_and_fail(out)
    assert contents(out) == bundle_of("newer")
    assert os.listdir(out.parent) == ["engines"]


def test_what_another_export_has_in_work_stays_even_if_its_process_cannot_be_seen(out):
    """Locks, not process ids: those of two containers have nothing to do with each other."""
    command = [sys.executable, "-c", KILLED_MID_WRITE, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"writing\n"
        write_new(out)
        assert [p.read_text() for p in out.parent.glob(".engines.partial-*/half")] == ["half"]
        running.communicate(b"\n")
    write_new(out)
    assert os.listdir(out.parent) == ["engines"]


def test_where_there_are_no_locks_nothing_that_may_be_alive_is_removed(out, monkeypatch):
    def unsupported(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    left = leftover(out, "partial", "half")
    write_new(out)
    assert contents(left) == bundle_of("half")
    assert contents(out) == bundle_of("new")


@pytest.mark.parametrize("name", [".engines.partial-", ".engines.partial-x", ".engines.notes-HEX", "engines.old-HEX"])
def test_folders_that_only_look_alike_stay(out, name):
    other = fill(out.parent / name.replace("HEX", "0123456789abcdef"), "mine")
    write_new(out)
    assert contents(other) == bundle_of("mine")


def test_other_peoples_files_under_such_a_name_stay(out):
    mine = out.parent / temporary_name(out.name, "old")
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("mine")
    write_new(out)
    assert (mine / "thesis.txt").read_text() == "mine"


def test_bundle_set_aside_for_another_target_stays(out, before):
    other = leftover(out.with_name("engines.v2"), "old", "v2")
    write_new(out)
    assert contents(other) == bundle_of("v2")


@pytest.mark.parametrize("name", ["x" * 200, "x" * 255, "é" * 120])
def test_long_names_are_written(name, out):
    write_new(out.with_name(name))
    assert os.listdir(out.parent) == [name]


@pytest.mark.parametrize("name", ["x" * 256, "nul\0", "loop"])
def test_impossible_names_are_refused(name, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for attempt in (check_target, write_new):
        with pytest.raises(BundleError, match="Choose another --out"):
            attempt(tmp_path / name)
    assert os.listdir(tmp_path) == ["loop"]


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_what_is_replaced_by_gets_no_wider_modes(out, mode):
    fill(out, "old")
    out.chmod(mode)
    (out / MANIFEST).chmod(mode & 0o666)
    write_new(out)
    assert out.stat().st_mode & 0o777 == mode
    assert (out / MANIFEST).stat().st_mode & 0o777 == mode & 0o666


ON_A_MOUNT = """
mkdir -p vol source && mount -t tmpfs tmpfs source && mkdir source/engines vol/engines || exit 99
case "$1" in
    own) mount -t tmpfs tmpfs vol/engines ;;
    bind) mkdir real && mount --bind real vol/engines ;;
esac || exit 99
shift
"$@"
"""
IN_A_MOUNT = """
import errno, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from bundle.test_directory import contents, bundle_of, fill, write_and_fail, write_new
from bskim_export.bundle import directory
from bskim_export.bundle.ownership import is_mount_point

out = Path("vol/engines")
assert is_mount_point(out.resolve())
assert not is_mount_point(Path("vol").resolve())
write_new(out)
assert contents(out) == bundle_of("new")
try:
    write_and_fail(out)
except RuntimeError:
    pass
assert contents(out) == bundle_of("new")
fill(Path("other"), "x")
(out / "mine").write_text("mine")
try:
    write_new(out)
    sys.exit("foreign file was accepted")
except directory.BundleError as error:
    assert "'mine'" in str(error), error
(out / "mine").unlink()
# An error, then a kill, at each of the renamings of the swap.
real = Path.rename
for moment in range(6):
    for deadly in (False, True):
        done = []

        def rename(path, target):
            done.append(path)
            if len(done) == moment + 1:
                os._exit(9) if deadly else exec("raise KeyboardInterrupt")
            return real(path, target)

        before = contents(out)
        child = os.fork()
        if child == 0:
            Path.rename = rename
            try:
                write_new(out)
            except KeyboardInterrupt:
                os._exit(0 if contents(out) == before else 1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in ((0, 9) if deadly else (0,)), (moment, deadly, status)
        try:
            write_and_fail(out)
        except RuntimeError:
            pass
        assert contents(out) == before, (moment, deadly, contents(out))
        assert sorted(os.listdir(out)) == ["manifest.json", "onnx"], os.listdir(out)
assert os.listdir("vol") == ["engines"]
"""


@pytest.mark.parametrize("kind", ["own", "bind"])
def test_a_mount_point_is_filled_in_place(kind, tmp_path):
    """As a container's volume is: it cannot be renamed."""
    program = [sys.executable, "-c", IN_A_MOUNT, str(Path(__file__).parents[1])]
    try:
        done = subprocess.run(["unshare", "--mount", "sh", "-c", ON_A_MOUNT, "sh", kind, *program], cwd=tmp_path,
                              capture_output=True, text=True, check=False, timeout=100)  # fmt: skip
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this user may not mount anything")
    assert done.returncode == 0, done.stderr


def test_name_with_pattern_characters_is_cleaned_too(out):
    target = out.parent / "engines[1]"
    leftover(target, "old", "old")
    with pytest.raises(RuntimeError, match="disk full"):
        write_and_fail(target)
    assert contents(target) == bundle_of("old")


def test_killed_process_leaves_the_old_bundle_and_the_next_run_cleans_up(out, before):
    killed = subprocess.run([sys.executable, "-c", KILLED_MID_WRITE, str(out)], input=b"\n", check=False)
    assert killed.returncode == -signal.SIGKILL
    assert contents(out) == before
    assert [p.read_text() for p in out.parent.glob(".engines.partial-*/half")] == ["half"]
    write_new(out)
    assert contents(out) == bundle_of("new")
    assert os.listdir(out.parent) == ["engines"]


def test_writers_that_race_all_end_well_and_leave_one_whole_bundle(out, before):
    command = [sys.executable, "-c", WRITES_OFTEN, str(out)]
    racing = [
        subprocess.Popen([*command, name, "200", manifest("TEXT")], stderr=subprocess.PIPE, text=True) for name in "abc"
    ]
    assert [(p.communicate()[1], p.returncode) for p in racing] == [("", 0)] * 3
    assert contents(out) in [bundle_of(f"{name}199") for name in "abc"]
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


def test_leftovers_that_another_process_clears_at_the_same_time_do_no_harm(out, monkeypatch):
    leftover(out, "old", "old")
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
    with pytest.raises(BundleError, match=r"engines' cannot be written to \(Not a directory\)\. Choose another --out"):
        write_new(tmp_path / "file" / "engines")
