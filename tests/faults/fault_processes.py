"""Servers that are killed and come back, and commands that go on meanwhile: all of them real processes."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow

ROOT = Path(__file__).parents[2]
SECONDS = 240
STARTED = []  # processes of the test that runs
WRITER = """if True:
    import sys, time
    from types import SimpleNamespace
    import numpy as np
    from convzoo.data import Split
    from convzoo.tracking.run import Run, RunSpec
    pictures = Split(np.zeros((2, 2, 2, 1), np.uint8), np.zeros(2, np.int32))
    data = SimpleNamespace(name="black", source="nowhere", train=pictures, validation=pictures, test=pictures)
    uri, study, epochs, pause = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    with Run.start(RunSpec(uri, study, "a run", {"epochs": epochs}, {"identity": "i"})) as run:
        print("begun", flush=True)
        for name in ("config.yaml", "plan.txt", "rows.yaml"):
            run.log_text("words", name)
        for part in ("train", "validation", "test"):
            run.log_dataset(data, part)
        waited = 0
        for epoch in range(1, epochs + 1):
            time.sleep(pause)
            start = time.perf_counter()
            run.log_epoch(epoch, dict.fromkeys(("train_loss", "val_accuracy", "images_per_second"), epoch))
            waited += time.perf_counter() - start
        run.log_metrics(dict.fromkeys(("test_accuracy", "test_loss", "training_seconds"), 1.0), epochs)
        print("waited", waited, flush=True)
"""


class Server:
    """An MLflow server that may be killed and started again at the same address.

    Args:
        folder: where its files lie.
        words: behind `mlflow server`.
        environment: of the process, beside ours.
    """

    def __init__(self, folder, *words, **environment):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address, self.folder, self.words = f"http://127.0.0.1:{self.port}", folder, words
        self.environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **environment}
        self.process = None

    def start(self):
        settings = dict(cwd=self.folder, env=self.environment, start_new_session=True)
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, **settings)
        wait_for(self._answers, "the server does not start")

    def command(self):
        return [sys.executable, "-m", "mlflow", "server", "--workers=1", f"--port={self.port}", *self.words]

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def _answers(self):
        assert self.process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"{self.address}/health", timeout=5).close()
        except OSError:
            return False
        return True


class Process:
    """A process whose lines are read as they come.

    Args:
        folder: where it is started.
        words: of its command.
        output: where what it prints is kept; the same if nothing is said.
        environment: beside ours.
    """

    def __init__(self, folder, *words, output=None, **environment):
        settings = dict(cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1", **environment})
        self.out = (output or folder) / f"out-{time.time_ns()}.txt"
        self.err = self.out.with_suffix(".err")
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(words, stdout=out, stderr=err, **settings)
        STARTED.append(self.process)

    @property
    def text(self):
        return self.out.read_text()

    def until(self, pattern):
        """Returns when a line comes that matches."""

        def seen():
            found = re.search(pattern, self.text, re.MULTILINE)
            assert found or self.process.poll() is None, f"{self.text}\n{self.err.read_text()[-3000:]}"
            return found

        return wait_for(seen, f"this does not come: {pattern}")

    def end(self, code=0):
        """Waits for the end; returns what was printed."""
        self.process.wait(SECONDS)
        assert self.process.returncode == code, f"{self.text}\n{self.err.read_text()[-3000:]}"
        return self.text

    def kill(self):
        self.process.kill()
        self.process.wait()


class Command(Process):
    """`train.py` with words."""

    def __init__(self, folder, *words, **environment):
        super().__init__(folder, sys.executable, ROOT / "train.py", *words, **environment)


class Writer(Process):
    """A process that records a run as a training would, without a training."""

    def __init__(self, folder, uri, study="mine", epochs=20, pause=0.0):
        super().__init__(folder, sys.executable, "-c", WRITER, uri, study, str(epochs), str(pause))


def wait_for(done, words):
    end = time.monotonic() + SECONDS
    while not (found := done()):
        assert time.monotonic() < end, words
        time.sleep(0.05)
    return found


def lines(text, *words):
    """Those that have all the words."""
    return [line for line in text.splitlines() if all(word in line for word in words)]


class Store:
    """What a store holds, read past convzoo."""

    def __init__(self, uri):
        self.client = mlflow.MlflowClient(uri)

    def runs(self, study="convzoo"):
        """MLflow's runs of a study without its report, the oldest first."""
        experiment = self.client.get_experiment_by_name(study)
        recorded = self.client.search_runs([experiment.experiment_id])
        runs = [run for run in recorded if "convzoo.report" not in run.data.tags]
        return sorted(runs, key=lambda run: run.info.start_time)

    def assert_whole(self, run, epochs, names=("config.yaml", "plan.txt", "rows.yaml")):
        """Every epoch is there once and in order, and all that a run records beside them."""
        assert run.info.status == "FINISHED"
        for key in ("train_loss", "val_accuracy", "images_per_second"):
            points = self.client.get_metric_history(run.info.run_id, key)
            assert [point.step for point in points] == list(range(1, epochs + 1)), key
            times = [point.timestamp for point in points]
            assert times == sorted(times), key
        assert {"test_accuracy", "test_loss", "training_seconds"} <= run.data.metrics.keys()
        assert run.data.params["epochs"] == str(epochs)
        assert sorted(file.path for file in self.client.list_artifacts(run.info.run_id)) == sorted(names)
        assert len(run.inputs.dataset_inputs) == 3
