"""Studies on engines that run: joblib's workers, a Slurm, a Ray. What is not there is left out.

`tests/launchers/slurm start` and `tests/launchers/ray start` start one of each on this machine.
"""

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from sampling import sample

from convzoo.experiments import launchers

ROOT = Path(__file__).parents[2]
TINY = ["model=lenet", "data=digits", "data.fraction=0.3", "checkpoints.seconds=0"]
PLUGINS = {"parallel": "joblib", "slurm": "submitit", "ray": "ray"}
ASK = {"slurm": ["scontrol", "ping"], "ray": [Path(sys.executable).parent / "ray", "status"]}
WORDS = {
    "parallel": ["launcher=parallel"],
    "slurm": ["launcher=slurm", "launcher.cores=1", "launcher.memory=2"],
    "ray": ["launcher=ray"],
}


def installed(launcher):
    plugins = importlib.util.find_spec("hydra_plugins")  # a folder that the first of them makes
    return plugins and importlib.util.find_spec(f"hydra_plugins.hydra_{PLUGINS[launcher]}_launcher")


def engine(launcher):
    """Leaves the test out unless the launcher's engine answers."""
    if not installed(launcher):
        pytest.skip(f"convzoo[{launcher}] is not installed")
    try:
        if launcher in ASK:
            subprocess.run(ASK[launcher], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"no {launcher} answers here")


def begun(*words, cwd):
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", "-m", *TINY, *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
    )


def finished(*words, cwd, code=0):
    process = begun(*words, cwd=cwd)
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, out + err
    return out, err


def runs(folder):
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    recorded = client.search_runs([each.experiment_id for each in client.search_experiments()])
    return client, [run for run in recorded if "convzoo.report" not in run.data.tags]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", sample(list(WORDS), 3))
def test_every_run_is_made_once_past_one_that_fails(tmp_path, launcher):
    engine(launcher)
    words = ["study=s", "epochs=2", "stride=2,8", "seed=0,1"]
    out, err = finished(*words, *WORDS[launcher], cwd=tmp_path, code=2)
    assert "0 of 4 done, 2 running" in out
    assert "2 of 4 done, 2 failed; best validation accuracy" in out
    assert "images/s" not in out + err  # what a job prints lies in its folder
    told = err.splitlines()
    assert sorted(line.partition(": ")[0] for line in told) == ["error", "failed", "failed"], err
    assert told[-1] == "error: 2 of 4 runs failed"
    _, recorded = runs(tmp_path)
    parts = [(run.info.status, run.info.run_name.split(" · ")) for run in recorded]
    assert sorted((status, names[0], names[-1]) for status, names in parts) == [
        ("FAILED", "s8", "seed 0"),
        ("FAILED", "s8", "seed 1"),
        ("FINISHED", "s2", "seed 0"),
        ("FINISHED", "s2", "seed 1"),
    ]
    assert not any("launcher" in word for run in recorded for word in (run.info.run_name, *run.data.params))
    assert not (tmp_path / "checkpoints").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlartifacts"}

    # What one launcher has made another one finds.
    out, _ = finished(*words, "stride=2", cwd=tmp_path)
    assert "2 of 2 done, 2 reused" in out
    assert len(runs(tmp_path)[1]) == 4


def output(folder, number, epoch, process):
    """Waits until a job has come to an epoch."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, process.stderr.read()
        for path in folder.glob(f"multirun/*/{number}/output.txt"):
            if re.search(rf"epoch +{epoch}/", path.read_text()):
                return
        time.sleep(0.2)
    raise AssertionError(f"job {number} did not come to epoch {epoch}")


@pytest.mark.slow
def test_same_command_completes_cancelled_and_lost_jobs(tmp_path):
    engine("slurm")
    words = ["study=s", "epochs=40", "seed=0,1", *WORDS["slurm"]]
    process = begun(*words, cwd=tmp_path)
    for number in (0, 1):
        output(tmp_path, number, 3, process)
    (array,) = [path.name.partition("_")[0] for path in tmp_path.glob("multirun/*/.submitit/*_0")]
    subprocess.run(["scancel", f"{array}_0"], check=True)
    pids = subprocess.run(["pgrep", "-f", f"submitit.core._submit {tmp_path}"], capture_output=True, text=True)
    until = time.monotonic() + 60
    while "KILLED" not in {run.info.status for run in runs(tmp_path)[1]}:
        assert time.monotonic() < until
        time.sleep(0.5)
    for pid in map(int, pids.stdout.split()):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # one that has ended since
            if b"SLURM_ARRAY_TASK_ID=1" in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 2
    assert re.search(r"^stopped: .*seed=0.*: SIGTERM \(multirun/.*/0/output.txt\)$", err, re.MULTILINE), err
    assert "error: a job was lost; jobs in the queue continue, and the same command runs what is missing: Job" in err
    assert sorted(run.info.status for run in runs(tmp_path)[1]) == ["KILLED", "RUNNING"]
    assert len(list(tmp_path.glob("checkpoints/*/*.npz"))) >= 2

    out, _ = finished(*words, cwd=tmp_path)
    assert "2 of 2 done; best" in out
    client, recorded = runs(tmp_path)
    assert sorted((run.info.status, run.data.params["seed"]) for run in recorded) == [
        ("FINISHED", "0"),
        ("FINISHED", "1"),
    ]
    for run in recorded:
        assert run.info.status == "FINISHED"
        assert [p.step for p in client.get_metric_history(run.info.run_id, "train_loss")] == list(range(1, 41))


def test_a_launcher_is_for_a_sweep(tmp_path):
    engine("parallel")
    words = [sys.executable, ROOT / "train.py", *TINY]
    for more, told in {
        "launcher=parallel": "`launcher` is for a sweep",
        "-m launcher=parallel plan=true": "`plan` prints in this process",
        "-m launcher=parallel launcher.workers=1": "`launcher.workers` must be a whole number from 2",
        "launcher.workers=2": "`launcher.workers`: unknown key",
    }.items():
        done = subprocess.run([*words, *more.split()], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr.count("\n"), told in done.stderr) == (2, 1, True), done.stderr


@pytest.mark.integration
@pytest.mark.parametrize("launcher", list(PLUGINS))
def test_a_launcher_that_is_not_installed_says_how_to_get_it(tmp_path, launcher):
    code = (
        "import sys, runpy\n"
        f"sys.modules['hydra_plugins.hydra_{PLUGINS[launcher]}_launcher'] = None\n"  # as if it were not there
        "from hydra.core.plugins import Plugins\n"
        "import hydra._internal.config_repository, hydra.core.config_store as store\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "load = store.ConfigStore.load\n"
        f"lacking = {next(name for name, extra in launchers.EXTRAS.items() if extra == launcher)!r}\n"
        "Plugins.instance()\n"
        "held = store.ConfigStore.instance().repo.get('hydra', {}).get('launcher', {})\n"
        "held.pop(f'{lacking}.yaml', None)\n"
        f"sys.argv = ['train.py', '-m', 'model=lenet', 'data=digits', 'launcher={launcher}']\n"
        f"runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    wanted = f"error: `launcher={launcher}` needs a package that is not installed: pip install 'convzoo[{launcher}]'\n"
    assert (done.returncode, done.stderr) == (2, wanted)
