"""Where runs are made, as the config says it."""

import importlib.util
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import convzoo
from convzoo import UserError
from convzoo.experiments import launchers

PLUGINS = {"parallel": "joblib", "slurm": "submitit", "ray": "ray"}


def composed(*words):
    with initialize_config_dir(str(Path(convzoo.__file__).parent / "configs"), version_base="1.3"):
        return compose("train", ["model=lenet", "data=digits", *words], return_hydra_config=True)


def installed(launcher):
    plugins = importlib.util.find_spec("hydra_plugins")  # a folder that the first of them makes
    one = f"hydra_plugins.hydra_{PLUGINS.get(launcher)}_launcher"
    return launcher == "local" or (plugins and importlib.util.find_spec(one))


def test_cores_are_shared_out(monkeypatch):
    monkeypatch.setattr(launchers, "count_cores", lambda: 8)
    assert launchers.cores_per_run({}) is None  # one process takes all, as the libraries do by themselves
    assert launchers.cores_per_run({"workers": 2, "cores": None}) == 4
    assert launchers.cores_per_run({"workers": 3, "cores": None}) == 2
    assert launchers.cores_per_run({"workers": 16, "cores": None}) == 1
    assert launchers.cores_per_run({"workers": 16, "cores": 5}) == 5
    assert launchers.cores_per_run({"address": "auto", "cores": 1}) == 1


@pytest.mark.parametrize(
    ("launcher", "words", "cores"),
    [
        ("local", [], None),
        ("parallel", ["launcher.workers=3", "launcher.cores=2"], 2),
        ("slurm", ["launcher.workers=40", "launcher.cores=4"], 4),
        ("ray", ["launcher.cores=2"], 2),
    ],
)
def test_each_says_how_many_cores_a_run_may_use(launcher, words, cores):
    if not installed(launcher):
        pytest.skip(f"convzoo[{launcher}] is not installed")
    config = composed(f"launcher={launcher}", *words)
    assert launchers.cores_per_run(config.launcher) == cores
    assert launchers.runs_in_process(config.hydra) == (launcher == "local")
    launchers.check(config.launcher)


def test_slurm_is_told_what_the_config_says():
    if not installed("slurm"):
        pytest.skip("convzoo[slurm] is not installed")
    told = composed(
        "launcher=slurm", "launcher.minutes=30", "launcher.partition=long", "launcher.memory=9"
    ).hydra.launcher
    assert (told.timeout_min, told.partition, told.mem_gb, told.cpus_per_task, told.account) == (30, "long", 9, 2, None)


@pytest.mark.parametrize(
    ("launcher", "told"),
    [
        ({"workers": 1, "cores": None}, "`launcher.workers` must be a whole number from 2"),
        ({"workers": "many", "cores": None}, "launcher.workers='many'"),
        ({"workers": True, "cores": None}, "`launcher.workers`"),
        ({"workers": 2, "cores": 0}, "`launcher.cores` must be a whole number from 1"),
        ({"workers": 1, "cores": 1, "memory": 4, "minutes": 0.5}, "launcher.minutes=0.5"),
        ({"cores": 1, "gpus": -1}, "`launcher.gpus` must be a whole number from 0"),
    ],
)
def test_what_is_no_launcher_is_refused(launcher, told):
    with pytest.raises(UserError, match=told):
        launchers.check(launcher)


def test_what_is_missing_is_named():
    assert launchers.explain_missing_package("submitit_slurm").endswith("pip install 'convzoo[slurm]'")
    assert launchers.explain_missing_package("other") is None


@pytest.mark.parametrize(
    ("restarts", "count", "again"),
    [("Restarts=0", None, False), ("Restarts=1", None, True), ("Restarts=1", "1", False)],
)
def test_a_job_that_slurm_puts_back_comes_again(monkeypatch, tmp_path, restarts, count, again):
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\necho 'JobId=7 JobState=COMPLETING'\necho 'Requeue=1 {restarts}'\n")
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    if count:
        monkeypatch.setenv("SLURM_RESTART_COUNT", count)
    assert launchers.will_be_requeued() == again


def test_no_job_comes_again_without_slurm(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert not launchers.will_be_requeued()
