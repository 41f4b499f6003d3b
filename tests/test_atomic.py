import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bskim_export.atomic import check_folder, check_output, write_atomic, write_json
from bskim_export.errors import DiskFullError, OutputError
from bskim_export.locks import is_temporary, take_lock, temporary_name

DIES_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from bskim_export.atomic import write_atomic

def write(stream):
    stream.write(b"half")
    stream.flush()
    print("writing", flush=True)
    if sys.argv[2] == "wait":
        sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)

write_atomic(Path(sys.argv[1]), write)
"""


@pytest.fixture
def small_files() -> Iterator[None]:
    """A limit on what a file may hold: a disk that is full, as far as writing goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mode(path: Path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")

    def fail(stream):
        stream.write(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "write",
    [
        lambda s: s.write(b"x" * 2000),
        lambda s: np.savez(s, x=np.zeros(99_999)),
        lambda s: torch.save(torch.zeros(99_999), s),
    ],
    ids=["bytes", "shard of a calibration", "checkpoint"],
)
def test_a_full_disk_leaves_the_old_file_and_is_told_by_name(write, tmp_path, small_files):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(DiskFullError, match=r"x' \(File too large\)\. Nothing was changed"):
        write_atomic(path, write)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_written_whole_and_folders_are_made(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"x": [1, None]})
    assert (tmp_path / "a" / "b.json").read_text() == '{\n  "x": [\n    1,\n    null\n  ]\n}\n'
    with pytest.raises(TypeError):
        write_json(tmp_path / "a" / "b.json", {"x": object()})
    assert "null" in (tmp_path / "a" / "b.json").read_text()


# What is there already


@pytest.mark.parametrize("old", [0o600, 0o640, 0o400, 0o755])
def test_a_file_keeps_its_mode_and_a_new_one_gets_that_of_any_new_file(old, tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(old)
    write_json(path, 1)
    assert (mode(path), path.read_text()) == (old, "1\n")
    (tmp_path / "ordinary").touch()
    write_json(tmp_path / "new", 1)
    assert mode(tmp_path / "new") == mode(tmp_path / "ordinary")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner(tmp_path):
    path = tmp_path / "x"
    path.touch()
    os.chown(path, 12345, 23456)
    write_json(path, 1)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@pytest.mark.parametrize("there", [True, False])
def test_links_stay_and_what_they_lead_to_is_written(there, tmp_path):
    for name in ("far", "near", "links"):
        (tmp_path / name).mkdir()
    if there:
        (tmp_path / "far" / "real.json").write_text("old")
    (tmp_path / "near" / "second").symlink_to("../far/real.json")
    (tmp_path / "links" / "first").symlink_to(tmp_path / "near" / "second")
    write_json(tmp_path / "links" / "first", 1)
    assert (tmp_path / "links" / "first").is_symlink()
    assert (tmp_path / "near" / "second").is_symlink()
    assert (tmp_path / "far" / "real.json").read_text() == "1\n"
    assert os.listdir(tmp_path / "far") == ["real.json"]


def test_a_loop_of_links_a_directory_and_impossible_names_are_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    long = tmp_path / ("x" * 256)
    bad = [tmp_path / "loop", tmp_path, Path("."), Path("/"), tmp_path / "..", tmp_path / "file" / "x", long]
    bad += [tmp_path / "nul\0", tmp_path / "\ud800", long / "x", tmp_path / "loop" / "x"]
    for path in bad:
        for attempt in (write_json, lambda path, _: check_output(path)):
            with pytest.raises(OutputError, match="Name another place"):
                attempt(path, 1)
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]


@pytest.mark.parametrize("length", [100, 200, 250, 255])
def test_long_names_and_names_with_bytes_that_are_no_text_are_written(length, tmp_path):
    for name in ("x" * length, "é" * (length // 2), os.fsdecode(b"\xff" * length)):
        check_output(tmp_path / name)
        write_json(tmp_path / name, 1)
        assert (tmp_path / name).read_text() == "1\n"
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes devices")
def test_devices_are_written_to_and_stay(tmp_path):
    null = tmp_path / "null"
    full = tmp_path / "full"
    os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(full, 0o666 | stat.S_IFCHR, os.makedev(1, 7))
    check_output(null)
    write_json(null, 1)
    with pytest.raises(DiskFullError, match="full' "):
        write_json(full, 1)
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert stat.S_ISCHR(full.lstat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["full", "null"]


def test_a_pipe_is_written_to_if_somebody_reads_it(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_output(pipe)  # without opening it: its reader would see the end
    with pytest.raises(OutputError, match="nobody reads from it"):
        write_json(pipe, 1)
    with open(tmp_path / "read", "wb") as out, subprocess.Popen(["cat", pipe], stdout=out) as reader:
        value = "x" * 200_000  # more than a pipe holds
        for _ in range(3000):
            try:
                write_json(pipe, value)
                break
            except OutputError:
                time.sleep(0.01)  # cat has not opened it yet
        reader.wait(timeout=60)
    assert (tmp_path / "read").read_text() == f'"{value}"\n'
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1", "link"])
@pytest.mark.parametrize("redirected", [True, False])
def test_the_own_output_is_written_to_where_it_is(name, redirected, tmp_path):
    (tmp_path / "link").symlink_to("/proc/self/fd/1")
    program = f"""
from pathlib import Path
from bskim_export.atomic import check_output, write_json
print("before", flush=True)
check_output(Path({name!r}))
write_json(Path({name!r}), 1)
print("after")
"""
    with open(tmp_path / "out", "wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, stdout=out if redirected else subprocess.PIPE, check=True
        )
    shown = (tmp_path / "out").read_bytes() if redirected else done.stdout
    assert shown == b"before\n1\nafter\n"
    assert sorted(os.listdir(tmp_path)) == ["link", "out"]


# Others at work


def test_a_link_that_is_planted_under_a_temporary_name_is_not_followed(tmp_path, monkeypatch):
    (tmp_path / "victim").write_text("precious")
    planted = iter([temporary_name("x", "tmp") for _ in range(3)])
    monkeypatch.setattr("bskim_export.atomic.temporary_name", lambda name, kind: next(planted))
    first = temporary_name("x", "tmp")
    (tmp_path / first).symlink_to("victim")
    planted = iter([first])
    with pytest.raises(OutputError, match="File exists"):
        write_json(tmp_path / "x", 1)
    assert (tmp_path / "victim").read_text() == "precious"


def test_threads_that_write_one_path_never_tear_it(tmp_path):
    path = tmp_path / "x"
    torn = []
    stop = threading.Event()

    def write(letter: bytes) -> None:
        for _ in range(100):
            write_atomic(path, lambda s: [s.write(letter * 4096) for _ in range(50)])

    def read() -> None:
        while not stop.is_set():
            found = path.read_bytes() if path.exists() else b"a" * 204_800
            if len(found) != 204_800 or len(set(found)) != 1:
                torn.append(found)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c")]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    assert not torn
    assert os.listdir(tmp_path) == ["x"]


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_writes_is_not(tmp_path):
    path = tmp_path / "x"
    command = [sys.executable, "-c", DIES_WHILE_WRITING, str(path)]
    killed = subprocess.run([*command, "now"], stdout=subprocess.PIPE, check=False)
    assert killed.returncode == -signal.SIGKILL
    with subprocess.Popen([*command, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout.readline() == b"writing\n"
        write_json(path, 1)
        (left,) = (p for p in tmp_path.iterdir() if p != path)
        assert left.read_text() == "half"  # that of the running one; the other's is gone
        running.communicate(b"\n")
    write_json(path, 2)
    assert os.listdir(tmp_path) == ["x"]


def test_where_there_are_no_locks_nothing_is_removed(tmp_path, monkeypatch):
    def unsupported(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    left = tmp_path / temporary_name("x", "tmp")
    left.touch()
    assert take_lock(0) is None
    write_json(tmp_path / "x", 1)
    assert sorted(os.listdir(tmp_path)) == sorted(["x", left.name])


@pytest.mark.parametrize("name", ["x", "é" * 100, "a.b*[c]"])
def test_temporary_names_belong_to_one_name(name):
    made = temporary_name(name, "tmp")
    assert len(os.fsencode(made)) < 255
    assert is_temporary(made, name, "old", "tmp")
    assert not is_temporary(made, name, "old")
    assert not is_temporary(made, f"{name}2", "tmp")


# Looking before


def test_an_output_that_can_be_written_passes_and_nothing_is_made(tmp_path):
    (tmp_path / "there").write_text("old")
    for path in (tmp_path / "there", tmp_path / "new", tmp_path / "a" / "b" / "new"):
        check_output(path)
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path)
    assert os.listdir(tmp_path) == ["there"]
    assert (tmp_path / "there").read_text() == "old"
    with pytest.raises(OutputError, match="Not a directory"):
        check_folder(tmp_path / "there")
    with pytest.raises(OutputError, match="Not a directory"):
        check_output(tmp_path / "there" / "x" / "y")


def test_a_folder_that_is_read_only_is_noticed(tmp_path):
    """A real one: root may write to everything but a file system that is mounted so."""
    program = """
import sys
from pathlib import Path
from bskim_export.atomic import check_folder, check_output
from bskim_export.errors import OutputError
for check, name in ((check_output, "ro/x"), (check_output, "ro/a/b/x"), (check_folder, "ro"), (check_folder, "ro/a")):
    try:
        check(Path(name))
        sys.exit(f"{name} passed")
    except OutputError as error:
        assert "Read-only file system" in str(error), error
"""
    (tmp_path / "ro").mkdir()
    mounted = 'mount -t tmpfs -o ro tmpfs ro || exit 99; exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted, "sh", sys.executable, "-c", program],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("this user may not mount anything")
    assert done.returncode == 0, done.stderr
