"""What needs no backend is refused before one is loaded, and each command says at once what it is about to do."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = "0123456789abcdef" * 2

# Calls commands one after another in one process, and writes down what each of them said and which libraries it loaded.
COMMANDS = """if True:
    import contextlib, io, json, os, sys

    class Heavy:  # ends a command that goes on to what takes long
        def find_spec(self, name, path=None, target=None):
            heavy = ("keras", "tensorflow", "mlflow", "matplotlib", "pandas", "sklearn")
            if name.partition(".")[0] in heavy or name == "scipy.stats":
                raise SystemExit("heavy")

    sys.meta_path.insert(0, Heavy())
    from convzoo import evaluate, train
    from convzoo.cli import command

    said = []
    for (program, *words), variable in json.load(open(sys.argv[1])):
        sys.argv = [f"{program}.py", *words]
        os.environ["MLFLOW_TRACKING_URI"] = variable
        with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                command.run({"train": train, "evaluate": evaluate}[program].main, program)
                code = 0
            except SystemExit as end:
                code = end.code
        said.append([code, out.getvalue(), err.getvalue()])
    print(json.dumps(said))
"""

LENET = "train model=lenet data=digits"
EARLY = [
    (f"{LENET} dropout=1.5", "`dropout`"),
    (f"{LENET} input_dropout=0.1", "`input_dropout=0.1`: no row of lenet"),
    (f"{LENET} stride=0", "`stride`"),
    (f"{LENET} precision=fp16", "`precision`"),
    (f"{LENET} pooling=maxx", "did you mean max"),
    ("train model=lenet data=files data.directory=nowhere", "nowhere"),
    (f"{LENET} tracking.uri=sqlite:///nowhere/a.db", "there is no folder"),
    (f"{LENET} tracking.uri=sqlite:///a.db?timeout=60", "`tracking.uri`"),
    (f"{LENET} tracking.uri=http://me:secret@127.0.0.1:9", "`tracking.uri=http://127.0.0.1:9`"),
    ("evaluate run=xyz", "`run` must be latest, or a run's id"),
    (f"evaluate run={RUN[::-1]}", f"there is no run '{RUN[::-1]}'"),
    ("evaluate study=poolingkinds", "did you mean pooling_kinds?"),
    ("evaluate study=опыт", "there is no study 'опыт'"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A folder with a store of which only the tables are there that are asked."""
    folder = tmp_path_factory.mktemp("early")
    file = sqlite3.connect(folder / "mlflow.db")
    file.executescript("CREATE TABLE runs (run_uuid TEXT); CREATE TABLE experiments (name TEXT);")
    file.execute("INSERT INTO runs VALUES (?)", [RUN])
    file.executemany("INSERT INTO experiments VALUES (?)", [["Default"], ["reports"], ["pooling_kinds"]])
    file.commit()
    file.close()
    return folder


SAID = [
    (LENET, "", ["lenet on digits: loading TensorFlow …"]),
    (LENET, "sqlite:///team.db", ["lenet on digits", "runs are in sqlite:///team.db, as MLFLOW_TRACKING_URI says"]),
    (f"{LENET} tracking.uri=sqlite:///mine.db", "sqlite:///team.db", ["lenet on digits: loading TensorFlow …"]),
    (f"{LENET} plan=true", "sqlite:///team.db", ["lenet on digits: loading TensorFlow …"]),
    ("train model=googlenet plan=true", "", ["googlenet: loading TensorFlow …"]),
    (f"{LENET} plan=json", "", []),  # its output is read by a program
    (
        f"{LENET} -m seed=0,1 study=mine",
        "",
        ["mine: 2 runs; opening sqlite:///mlflow.db, then estimating the time from"],
    ),
    ("evaluate run=latest", "", ["run latest of sqlite:///mlflow.db: loading TensorFlow …"]),
    (f"evaluate run={RUN}", "sqlite:///mlflow.db", [f"run {RUN} of", "runs are in sqlite:///mlflow.db, as MLFLOW_TRA"]),
    ("evaluate study=pooling_kinds", "", ["study pooling_kinds of sqlite:///mlflow.db: reading its runs …"]),
]


@pytest.fixture(scope="module")
def answers(store):
    """For each command of both lists what it said."""
    commands = [(words.split(), "") for words, _ in EARLY] + [(words.split(), variable) for words, variable, _ in SAID]
    (store / "commands.json").write_text(json.dumps(commands))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "KERAS_"))}
    words = [sys.executable, "-c", COMMANDS, store / "commands.json"]
    done = subprocess.run(words, cwd=store, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("number", range(len(EARLY)), ids=[words for words, _ in EARLY])
def test_command_loads_nothing_heavy_when_a_setting_is_wrong(answers, number):
    code, _, err = answers[number]
    assert (code, err.count("\n")) == (2, 1), err
    assert EARLY[number][1] in err
    assert "secret" not in err


@pytest.mark.parametrize("number", range(len(SAID)), ids=[" ".join(said[:2]) for said in SAID])
def test_command_says_what_it_does_before_anything_heavy(answers, number):
    code, out, err = answers[len(EARLY) + number]
    assert code == "heavy", err
    wanted = SAID[number][2]
    assert len(out.splitlines()) == len(wanted), out
    assert all(line.startswith(start) for line, start in zip(out.splitlines(), wanted, strict=True)), out
