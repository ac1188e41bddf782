"""Random mistakes on the command line and in YAML: a plan, or one line that names the key and exit code 2."""

import contextlib
import json
import re
import signal

import keras
import pytest
from hydra.types import RunMode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sampling import ALL

from convzoo import evaluate, train
from convzoo.settings.composition_errors import known_keys

NET = """name: mine
paper: {image_shape: [8, 8, 1], classes: 10, error: {cifar10: 1.5}}
width: 4
shared:
  Conv2D: {padding: same, activation: relu}
layers:
  conv1: {_target_: keras.layers.Conv2D, filters: "${model.width}", kernel_size: 3}
  pool1: {_target_: convzoo.layers.MaxPooling2D, pool_size: 2, strides: 2, padding: valid, role: pool}
  unit:
    _target_: convzoo.layers.Residual
    body:
      conv: {_target_: keras.layers.Conv2D, filters: 4, kernel_size: 3}
  drop1: {_target_: convzoo.layers.Dropout, rate: 0.5, role: dropout}
  score: {_target_: convzoo.layers.FullyConnected, units: "${data.classes}"}
loss: {_target_: keras.losses.SparseCategoricalCrossentropy, from_logits: true}
heads:
  aux: {after: conv1, weight: 0.3, layers: {fc: {_target_: convzoo.layers.FullyConnected, units: 10}}}
"""
STUDY = """question: Which?
sweep: {pooling: [max, l2], seed: [0, 1]}
set: {model: mine, epochs: 2}
claims: [{says: It is, better: {pooling: max}, than: {pooling: l2}, by: 0.01}]
published: [{where: {pooling: max}, error: 3.5}]
"""
# Beside the keys that the config has.
STRANGE = [
    "",
    "x",
    "model.layers.x",
    "model.layers.x._target_",
    "model.layers.conv1.x",
    "a.b.c",
    "é",
    "_target_",
    "1",
    ".",
]
NUMBERS = ["0", "1", "-1", "2.5", "1e-9", "1e400", "nan", "-inf", "9" * 40, "4294967296", "-0.0", "0x10", "1_0", "1e3"]
WORDS = ["", "''", '""', "null", "true", "False", "é☃\u202e", "x" * 300, "???", "paper", "a b", "a=b", "a:b", "~", "$"]
NESTED = ["[]", "{}", "[1,2]", "[[1]]", "{a:1}", "[null]", "[1.5,x]", "{_target_:x}", "{1:2}", "[true,1]", "[-1,0,nan]"]
BROKEN = ["[1", "{a", "}", "'x", "a,b", "range(3)", "choice(1,2)", "int(x)", "glob(*)", "${", "${x}", "${data.classes}"]
BROKEN += [
    "${data}",
    "${oc.env:HOME}",
    "${x:1}",
    "${seed}",
    "${.}",
    "${..seed}",
    "${model.layers}",
    "!!int x",
    "*a",
    "- x",
]
value = st.sampled_from(NUMBERS + WORDS + NESTED + BROKEN) | st.text(max_size=8).map(lambda t: t.replace("\0", ""))


def words_of(keys):
    return st.builds(
        lambda operation, key, equals, value: f"{operation}{key}{equals}{value}",
        st.sampled_from(["", "", "", "", "", "+", "++", "~"]),
        st.sampled_from(keys) | st.sampled_from(STRANGE),
        st.sampled_from(["=", "=", "=", "=", "=", ""]),
        value,
    ).filter(lambda word: not word.startswith(("-", "hydra", "plan", "++plan", "~plan", "+plan")))


def altered(text):
    """A file with one or two of its words, lines or signs made others."""
    words = [match.span() for match in re.finditer(r"[\w.${}\"]+", text)]
    lines = text.splitlines(keepends=True)

    def replaced(span, value):
        return text[: span[0]] + value + text[span[1] :]

    return st.one_of(
        st.builds(replaced, st.sampled_from(words), value),
        st.builds(lambda i: "".join(lines[:i] + lines[i + 1 :]), st.integers(0, len(lines) - 1)),
        st.builds(lambda i: "".join(lines[: i + 1] + lines[i:]), st.integers(0, len(lines) - 1)),
        st.builds(
            lambda i, sign: text[:i] + sign + text[i:],
            st.integers(0, len(text)),
            st.sampled_from(list(" \n\t:,[]{}#&*!'\"-%@")),
        ),
        st.builds(lambda i: text[:i], st.integers(0, len(text))),
    )


class SlowError(Exception):
    pass


@contextlib.contextmanager
def within(seconds):
    """A plan that takes forever is a fault too."""

    def stop(*_):
        raise SlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def quick(monkeypatch, tmp_path, command_line):
    """`command_line` in an empty folder, which composes once and leaves what was made before in memory."""
    monkeypatch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: RunMode.RUN)
    monkeypatch.setattr(keras.utils, "clear_session", lambda: None)
    (tmp_path / "theirs" / "model").mkdir(parents=True)
    (tmp_path / "theirs" / "studies").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(program, words):
        with within(60):
            code, out, err = command_line(program, words)
        assert list((tmp_path / "work").iterdir()) == []
        return code, out, err

    return run


def check(outcome, words):
    code, out, err = outcome
    if code == 0:
        assert json.loads(out)["rows"], out
        return
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    assert len(err) < 3000
    keys = [part for word in words for part in re.split(r"[.=/@+~]", word) if part]
    assert any(key in err for key in [*keys, "key=value", "row `"]), (words, err)


def examples(slow, quick):
    """The same test over many examples, marked slow, and over few; over a third of the many, if not all are wanted."""
    slow = slow if ALL else slow // 3
    common = dict(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    return pytest.mark.parametrize(
        "count",
        [pytest.param(slow, marks=pytest.mark.slow), quick],
    ), lambda count: settings(max_examples=count, **common)


many, shaped = examples(1200, 20)


@many
def test_words_of_train(quick, monkeypatch, count):
    monkeypatch.setattr("sys.argv", ["train.py", "model=lenet", "data=digits"])
    keys = [key for key in known_keys("train", []) if not key.startswith("plan")]

    @shaped(count)
    @given(st.lists(words_of(keys), min_size=1, max_size=2), st.sampled_from(["lenet", "allconv", "resnet20"]))
    def test(words, network):
        check(quick(train, [f"model={network}", "data=digits", *words, "plan=json"]), words)

    test()


many, shaped = examples(300, 8)


@many
def test_words_of_evaluate(quick, monkeypatch, count):
    keys = ["run", "image", "register", "shift", "images", "border", "image_index", "study", "data.directory", "allow"]

    @shaped(count)
    @given(st.lists(words_of(keys), min_size=1, max_size=2), st.sampled_from([["run=latest"], []]))
    def test(words, run):
        code, _, err = outcome = quick(evaluate, [*run, *words])
        assert code == 2
        if "nothing has been recorded there" not in err and "say which" not in err:
            check(outcome, words)

    test()


many, shaped = examples(500, 12)


@many
def test_a_network_s_file(quick, tmp_path, count):
    @shaped(count)
    @given(altered(NET))
    def test(text):
        (tmp_path / "theirs" / "model" / "mine.yaml").write_text(text, errors="replace")
        words = ["--config-dir=../theirs", "model=mine", "data=digits", "data.image_shape=[8,8,1]", "plan=json"]
        check(quick(train, words), ["model", "mine.yaml", "score", "row"])

    test()


many, shaped = examples(300, 8)


@many
def test_a_study_s_file(quick, monkeypatch, tmp_path, count):
    """No further than its words: the sweep itself is the same as a typed one."""
    monkeypatch.setattr(train, "main", lambda: print('{"rows": 1}'))

    @shaped(count)
    @given(altered(STUDY))
    def test(text):
        (tmp_path / "theirs" / "studies" / "mine.yaml").write_text(text, errors="replace")
        check(quick(train, ["--config-dir=../theirs", "study=mine"]), ["study"])

    test()
