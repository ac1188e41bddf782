"""The commands as a person types them: a run in a process of its own, and what follows from it by calls."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest
from PIL import Image
from sampling import rarely
from sklearn.datasets import load_digits

from convzoo import evaluate, train
from convzoo.models import loading

ROOT = Path(__file__).parents[2]
TINY = ["model=lenet", "data=digits", "data.fraction=0.3"]


def command(*words, cwd, **options):
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        **options,
    )


def finished(*words, cwd, code=0):
    process = command(*words, cwd=cwd)
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, out + err
    return out, err


def runs(folder):
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    recorded = client.search_runs(experiments, order_by=["attributes.start_time ASC"])
    return client, [run for run in recorded if "convzoo.report" not in run.data.tags]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a short run was recorded."""
    folder = tmp_path_factory.mktemp("run")
    words = [*TINY, "precision=mixed_bfloat16", "epochs=2", "dropout=0.25", "pooling=average", "seed=3", "study=tiny"]
    out, err = finished(ROOT / "train.py", *words, cwd=folder)
    (folder / "out.txt").write_text(out)
    (folder / "err.txt").write_text(err)
    return folder


@pytest.mark.integration
def test_the_screen_shows_what_counts_and_no_noise(folder):
    out = (folder / "out.txt").read_text()
    assert (folder / "err.txt").read_text() == ""
    assert re.search(r"epoch 2/2 .*train \d.*val \d.* images/s", out)
    assert re.search(r"test accuracy [\d.]+%, 95 % interval [\d.]+% to [\d.]+% \(360 images\)", out)
    assert "mlflow server" in out


@pytest.mark.integration
def test_the_run_holds_params_metrics_and_tags(folder):
    client, (run,) = runs(folder)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == (
        "average · d0.25 · lenet · data=digits · data.fraction=0.3 · precision=mixed_bfloat16 · epochs=2 · seed 3"
    )
    assert client.get_experiment(run.info.experiment_id).name == "tiny"
    params = run.data.params
    wanted = dict(model="lenet", data="digits", stride="2", pooling="average", dropout="0.25", input_dropout="0")
    wanted |= dict(epochs="2", seed="3", precision="mixed_bfloat16", recipe="fast", parameters="61706", macs="416520")
    assert {key: params[key] for key in wanted} == wanted
    for metric in "train_loss train_accuracy val_loss val_accuracy learning_rate images_per_second".split():
        history = client.get_metric_history(run.info.run_id, metric)
        assert [point.step for point in history] == [1, 2], metric
    assert 0 <= run.data.metrics["test_accuracy"] <= 1
    assert run.data.metrics["test_loss"] > 0
    assert "test_top5_accuracy" not in run.data.metrics
    tags = run.data.tags
    assert re.fullmatch(r"[0-9a-f]{16}", tags["identity"])
    assert tags["identity"] != tags["cell"]
    assert tags["version.keras"] == keras.__version__
    assert tags["backend"] == keras.backend.backend()
    assert "cores" in tags["machine"]
    contexts = {each.tags[0].value: each.dataset.name for each in run.inputs.dataset_inputs}
    assert contexts == {part: f"digits/{part}" for part in ("train", "validation", "test")}


@pytest.mark.integration
def test_the_run_holds_its_files_and_the_model_is_plain_keras(folder):
    client, (run,) = runs(folder)
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"config.yaml", "rows.yaml", "plan.txt", "learning_curves.png", "model.keras"}
    model_file = client.download_artifacts(run.info.run_id, "model.keras")
    code = (
        "import sys, numpy, keras, convzoo.layers\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "scores = model(numpy.zeros((2, 32, 32, 1), 'uint8'))\n"
        "assert model.get_layer('conv1').compute_dtype == 'bfloat16'\n"
        "print(model.input.dtype, tuple(scores.shape), [layer.name for layer in model.layers])\n"
        "assert not any(name.startswith(('convzoo.t', 'hydra', 'mlflow')) for name in sys.modules)\n"
    )
    out, _ = finished("-c", code, model_file, cwd=folder)
    assert out.startswith("uint8 (2, 10) ['image', 'normalization', 'conv1', 'pool1'")


@pytest.mark.integration
def test_evaluate_reads_the_run_back(folder):
    out, _ = finished(ROOT / "evaluate.py", "run=latest", "shift=2", "images=50", cwd=folder)
    client, (run,) = runs(folder)
    assert run.data.metrics["evaluate_accuracy"] == pytest.approx(run.data.metrics["test_accuracy"])
    per_class = [run.data.metrics[f"evaluate_accuracy/{digit}"] for digit in range(10)]
    images = [int(n) for n in re.findall(r"^\d +(\d+) images", out, re.MULTILINE)]
    assert sum(images) == 360
    assert np.dot(per_class, images) / 360 == pytest.approx(run.data.metrics["test_accuracy"])
    pages = {file.path.removeprefix("evaluation/") for file in client.list_artifacts(run.info.run_id, "evaluation")}
    pictures = "confusion_matrix mistakes reliability accuracy_under_shift equivariance filters said feature_maps"
    assert pages == {"report.html", "report.txt", "equivariance.csv", "receptive_field.png"} | {
        f"{name}.png" for name in pictures.split()
    }
    assert {path.name for path in (folder / "reports" / run.info.run_id).iterdir() if path.is_file()} == pages
    assert re.search(
        r"shifted by up to 2 pixels \(50 images, circular border\): accuracy .*consistency .*stability", out
    )
    assert 0 < run.data.metrics["evaluate_shift_consistency"] <= 1
    assert 0 <= run.data.metrics["evaluate_ece"] <= 1
    assert "warning" not in out


@pytest.mark.slow
def test_evaluate_writes_features_and_exports_the_model(command_line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    words = ["run=latest", "features=train.npz", "rows=[conv1,fc2]", "export=saved_model", "images=20"]
    code, out, err = command_line(evaluate, words)
    assert (code, err) == (0, "")
    _, (run,) = runs(folder)
    with np.load(folder / "train.npz") as stored:
        assert {name: stored[name].shape for name in stored.files} == {
            "conv1": (388, 28, 28, 6),
            "fc2": (388, 84),
            "labels": (388,),
            "class_names": (10,),
        }
    assert "train: 388 images" in out
    exported = folder / "reports" / run.info.run_id / "saved_model"
    size = sum(path.stat().st_size for path in exported.rglob("*") if path.is_file())
    assert f"exported: {exported.relative_to(folder)}, {size:,} bytes" in out
    assert run.data.metrics["export_saved_model_bytes"] == size
    assert run.data.metrics["export_saved_model_agreement"] >= 0.9  # the model computes in bfloat16


@pytest.mark.integration
def test_evaluate_answers_a_picture_and_registers_the_model(command_line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    bunch = load_digits()
    Image.fromarray((bunch.images[3] * 15).astype("uint8")).save(folder / "three.png")
    code, out, err = command_line(evaluate, ["run=latest", "image=three.png", "register=digits"])
    assert code == 0, err
    _, (run,) = runs(folder)
    shares = [float(share) for share in re.findall(r"^\d +([\d.]+)%$", out, re.MULTILINE)]
    assert len(shares) == 5
    assert shares == sorted(shares, reverse=True)
    assert 50 < sum(shares) <= 100.01
    answer = folder / "reports" / run.info.run_id / "three"
    assert {path.name for path in answer.iterdir()} == {
        "report.html",
        "request.json",
        "said.png",
        "feature_maps.png",
        "receptive_field.png",
    }
    assert np.shape(json.loads((answer / "request.json").read_text())["inputs"]) == (1, 32, 32, 1)
    assert "models:/digits/1" in out
    assert "test accuracy" not in out
    (version,) = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_model_versions("name='digits'")
    assert version.run_id == run.info.run_id


@pytest.mark.integration
def test_evaluate_refuses_what_is_no_picture(command_line, folder, monkeypatch):
    monkeypatch.chdir(folder)
    code, _, err = command_line(evaluate, ["run=latest", "image=out.txt"])
    assert (code, err) == (2, "error: out.txt is no image that can be read\n")


@pytest.mark.integration
def test_sweep_runs_every_combination_and_keeps_other_files(command_line, tmp_path, monkeypatch):
    """Two of four cannot be built; the folder of the sweep holds a file that is not its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    words = [*TINY, "epochs=1", "data.image_shape=[32,32,1]", "stride=8,2", "pooling=max,strided"]
    folders = ["hydra.sweep.dir=out", "hydra.sweep.subdir=${hydra.job.override_dirname}"]
    code, out, err = command_line(train, ["-m", *words, *folders])
    assert code == 2
    assert err.count("failed: ") == 2
    assert "stride=8" in err
    assert out.count("test accuracy") == 2
    client, recorded = runs(tmp_path)
    assert sorted((run.data.params["stride"], run.data.params["pooling"], run.info.status) for run in recorded) == [
        ("2", "max", "FINISHED"),
        ("2", "strided", "FINISHED"),
    ]
    assert "model.keras" in {file.path for file in client.list_artifacts(recorded[0].info.run_id)}
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


@pytest.mark.integration
def test_help_and_the_config_come_without_anything_heavy(tmp_path):
    code = (
        "import sys, runpy\n"
        "sys.argv = ['train.py', sys.argv[2]]\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'train.py')!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'sklearn', 'matplotlib', 'tensorflow_datasets'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    shown, _ = finished("-c", code, "x", "--help", cwd=tmp_path)
    assert "allconv_c_all" in shown
    assert "pooling: average, " in shown
    config, _ = finished("-c", code, "x", "--cfg=job", cwd=tmp_path)
    assert "stride: paper" in config
    assert not list(tmp_path.iterdir())


@pytest.mark.integration
def test_a_study_does_only_what_is_missing_and_reports(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["-m", *TINY, "study=mine", "epochs=1", "seed=0,1", "dropout=0,0.5", "test_shift=2"]
    code, out, err = command_line(train, words)
    assert code == 0, err
    assert re.search(
        r"mine: 4 runs of 2 cells; about \d:\d\d:\d\d one after another, by a try of 1 network; 0.2 MB", out
    )
    assert "4 of 4 done; best validation accuracy" in out
    assert "evaluate.py study=mine" in out
    client, recorded = runs(tmp_path)
    assert {file.path for file in client.list_artifacts(recorded[0].info.run_id)} == {
        "config.yaml",
        "rows.yaml",
        "plan.txt",
    }
    assert {0.3 < run.data.metrics["test_shift_consistency"] <= 1 for run in recorded} == {True}

    code, out, err = command_line(train, [*words, "stride=2,8"])
    assert code == 2
    assert "mine: 8 runs of 4 cells, 4 done before" in out
    assert out.count(": done before") == 4
    assert "4 of 8 done, 4 reused, 4 failed" in out
    assert err.count("failed: ") == 4
    _, recorded = runs(tmp_path)
    assert sorted(run.info.status for run in recorded) == ["FAILED"] * 4 + ["FINISHED"] * 4
    (reason,) = {run.data.tags["failure"] for run in recorded if run.info.status == "FAILED"}
    assert "`conv2`" in reason

    code, out, err = command_line(train, [*words, "seed=0", "dropout=0", "rerun=true"])
    assert code == 0, err
    assert "done before" not in out
    assert len(runs(tmp_path)[1]) == 9

    code, out, err = command_line(evaluate, ["study=mine"])
    assert code == 0, err
    assert re.search(r"^0 .*%.* 2 +0\.4", out, re.MULTILINE), out  # dropout 0, two seeds: the newer run counts
    unfolded = out.replace("\n  ", " ")
    assert re.search(r"^FAILED: 4 runs, s8 · .* and the like: UserError: row `conv2`", unfolded, re.MULTILINE)
    pages = {path.name for path in (tmp_path / "reports" / "mine").iterdir()}
    assert pages == {
        "report.html",
        "report.txt",
        "runs.csv",
        "cells.png",
        "cells_shift_consistency.png",
    }
    experiment = client.get_experiment_by_name("mine")
    newest, *_ = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
    assert newest.info.run_name == "report"
    assert {file.path for file in client.list_artifacts(newest.info.run_id)} == {*pages, "accuracy.html"}
    answer = experiment.tags["mlflow.note.content"].splitlines()
    assert answer[0].startswith("**best of 2 cells: d0")
    assert f"runs/{newest.info.run_id}/artifacts/accuracy.html" in answer[2]
    assert "FAILED: 4 runs" in experiment.tags["mlflow.note.content"]


@pytest.mark.slow
def test_sweep_reports_wrong_cells_and_runs_the_others(command_line, tmp_path, monkeypatch):
    """A network without a recipe of its own, and a seed that is none, are found out in different places."""
    words = ["-m", "data=digits", "data.fraction=0.1", "epochs=1", "study=odd", "recipe=paper", "model=lenet5,lenet"]
    monkeypatch.chdir(tmp_path)
    code, out, err = command_line(train, [*words, "seed=0"])
    assert code == 2
    assert "odd: 2 runs; about" in out
    assert "without 1 that will not run as they are" in out
    assert "1 of 2 done, 1 failed" in out
    assert "error: 1 of 2 runs failed" in err
    code, _, err = command_line(train, ["-m", *TINY, "epochs=1", "seed=1.5,0"])
    assert code == 2
    assert "error: 1 of 2 runs failed" in err


@pytest.mark.integration
@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("tracking.uri=sqlite:////none/x.db", "there is no folder /none"),
        ("study=a/b", "must be a name"),
        ("data=cifar10 data.directory=none", "cifar10"),
    ],
)
def test_a_sweep_that_cannot_begin_is_one_line(command_line, tmp_path, monkeypatch, word, told):
    monkeypatch.chdir(tmp_path)
    words = ["-m", *TINY, "epochs=1", "seed=0,1", "study=mine"]
    code, out, err = command_line(train, [*words, *word.split()])
    assert (code, out.count("\n") <= 1, err.count("\n"), told in err) == (2, True, 1, True), out + err


@pytest.mark.slow
def test_claims_are_those_that_were_stated_before(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    file = tmp_path / "studies" / "drop.yaml"
    text = (
        "question: Does it help?\nsweep: {dropout: [0, 0.5]}\n"
        "set: {model: lenet, data: digits, data.fraction: 0.3, epochs: 1}\n"
        "claims: [{says: It helps, better: {dropout: 0.5}, than: {dropout: 0}, by: 0.01}]\n"
    )
    file.write_text(text)
    words = [f"--config-dir={tmp_path}", "study=drop"]
    assert "drop: 2 runs" in command_line(train, words)[1]
    file.write_text(text.replace("It helps", "It hurts"))
    assert command_line(train, [*words, "stride=8"])[0] == 2
    assert {run.info.run_name for run in runs(tmp_path)[1] if run.info.status == "FAILED"} == {
        f"s8 · d{rate} · lenet · seed 0" for rate in ("0", "0.5")
    }
    assert command_line(train, words)[0] == 0
    code, out, err = command_line(evaluate, ["study=drop"])
    assert code == 0, err
    assert "Does it help?" in out
    assert "It helps" in out
    assert "It hurts" not in out


@rarely
@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_been(tmp_path):
    words = [ROOT / "train.py", "model=lenet", "data=digits", "epochs=24", "dropout=0.5", "checkpoints.seconds=0"]
    finished(*words, "study=whole", cwd=tmp_path)
    for epoch in (5, 12):
        process = command(*words, "study=cut", cwd=tmp_path)
        while f"epoch {epoch:>2}/24" not in process.stdout.readline():
            assert process.poll() is None, process.stderr.read()
        process.kill()
        process.communicate()
    out, _ = finished(*words, "study=cut", cwd=tmp_path)
    assert re.search(r"resuming from epoch 1\d", out)
    assert not (tmp_path / "checkpoints").exists()

    client, (whole, cut) = runs(tmp_path)
    assert (whole.info.status, cut.info.status) == ("FINISHED", "FINISHED")
    for metric in ("train_loss", "val_loss"):
        one, other = (
            [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]
            for run in (whole, cut)
        )
        assert one == other
    weights = [
        loading.load(client.download_artifacts(run.info.run_id, "model.keras")).get_weights() for run in (whole, cut)
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_two_at_once_do_not_make_one_run_twice(tmp_path):
    words = [ROOT / "train.py", "-m", *TINY, "epochs=400", "seed=0", "study=shared", "dropout=0,0.5"]
    first = command(*words, cwd=tmp_path)
    while "epoch   1/400" not in first.stdout.readline():
        assert first.poll() is None, first.stderr.read()
    second = command(*words, cwd=tmp_path)
    out = ""
    while "epoch   1/400" not in (line := second.stdout.readline()):
        assert second.poll() is None, second.stderr.read()
        out += line
    for process in (first, second):
        process.terminate()
        process.communicate(timeout=60)
    assert "dropout=0: skipped, another process is training this run" in out
    _, recorded = runs(tmp_path)
    assert sorted(run.data.params["dropout"] for run in recorded) == ["0", "0.5"]


@pytest.mark.slow
def test_a_run_of_a_sweep_is_the_run_alone(command_line, tmp_path, monkeypatch):
    """The second seeds take over what was compiled for the first."""
    monkeypatch.chdir(tmp_path)
    words = [*TINY, "epochs=1"]
    assert command_line(train, ["-m", *words, "study=sweep", "learning_rate=0.02,0.05", "seed=1,2"])[0] == 0
    for rate in (0.02, 0.05):
        assert command_line(train, [*words, "study=alone", f"learning_rate={rate}", "seed=2"])[0] == 0
    client, found = runs(tmp_path)
    told = {}
    for run in found:
        study = client.get_experiment(run.info.experiment_id).name
        losses = [run.data.metrics[f"{part}_loss"] for part in ("train", "val", "test")]
        told[study, run.data.params["learning_rate"], run.data.params["seed"]] = losses
    assert len(told) == len(found) == 6
    for rate in ("0.02", "0.05"):
        assert told["sweep", rate, "2"] == told["alone", rate, "2"]
    in_sweep = [losses for (study, *_), losses in told.items() if study == "sweep"]
    assert all(one[0] != other[0] for i, one in enumerate(in_sweep) for other in in_sweep[:i])
