"""What many runs in one process leave behind."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest
from sampling import ALL

ROOT = Path(__file__).parents[2]
RUNS = 200 if ALL else 20

# `train.py`, which says after each of its jobs how many objects Python's collector knows.
COUNTED = """if True:
    import gc, runpy, sys
    from convzoo.experiments.sweep import SweepCallback
    end = SweepCallback.on_job_end

    def on_job_end(self, *args, **kwargs):
        print("objects", len(gc.get_objects()), flush=True)
        end(self, *args, **kwargs)

    SweepCallback.on_job_end = on_job_end
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def resources(process):
    """What a process holds, by its folder in /proc: kB of memory, threads, open files."""
    found = re.findall(r"^(VmRSS|Threads):\s+(\d+)", (process / "status").read_text(), re.MULTILINE)
    return {**{key: int(value) for key, value in found}, "files": len(list((process / "fd").iterdir()))}


def size(folder):
    """Bytes of the files in a folder, while some are taken away."""
    found = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found += os.path.getsize(os.path.join(inside, name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="read from Linux")
def test_a_study_of_many_runs_does_not_grow(tmp_path):
    """Nor does it leave more on disk than what its runs keep: 64 kB each at the most, and no temporary file.

    What remained when it was looked at, over 180 runs, are 40 objects a run, MLflow's, which keeps the repository of
    artifacts of each of the last 1,024 runs, and about 20 kB of 1 GB.
    """
    (tmp_path / "temporary").mkdir()
    words = ["-m", "model=lenet", "data=digits", "data.fraction=0.1", "epochs=1", f"seed=range({RUNS})", "study=many"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path / "temporary")}
    held, settings = [], dict(cwd=tmp_path, env=environment)
    command = [sys.executable, "-c", COUNTED, ROOT / "train.py", *words]
    objects = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **settings) as process:
        for line in process.stdout:
            if found := re.match(r"objects (\d+)", line):
                objects = int(found[1])
            elif re.match(rf"── \d+ of {RUNS} done", line):
                held.append({**resources(Path(f"/proc/{process.pid}")), "disk": size(tmp_path), "objects": objects})
    assert process.returncode == 0
    assert len(held) == RUNS
    tenth, last = held[9], held[-1]
    print(*(f"{number}: {each}" for number, each in enumerate(held, 1) if number % 10 == 0), sep="\n")
    assert last["objects"] - tenth["objects"] <= 200 * (RUNS - 10), (tenth, last)
    early, late = (mean(each["VmRSS"] for each in part) for part in (held[10:20], held[-10:]))
    assert late <= 1.02 * early, (early, late)
    assert last["files"] <= tenth["files"] + 2, (tenth, last)
    assert last["Threads"] <= tenth["Threads"] + 2, (tenth, last)
    assert last["disk"] - tenth["disk"] <= 64_000 * (RUNS - 10), (tenth, last)
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlartifacts", "temporary"}
    assert list((tmp_path / "temporary").iterdir()) == []
