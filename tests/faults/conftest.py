import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))
from fault_processes import STARTED, Server, Store


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


@pytest.fixture
def uri(empty, tmp_path):
    """A sqlite store of its own."""
    shutil.copy(empty, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"
