"""What a stranger's config file, study or words would run, read or write: refused in one line, and nothing is done."""

import importlib
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import hydra._internal.hydra as hydra_itself
import pytest
from hydra import compose, initialize_config_dir

from convzoo import UserError, train
from convzoo.settings import hydra_internals, untrusted_yaml

ROOT = Path(__file__).parents[2]
EVIL = """
from pathlib import Path
Path({canary!r}).write_text("imported")
import keras
class Layer(keras.layers.Dense): pass
def run(*args, **kwargs): Path({canary!r}).write_text("run")
"""
NET = """
name: mine
paper: {image_shape: [8, 8, 1], classes: 10}
layers:
  score: {_target_: convzoo.layers.FullyConnected, units: 10}
"""
MODEL = ["--config-dir=theirs", "model=mine"]


def model(more="", head="", score=""):
    return {"model/mine.yaml": head + NET.replace("units: 10", f"units: 10{score and ', '}{score}") + more}


def row(text):
    return model(f"  evil: {text}\n")


def globally(text):
    return {"model/mine.yaml": NET, "extra/evil.yaml": f"# @package _global_\n{text}\n"}


def study(text):
    return {"model/mine.yaml": NET, "studies/mine.yaml": text}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 10)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
EXTRA, STUDY = [*MODEL, "+extra=evil"], ["--config-dir=theirs", "study=mine"]
INITIALIZERS = "must be one of keras.initializers.Constant"
LISTED, KEY = "not among the layers", "is not a key that a row may have"
TYPED, CALLS = "can only be set on the command line", "and call nothing"
# Each by another way in; `tests/models/test_assemble.py` has a longer list of names.
TARGETS = ("os.system", "evil.Layer", "keras.layers.Lambda", "convzoo.layers.os.system")

# what it is, the files it comes in, what the victim types, what the line says
ATTACKS = [
    *((f"target {t}", row(f"{{_target_: {t}, command: echo}}"), MODEL, LISTED) for t in TARGETS),
    ("target in an argument", model(score="kernel_initializer: {_target_: evil.run}"), MODEL, INITIALIZERS),
    ("target in a list", model(score="kernel_initializer: [{x: {_target_: evil.run}}]"), MODEL, LISTED),
    ("target that is a list", model(score="kernel_initializer: {_target_: [evil.run]}"), MODEL, INITIALIZERS),
    (
        "target in a branch",
        row("{_target_: convzoo.layers.Branches, branches: {a: {b: {_target_: evil.Layer}}}}"),
        MODEL,
        LISTED,
    ),
    ("target in shared", model("shared: {FullyConnected: {activation: {_target_: evil.run}}}"), MODEL, LISTED),
    ("target in shared, of the row itself", model("shared: {FullyConnected: {_partial_: true}}"), MODEL, KEY),
    ("target of a head", model("heads: {h: {after: score, layers: {x: {_target_: evil.Layer}}}}"), MODEL, LISTED),
    ("target of a loss", model("loss: {_target_: evil.run}"), MODEL, LISTED),
    ("layer as a loss", model("loss: {_target_: keras.layers.Dense, units: 1}"), MODEL, LISTED),
    (
        "target of a pool",
        globally("pooling: {kind: evil, row: {_target_: evil.Layer}}")
        | row("{_target_: convzoo.layers.MaxPooling2D, role: pool}"),
        EXTRA,
        LISTED,
    ),
    (
        "target of preprocessing",
        globally("recipe: {preprocessing: {evil: {_target_: evil.Layer}}}"),
        EXTRA,
        LISTED,
    ),
    ("target that refers", model("t: evil.Layer\n", score='x: {_target_: "${model.t}"}'), MODEL, LISTED),
    *(
        (f"key {key}", model(score=f"kernel_initializer: {{{key}: {value}}}"), MODEL, KEY)
        for key, value in {
            "_partial_": "true",
            "_args_": "[echo]",
            "_recursive_": "true",
            "_convert_": "all",
            "class_name": "run, config: {}",
            "module": "evil, config: {}",
            "registered_name": "evil>run, config: {}",
        }.items()
    ),
    ("row of another name", model(score="name: other"), MODEL, KEY),
    *(
        (f"resolver {text}", model(f'title: "{text}"\nt: "${{model.title}}"\n'), MODEL, CALLS)
        for text in (
            "${oc.env:SECRET}",
            "${oc.env:SECRET,none}",
            "${hydra:runtime.cwd}",
            "${oc.decode:x}",
            "${oc.create:{_target_: evil.run}}",
            "${now:%Y}",
            "${${model.r}:SECRET}",
            "a${oc.${model.r}:SECRET}b",
        )
    ),
    ("resolver as a key", model('"${oc.env:SECRET}": 1\n'), MODEL, CALLS),
    ("resolver in defaults", model(head='defaults: ["/recipe/${oc.env:SECRET}@recipe"]\n'), MODEL, CALLS),
    ("allow", globally("allow: [evil.Layer]"), EXTRA, TYPED),
    ("callback", globally("hydra: {callbacks: {evil: {_target_: evil.run}}}"), EXTRA, TYPED),
    ("callback of a sweep", globally("hydra: {callbacks: {evil: {_target_: evil.run}}}"), ["-m", *EXTRA], TYPED),
    ("launcher", globally("hydra: {launcher: {_target_: evil.run}}"), ["-m", *EXTRA], TYPED),
    ("sweeper", globally("hydra: {sweeper: {_target_: evil.run}}"), ["-m", *EXTRA], TYPED),
    (
        "logger",
        globally("hydra: {job_logging: {version: 1, handlers: {x: {(): evil.run}}, root: {handlers: [x]}}}"),
        EXTRA,
        TYPED,
    ),
    (
        "logger of one run of a sweep",
        globally("hydra: {job_logging: {version: 1, handlers: {x: {(): evil.run}}, root: {handlers: [x]}}}"),
        ["-m", *MODEL, "+extra=evil,none"],
        TYPED,
    ),
    ("environment", globally("hydra: {job: {env_set: {LD_PRELOAD: evil.so}}}"), EXTRA, TYPED),
    ("search path", globally("hydra: {searchpath: [pkg://evil]}"), EXTRA, TYPED),
    ("a run's folder", globally("hydra: {run: {dir: ../elsewhere}}"), EXTRA, TYPED),
    (
        "callback by a package",
        {
            "model/mine.yaml": "defaults: [/evil@_global_.hydra.callbacks.evil]\n" + NET,
            "evil.yaml": "_target_: evil.run",
        },
        MODEL,
        TYPED,
    ),
    (
        "callback by a header",
        {
            "model/mine.yaml": "defaults: [/evil]\n" + NET,
            "evil.yaml": "# @package hydra.callbacks.x\n_target_: evil.run",
        },
        MODEL,
        TYPED,
    ),
    (
        "callback by a group",
        {
            "model/mine.yaml": "defaults: [/hydra/callbacks/evil@_global_.hydra.callbacks.e]\n" + NET,
            "hydra/callbacks/evil.yaml": "_target_: evil.run",
        },
        MODEL,
        TYPED,
    ),
    (
        "launcher by a group",
        {"model/mine.yaml": NET, "hydra/launcher/evil.yaml": "_target_: evil.run"},
        ["-m", *MODEL, "hydra/launcher=evil"],
        TYPED,
    ),
    ("its own train.yaml", {"train.yaml": "hydra: {searchpath: [pkg://evil]}\n"}, ["-cp", "{theirs}"], TYPED),
    ("where checkpoints lie", globally("checkpoints: {directory: ../elsewhere}"), EXTRA, TYPED),
    ("where runs are recorded", globally("tracking: {uri: http://127.0.0.1:9}"), EXTRA, TYPED),
    ("where a plan is drawn", globally("plan: ../elsewhere.svg"), EXTRA, TYPED),
    *(
        (f"study that sets {key}", study(f"set: {{model: mine, '{key}': {value}}}"), STUDY, told)
        for key, value, told in [
            ("allow", "[evil.Layer]", TYPED),
            ("allow", "evil.Layer", TYPED),
            ("+allow", "evil.Layer", TYPED),
            ("hydra.job.env_set.LD_PRELOAD", "x", TYPED),
            ("+hydra.callbacks.x._target_", "evil.run", TYPED),
            ("hydra/launcher", "evil", TYPED),
            ("hydra/launcher@hydra.launcher", "evil", TYPED),
            ("tracking.uri", "http://127.0.0.1:9", TYPED),
            ("checkpoints.directory", "../elsewhere", TYPED),
            ("plan", "../elsewhere.svg", TYPED),
            ("--config-dir", "elsewhere", "keys of the config"),
            ("--experimental-rerun", "evil.pickle", "keys of the config"),
            ("-cp", "elsewhere", "keys of the config"),
            ("model.name", '"${oc.env:SECRET}"', CALLS),
            ("a b", "1", "keys of the config"),
        ]
    ),
    ("study that sweeps allow", study("sweep: {allow: ['[evil.Layer]', '[]']}"), STUDY, TYPED),
    ("pickle of a run", {"config.pickle": b""}, ["--experimental-rerun=theirs/config.pickle"], "--experimental-rerun"),
    ("pickle of a run, shortened", {"config.pickle": b""}, ["--exp", "theirs/config.pickle"], "--experimental-rerun"),
    (
        "layers without end",
        row("{_target_: convzoo.layers.Repeat, times: 1000000000000, body: {a: {_target_: keras.layers.ReLU}}}"),
        MODEL,
        "at most 10,000 layers",
    ),
    (
        "layers of layers",
        row(
            "{_target_: convzoo.layers.Repeat, times: 9999, body: {a: {_target_: convzoo.layers.DenselyConnected, "
            "times: 999, body: {b: {_target_: keras.layers.ReLU}}}}}"
        ),
        MODEL,
        "at most 10,000 layers",
    ),
    ("columns", row("{_target_: convzoo.layers.FractalBlock, filters: 1, columns: 60}"), MODEL, "of at most 12"),
    (
        "sweep without end",
        study("sweep: {seed: 'range(1000000000000)'}\nset: {model: mine}"),
        STUDY,
        "at most 100,000 runs",
    ),
    ("billion laughs in a model", model(BOMB), MODEL, "aliases written out"),
    ("billion laughs in a study", study(BOMB), STUDY, "aliases written out"),
    ("billion laughs in a recipe", {"recipe/evil.yaml": BOMB, **model()}, [*MODEL, "recipe=evil"], "aliases written"),
    ("alias of itself", model("a: &a [*a]\n"), MODEL, "nest deeper"),
    ("brackets", model(f"a: {'[' * 5000}{']' * 5000}\n"), MODEL, "cannot be read"),
    ("large file", model(f"a: {'x' * 1_000_000}\n"), MODEL, "no larger than 1,000,000 bytes"),
    ("large number", model(f"a: {'9' * 5000}\n"), MODEL, "cannot be read"),
    ("Python's tag", model("a: !!python/object/apply:os.system [echo]\n"), MODEL, "cannot be read"),
    ("no text", {"model/mine.yaml": b"\xff\xfe\x00\x01"}, MODEL, "cannot be read"),
    ("study of a folder above", model(), [*MODEL, "study=../../theirs"], "`study`"),
    ("study of another root", model(), [*MODEL, "study=/tmp/theirs"], "`study`"),
]


@pytest.fixture
def victim(tmp_path, monkeypatch):
    """A folder to work in, with a module that tells when it is imported, and a secret in the environment."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "evil.py").write_text(EVIL.format(canary=str(tmp_path / "canary")))
    (tmp_path / "work").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.setenv("SECRET", "the-secret-of-the-victim")
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "work"
    sys.modules.pop("evil", None)


def lay(folder, files):
    for name, content in files.items():
        path = folder / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


class Payload:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return Path.write_text, (Path(self.canary), "unpickled")


@pytest.mark.parametrize(("what", "files", "words", "told"), ATTACKS, ids=[attack[0] for attack in ATTACKS])
def test_an_attack_is_refused_in_one_line(command_line, victim, what, files, words, told):
    lay(victim, files)
    if what.startswith("pickle"):
        (victim / "theirs" / "config.pickle").write_bytes(pickle.dumps(Payload(str(victim.parent / "canary"))))
    before = sorted(victim.parent.rglob("*"))
    begun = time.process_time()
    words = [word.replace("{theirs}", str(victim / "theirs")) for word in words]
    code, out, err = command_line(train, [*words, *["plan=json"] * ("where a plan" not in what), "data=digits"])
    assert (code, err.count("\n")) == (2, 1), err
    assert err.startswith("error: ")
    assert told in err
    assert "the-secret" not in out + err
    assert time.process_time() - begun < 10
    after = [path for path in sorted(victim.parent.rglob("*")) if not {"__pycache__", "multirun"} & set(path.parts)]
    assert after == before  # no canary, no run


def test_the_payload_and_the_module_would_tell(victim):
    """Attacks that could not succeed would prove nothing."""
    canary = victim.parent / "canary"
    pickle.loads(pickle.dumps(Payload(str(canary))))
    assert canary.read_text() == "unpickled"
    evil = importlib.import_module("evil")
    assert canary.read_text() == "imported"
    evil.run()
    assert canary.read_text() == "run"


def test_the_network_that_attacks_begin_from_is_a_good_one(command_line, victim):
    lay(victim, {**model(), "extra/evil.yaml": "# @package _global_\nepochs: 3\n"})
    code, out, err = command_line(train, [*EXTRA, "plan=json", "data=digits", "data.image_shape=[8,8,1]"])
    assert (code, err) == (0, "")
    assert '"params": 650' in out


@pytest.mark.integration
@pytest.mark.parametrize("how", ["callback", "launcher", "study that sets allow", "pickle of a run"])
def test_an_attack_on_a_command_of_its_own(victim, how):
    _, files, words, told = next(attack for attack in ATTACKS if attack[0] == how)
    lay(victim, files)
    if how.startswith("pickle"):
        (victim / "theirs" / "config.pickle").write_bytes(pickle.dumps(Payload(str(victim.parent / "canary"))))
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *words, "data=digits"],
        env={**os.environ, "PYTHONPATH": str(victim.parent / "modules")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert told in done.stderr
    assert not (victim.parent / "canary").exists()
    assert not (victim / "mlflow.db").exists()


def test_a_file_of_aliases_may_be_as_large_as_one_without(tmp_path, monkeypatch):
    monkeypatch.setattr(untrusted_yaml, "MAX_NODES", 1000)
    path = tmp_path / "x.yaml"
    path.write_text(f"a: &a [{', '.join(['1'] * 10)}]\n" + "".join(f"b{i}: *a\n" for i in range(80)))
    assert untrusted_yaml.read(path)["b79"] == [1] * 10
    path.write_text(path.read_text() + "".join(f"c{i}: *a\n" for i in range(10)))
    with pytest.raises(UserError, match="aliases written out"):
        untrusted_yaml.read(path)


def test_a_file_that_changed_is_read_and_looked_at_again(tmp_path, monkeypatch):
    """What is composed of a file does not change it for the next either."""
    monkeypatch.setattr(hydra_itself, "ConfigLoaderImpl", hydra_internals.CheckedLoader)

    def composed(words=()):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return dict(compose("mine", list(words)))

    path = tmp_path / "mine.yaml"
    path.write_text("a: {b: 1}\nc: 2\n")
    assert composed(["a.b=5", "~c"]) == {"a": {"b": 5}}
    assert composed() == {"a": {"b": 1}, "c": 2}
    path.write_text("a: {b: 10}\nc: 2\n")
    assert composed() == {"a": {"b": 10}, "c": 2}
    path.write_text("a: ${oc.env:HOME}\n")
    with pytest.raises(UserError, match="and call nothing"):
        composed()
