"""A disk without room, a quota, a folder that is read-only: one line, and what was there is whole."""

import contextlib
import shutil
import subprocess
import sys

import pytest
from fault_processes import ROOT, Command, Process, Store, lines
from small_run import WORDS, assert_nothing_was_lost, found, lay

FULL = "No space left on device"
# A command under a shell's limit on the size of a file.
QUOTA = """if True:
    import os, resource, sys
    limit, *command = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    os.execv(command[0], command)
"""


@contextlib.contextmanager
def filled(place):
    """Within it not a byte more fits in."""
    with (place / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        size = 4096
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    yield
    (place / "filling").unlink()


def told(command):
    """The one line of a command that ends with a mistake's code."""
    command.end(2)
    error = command.err.read_text()
    assert (error.count("\n"), error[:7]) == (1, "error: "), error
    return error


@pytest.mark.slow
def test_checkpoints_without_room(place, whole, small):
    """The training, which lacks nothing, goes on from the last checkpoint and comes to its end without new ones."""
    uri = f"sqlite:///{place}/mlflow.db"
    words = (*WORDS, "study=full", f"checkpoints.directory={small}/kept")
    early = Command(place, *words)
    early.until("^epoch 2/6")
    early.kill()
    with filled(small):
        text = Command(place, *words).end()
    assert lines(text, "resuming from epoch")
    assert len(lines(text, "warning: `checkpoints.directory`", FULL)) == 1
    assert_nothing_was_lost(place, uri, "full", whole)
    assert list(small.iterdir()) == []


@pytest.mark.slow
def test_checkpoints_that_are_removed(place, whole):
    """`rm -rf checkpoints` during a run: it is made again, and the run ends as if nothing had been."""
    command = Command(place, *WORDS, "study=removed")
    command.until("^epoch 2/6")
    shutil.rmtree(place / "checkpoints")
    text = command.end()
    assert not lines(text, "warning")
    assert_nothing_was_lost(place, f"sqlite:///{place}/mlflow.db", "removed", whole)


@pytest.mark.slow
def test_artifacts_without_room(tmp_path, small, empty):
    """What they lie in is full, the store itself is not: they wait, and arrive with the next command."""
    shutil.copy(empty, tmp_path)
    lay(tmp_path)
    (tmp_path / "mlartifacts").symlink_to(small)
    with filled(small):
        text = Command(tmp_path, *WORDS, "study=full").end()
        assert len(lines(text, "warning:", "takes nothing now", FULL)) == 1
        assert lines(text, "1 run for", "in spool/: the next command that reaches it delivers")
    text = Command(tmp_path, *WORDS, "study=full").end()
    assert lines(text, "what waited in spool/ has arrived")
    assert lines(text, "done before")
    found(f"sqlite:///{tmp_path}/mlflow.db", "full")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_folder_to_work_in_that_takes_nothing(tmp_path, small, empty, how):
    """The store and the checkpoints lie elsewhere."""
    shutil.copy(empty, tmp_path)
    lay(small)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = (*WORDS, "study=full", f"tracking.uri={uri}", f"checkpoints.directory={tmp_path}/kept")
    with filled(small) if how == "full" else read_only(small):
        text = Command(small, *words, output=tmp_path).end()
    assert len(lines(text, "warning: spool/ cannot be written to")) == 1
    found(uri, "full")


@contextlib.contextmanager
def read_only(place):
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", place], check=True)


@pytest.mark.slow
def test_checkpoints_in_a_folder_that_is_read_only(tmp_path, small, empty):
    """It is told before a run begins."""
    shutil.copy(empty, tmp_path)
    lay(tmp_path)
    with read_only(small):
        error = told(Command(tmp_path, *WORDS, f"checkpoints.directory={small}/kept"))
    assert error == f"error: `checkpoints.directory`: {error.split()[2]} cannot be written to: Read-only file system\n"
    assert Store(f"sqlite:///{tmp_path}/mlflow.db").client.get_experiment_by_name("convzoo") is None


@pytest.mark.slow
def test_files_that_may_not_be_so_large(place):
    """A limit of the shell's, as a quota: checkpoints are above it, and no other file."""
    uri = f"sqlite:///{place}/mlflow.db"
    words = (ROOT / "train.py", "model=lenet", "model.layers.fc1.units=2000", "data=digits", "epochs=2", "study=quota")
    words += ("tracking.artifacts=light",)  # a model would be above it too
    text = Process(place, sys.executable, "-c", QUOTA, "3000000", sys.executable, *words).end()
    assert len(lines(text, "warning: `checkpoints.directory`", "File too large")) == 1
    assert [run.info.status for run in Store(uri).runs("quota")] == ["FINISHED"]
    assert not (place / "checkpoints").exists()


@pytest.mark.slow
def test_a_store_that_is_read_only_waits(tmp_path, small, empty):
    shutil.copy(empty, small)
    lay(tmp_path)
    uri = f"sqlite:///{small}/mlflow.db"
    words = (*WORDS, "study=full", f"tracking.uri={uri}")
    with read_only(small):
        text = Command(tmp_path, *words).end()
        assert len(lines(text, "warning:", "takes nothing now")) == 1
    assert lines(Command(tmp_path, *words).end(), "what waited in spool/ has arrived")
    found(uri, "full")
