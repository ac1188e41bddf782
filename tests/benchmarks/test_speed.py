"""The speed table: who waits for its turn rests, and ratios are taken within a turn."""

import contextlib
import gc
import io
import json
import types

import pytest
import tensorflow as tf

from convzoo.benchmarks import __main__ as speed
from convzoo.benchmarks import contestants
from convzoo.models import build


def iterators():
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, tf.data.Iterator)]


@pytest.mark.integration
def test_keras_fit_keeps_no_iterator_between_turns(monkeypatch):
    monkeypatch.setitem(contestants.STEPS, "lenet", 3)
    alive, before = [], iterators()  # other tests' may live on

    class Lap:
        def step(self):
            alive.append("a step")

        def __call__(self):
            alive.append([each for each in iterators() if not any(each is other for other in before)])
            if len(alive) == 8:
                raise StopIteration

    with pytest.raises(StopIteration):
        contestants.keras_fit("lenet", Lap())
    assert alive == ["a step"] * 3 + [[]] + ["a step"] * 3 + [[]]


def test_lap_excludes_validation_from_steps(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(contestants, "time", types.SimpleNamespace(perf_counter=lambda: now[0], time=lambda: now[0]))
    monkeypatch.setattr("sys.stdin", io.StringIO("\n" * 2))
    monkeypatch.setitem(contestants.STEPS, "lenet", 2)
    monkeypatch.setenv("PROCESS_START", "97")
    out = io.StringIO()
    lap = contestants.Lap("lenet", out)
    for seconds, call in [(1, lap.step), (1, lap.step), (6, lap), (4, lap)]:  # the second epoch tells of no step
        now[0] += seconds
        call()
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {"rate": 256 / 8, "steps": 256 / 2, "first": 4.0},
        {"rate": 256 / 4, "steps": 256 / 4, "first": 4.0},
    ]


def test_run_turns_starts_with_another_contestant(monkeypatch):
    asked = []

    class Contestant:
        def __init__(self, name, *_, **__):
            self.name, self.process = name, contextlib.nullcontext()

        def run_epoch(self, is_first=False):
            if not is_first:
                asked.append(self.name)
            return {"rate": 1.0, "first": None}

    monkeypatch.setattr(speed, "Contestant", Contestant)
    found = speed.run_turns("lenet", ["keras_fit", "pytorch", "ceiling"], 4, 1)
    assert [asked[start : start + 3] for start in range(0, 12, 3)] == [
        ["keras_fit", "pytorch", "ceiling"],
        ["pytorch", "ceiling", "keras_fit"],
        ["ceiling", "keras_fit", "pytorch"],
        ["keras_fit", "pytorch", "ceiling"],
    ]
    assert [list(each) for each in found] == [["keras_fit", "pytorch", "ceiling"]] * 4


TURNS = [
    {
        "ours": {"rate": 200.0, "steps": 240.0, "first": 6.0, "precision": "float32"},
        "bare_loop": {"rate": 250.0, "steps": 250.0},
        "keras_fit": {"rate": 100.0, "steps": 160.0, "first": 4.0},
        "pytorch": {"rate": 160.0},
        "pytorch_fast": {"rate": 80.0},
    },
    {
        "ours": {"rate": 100.0, "steps": 120.0, "first": 6.0, "precision": "float32"},
        "bare_loop": {"rate": 120.0, "steps": 120.0},
        "keras_fit": {"rate": 25.0, "steps": 80.0, "first": 4.0},
        "pytorch": {"rate": 100.0},
        "pytorch_fast": {"rate": 125.0},
    },
]


def test_ratios_are_within_a_turn_and_to_the_fastest():
    assert speed.compute_ratios(TURNS) == {
        "Keras fit": [2.0, 4.0],
        "its steps": [1.5, 1.5],
        "PyTorch": [1.25, 1.0],
        "PyTorch, its best": [1.25, 0.8],
        "a bare loop": [0.96, 1.0],
    }


def test_format_table_shows_medians_and_spread():
    assert speed.format_table({"lenet": TURNS}).splitlines()[-1] == (
        "| lenet, float32 | 150 (100–200) | 3.00 (2.00–4.00) | 1.50 (1.50–1.50) | 1.12 (1.00–1.25) | 1.02 (0.80–1.25) "
        "| 0.98 (0.96–1.00) | 1.50 |"
    )


@pytest.mark.parametrize("network", list(contestants.STEPS))
def test_pytorch_networks_have_as_many_weights(network):
    pytest.importorskip("torch")
    from convzoo.benchmarks import networks

    theirs = sum(weights.numel() for weights in getattr(networks, network)().parameters())
    assert theirs == build(network, image_shape=(32, 32, 3)).count_params()


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("", "the process ended"),
        ("a warning\nerror: no such data\n", "error: no such data"),
        ("Traceback …\nValueError: no call\n\nArguments received:\n  • x=1\n", "ValueError: no call"),
        ("Killed\n", "Killed"),
    ],
)
def test_find_error_line_picks_the_error(said, line):
    assert speed.find_error_line(said) == line


def test_results_are_written_when_a_later_network_fails(monkeypatch, capsys, tmp_path):
    def run_turns(network, *_):
        if network == "nin":
            raise SystemExit("ours on nin: error: it ended")
        return TURNS

    file = tmp_path / "speed.json"
    monkeypatch.setattr(speed, "run_turns", run_turns)
    monkeypatch.setattr("sys.argv", ["benchmark", "lenet", "nin", "--only", "bare_loop", "ours", f"--output={file}"])
    with pytest.raises(SystemExit, match="ours on nin"):
        speed.main()
    assert json.loads(file.read_text())["networks"] == {"lenet": TURNS}
    assert speed.format_table({"lenet": TURNS}) in capsys.readouterr().out


def test_ours_runs_before_the_bare_loop(monkeypatch):
    monkeypatch.setattr("sys.argv", ["benchmark", "lenet", "--only", "bare_loop", "ours", "ours"])
    monkeypatch.setattr(speed, "run_turns", lambda network, names, *_: asked.append(names) or TURNS)
    asked = []
    speed.main()
    assert asked == [["ours", "bare_loop"]]
