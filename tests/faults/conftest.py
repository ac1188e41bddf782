import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from fault_processes import STARTED, Command, Server, Store
from small_run import BEGUN, WORDS, found, lay


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.wait()


@pytest.fixture
def server(tmp_path, empty):
    """An MLflow server over a sqlite file of its own; not yet started."""
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(empty, folder / "server.db")
    server = Server(folder, "--backend-store-uri=sqlite:///server.db", "--artifacts-destination=kept")
    yield server
    if server.process and server.process.poll() is None:
        server.kill()


@pytest.fixture(scope="session")
def empty(tmp_path_factory):
    """An empty store's file, to be copied: MLflow takes seconds to make one."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    Store(f"sqlite:///{path}").client.search_experiments()
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory, empty):
    """A folder with a small network and an empty store."""
    folder = tmp_path_factory.mktemp("place")
    shutil.copy(empty, folder)
    lay(folder)
    return folder


@pytest.fixture(scope="module")
def whole(place):
    """Weights and metrics of a run that was never stopped, and the seconds that it took from its first line on."""
    command = Command(place, *WORDS, "study=whole")
    command.until(BEGUN)
    begun = time.monotonic()
    command.end()
    seconds = time.monotonic() - begun
    return *found(f"sqlite:///{place}/mlflow.db", "whole"), seconds


@pytest.fixture
def small(tmp_path):
    """A file system with 3 MB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place]).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def uri(empty, tmp_path):
    """A sqlite store of its own."""
    shutil.copy(empty, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"
