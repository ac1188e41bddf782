"""The command that fills a table of accuracies: what it runs, skips, repeats and leaves for later."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest
from accuracy_rows import make_row, write_rows

from convzoo import UserError
from convzoo.benchmarks import accuracies
from convzoo.benchmarks.accuracies import CellTraining, Measurement, Request, expect_seconds
from convzoo.data import Split
from convzoo.models import registry
from convzoo.reporting.accuracy_table import AccuracyRow, read_table
from convzoo.settings import study_file
from convzoo.tracking import environment

WORDS = ["study=mine", "model=lenet,nin", "data=cifar10", "seed=0,1"]


@pytest.fixture
def fake(monkeypatch):
    """Trainings that return a row at once; `changes` says what has changed since the row of a network."""

    fake = SimpleNamespace(trained=[], changes={}, seconds={}, errors={})

    def train(training, run):
        fake.trained.append((run.network, run.seed))
        if error := fake.errors.pop((run.network, run.seed), None):
            raise error
        names = dict(network=run.network, settings=list(run.settings), seed=run.seed, command=run.command)
        return AccuracyRow(**make_row(**names, seconds=fake.seconds.get(run.network, 60.0), code="f" * 16))

    monkeypatch.setattr(CellTraining, "train", train)
    monkeypatch.setattr(CellTraining, "describe_change", lambda training, row: fake.changes.get(row.network, ""))
    monkeypatch.setattr(CellTraining, "cost", 6_517_200.0)
    return fake


def measure(path, words=WORDS, **options):
    measurement = Measurement(Request.from_words(words), path, **options)
    measurement.run()
    return measurement


def test_request_is_the_sweep_of_the_study_file():
    request = Request.from_words([])
    file = study_file.load_study("zoo_cifar10")
    assert [network for network, _ in request.cells] == file["sweep"]["model"]
    assert {settings for _, settings in request.cells} == {("data=cifar10",)}
    assert (request.seeds, request.has_typed_seeds, request.question) == ((0, 1, 2), False, file["question"])


def test_request_separates_words_that_decide_no_result():
    request = Request.from_words(
        ["model=lenet", "seed=3", "data.directory=/x", "tracking.uri=sqlite:///a.db", "epochs=1"]
    )
    ((run, _),) = request.runs
    assert run.command == "python train.py model=lenet epochs=1 data=cifar10 seed=3"
    assert set(request.local_words) == {"data.directory=/x", "tracking.uri=sqlite:///a.db", "tracking.artifacts=light"}


def test_request_without_file_needs_networks():
    request = Request.from_words(["study=mine", "model=nin,lenet", "recipe=fast,paper"], "Which?")
    assert [(run.network, *run.settings, run.seed) for run, _ in request.runs] == [
        ("nin", "recipe=fast", 0),
        ("nin", "recipe=paper", 0),
        ("lenet", "recipe=fast", 0),
        ("lenet", "recipe=paper", 0),
    ]
    with pytest.raises(UserError, match=r"^`study=mine` has no file; name its networks"):
        Request.from_words(["study=mine"])


@pytest.mark.parametrize(
    ("words", "text"), [(["lenet"], "key=value"), (["study=a/b"], "`study`"), (["seed=x"], "`seed`")]
)
def test_request_refuses_words_that_are_none(words, text):
    with pytest.raises(UserError, match=text):
        Request.from_words(words)


def test_runs_of_the_table_are_skipped_and_shown(tmp_path, fake, capsys):
    path = write_rows(tmp_path / "mine.json", [make_row()])
    measure(path)
    assert fake.trained == [("lenet", 1), ("nin", 0), ("nin", 1)]
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("lenet data=cifar10 seed=0: 65.00% of cifar10, JPEG copy")
    assert "code 0123456, 2026-11-30" in first
    fake.trained.clear()
    measure(path)
    assert fake.trained == []


def test_changed_runs_are_repeated_on_request_alone(tmp_path, fake, capsys):
    path = write_rows(tmp_path / "mine.json", [make_row(seed=seed) for seed in (0, 1)])
    fake.changes["lenet"] = "the code has changed since"
    measure(path, ["study=mine", "model=lenet", "data=cifar10", "seed=0,1"])
    assert fake.trained == []
    assert capsys.readouterr().out.count("; the code has changed since") == 2
    measure(path, ["study=mine", "model=lenet", "data=cifar10", "seed=1"], is_repeated=True)
    assert fake.trained == [("lenet", 1)]
    assert {row.seed: row.code[0] for row in read_table(path).rows} == {0: "0", 1: "f"}


def test_interrupted_measurement_keeps_its_rows(tmp_path, fake):
    path = tmp_path / "mine.json"
    fake.errors["nin", 0] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        measure(path)
    assert [row.key[::2] for row in read_table(path).rows] == [("lenet", 0), ("lenet", 1)]
    fake.trained.clear()
    measure(path)
    assert fake.trained == [("nin", 0), ("nin", 1)]
    assert [each.name for each in tmp_path.iterdir()] == ["mine.json"]


def test_failed_run_does_not_end_the_measurement(tmp_path, fake):
    fake.errors["lenet", 0] = UserError("the loss is not finite")
    measurement = measure(tmp_path / "mine.json")
    assert measurement.failures == ["lenet data=cifar10 seed=0: the loss is not finite"]
    assert [row.key[::2] for row in measurement.table.rows] == [("lenet", 1), ("nin", 0), ("nin", 1)]


def test_long_run_has_one_seed_unless_seeds_are_typed(tmp_path, fake, monkeypatch):
    path, lenet = tmp_path / "zoo.json", ["model=lenet"]
    fake.seconds["lenet"] = 1801.0
    measure(path, lenet)
    assert fake.trained == [("lenet", 0)]
    measure(path, [*lenet, "seed=1"])
    assert fake.trained == [("lenet", 0), ("lenet", 1)]


def test_no_run_starts_that_may_end_too_late(tmp_path, fake, capsys):
    """A row says that 6.5 million multiplications take ten minutes."""
    row = make_row(network="caffe_quick", seconds=600.0, machine=environment.describe_machine())
    path = write_rows(tmp_path / "mine.json", [row])
    measure(path, deadline=time.monotonic() + 599)
    assert fake.trained == []
    assert "left for another call, it may take 10.0 minutes" in capsys.readouterr().out
    measure(path, deadline=time.monotonic() + 700)
    assert fake.trained[0] == ("lenet", 0)


def test_expected_seconds_follow_the_network_then_its_size():
    here = environment.describe_machine()
    rows = [
        AccuracyRow(**make_row(network=name, macs=macs, seconds=seconds, machine=machine))
        for name, macs, seconds, machine in (
            ("small", 10**6, 10.0, here),
            ("large", 10**8, 500.0, here),
            ("other", 10**7, 1.0, "another machine"),
        )
    ]
    assert expect_seconds(rows, "small", 10**8 * 10) == 1000
    assert expect_seconds(rows, "unknown", 2 * 10**8 * 10) == 1000
    assert expect_seconds(rows[2:], "other", 10**8) is None


@pytest.mark.integration
def test_command_records_a_run_and_finds_it_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rows.json"
    words = ["accuracies", "data.fraction=0.1", "epochs=1", "--only", "lenet", "--seeds", "0", "--data", "digits"]
    monkeypatch.setattr("sys.argv", [*words, "--output", str(path)])
    accuracies.main()
    (row,) = read_table(path).rows
    assert (row.network, row.seed, row.epochs, row.images.name) == ("lenet", 0, 1, "digits")
    assert row.interval[0] < row.accuracy < row.interval[1]
    assert row.code == environment.code_version()
    assert row.load_per_core >= 0
    content = json.loads(path.read_text())
    capsys.readouterr()
    accuracies.main()
    assert json.loads(path.read_text()) == content
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert output.endswith(f"run {row.run_id}, code {row.code[:7]}, {row.date}\n")
    changed = row.model_copy(update={"cell": "of an older recipe"})
    request = Request.from_words([*words[1:3], "data=digits", "model=lenet"])
    _, training = next(request.runs)
    assert training.describe_change(changed) == "its settings or images have changed since"


@pytest.mark.slow
def test_zoo_study_has_every_small_network_in_order():
    """All whose paper's images have at most 32 pixels, which the list of networks tells without counting them."""
    stored = json.loads((study_file.CONFIGS_FOLDER.parent / "models" / "networks.json").read_text())
    names = [name for name, row in stored.items() if int(row["cells"][2].partition("×")[0]) <= 32]
    macs = {name: registry.plan(name, (32, 32, 3), 10).macs for name in names}
    listed = study_file.load_study("zoo_cifar10")["sweep"]["model"]
    small = {name for name in names if macs[name] <= 600e6}
    assert set(listed) == small - {"allconv_c_all"}  # the layers of `allconv`
    assert [macs[name] for name in listed] == sorted(macs[name] for name in listed)


def test_original_images_are_known_by_their_digest(monkeypatch):
    split = Split(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1], np.int32))
    other = Split(split.x + np.uint8(1), split.y)
    training = CellTraining((), ())
    training.dataset = SimpleNamespace(extra_tests={"other": other, "mine": split})
    assert training.original is None
    monkeypatch.setattr(accuracies, "_ORIGINALS", {split.digest})
    assert training.original == ("mine", 2)
