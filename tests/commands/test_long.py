"""What many runs in one process leave behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUNS = 200 if os.environ.get("CONVZOO_TEST") == "all" else 40


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="read from Linux")
def test_a_study_of_many_runs_does_not_grow(tmp_path):
    words = ["-m", "model=lenet", "data=digits", "data.fraction=0.1", "epochs=1", f"seed=range({RUNS})", "study=many"]
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    status, held = Path(f"/proc/{process.pid}/status"), []
    for line in process.stdout:
        if re.match(rf"── \d+ of {RUNS} done", line):
            held.append(
                {key: int(value) for key, value in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status.read_text(), re.M)}
            )
            held[-1]["files"] = len(os.listdir(f"/proc/{process.pid}/fd"))
    assert process.wait(60) == 0
    assert len(held) == RUNS
    tenth, last = held[9], held[-1]
    assert last["VmRSS"] <= 1.15 * tenth["VmRSS"], (tenth, last)
    assert last["files"] <= tenth["files"] + 2, (tenth, last)
    assert last["Threads"] <= tenth["Threads"] + 2, (tenth, last)
