"""Data that are not what they should be: one line that names the file, exit code 2, nothing trained or recorded.

Of TensorFlow Datasets' folders and their copies, cut short or altered, see `tests/data/test_tfds_source.py`.
"""

import os

import numpy as np
import pytest
from PIL import Image

from convzoo import evaluate, train

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 8, 8), dtype=np.uint8)
Y = np.arange(60) % 3
NOT = np.where(Y == 2, 0, Y)


def arrays(**named):
    return lambda folder: np.savez(folder / "mine.npz", **named)


def parts(x_train=X, y_train=Y, x_test=X, y_test=Y):
    return arrays(x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def damaged(change):
    def make(folder):
        parts()(folder)
        data = bytearray((folder / "mine.npz").read_bytes())
        change(data)
        (folder / "mine.npz").write_bytes(data)

    return make


def flip(data):
    data[1000] ^= 1


def cut(data):
    del data[len(data) // 2 :]


def folders(**pictures):
    """Of each class so many pictures; in the order of its letters, b is a file that is none."""

    def make(folder):
        for name, kinds in pictures.items():
            place = folder / "mine" / name.replace("__", "/")
            place.mkdir(parents=True)
            for number, kind in enumerate(kinds):
                Image.fromarray(X[number]).save(place / f"{number:02}.png")
                if kind == "b":
                    os.truncate(place / f"{number:02}.png", 40)

    return make


GOOD = "g" * 10
FAULTS = {
    # of an .npz file
    "cut off": (damaged(cut), "cannot be read"),
    "a bit flipped": (damaged(flip), "Bad CRC-32"),
    "empty file": (lambda folder: (folder / "mine.npz").write_bytes(b""), "cannot be read"),
    "not there": (lambda folder: None, "an existing folder or .npz file"),
    "other names": (arrays(images=X, labels=Y), "Missing: x_test"),
    "no test": (arrays(x_train=X, y_train=Y), "Missing: x_test"),
    "other size": (parts(x_test=X[:, 1:]), "test: images are uint8 (7, 8, 1)"),
    "other channels": (parts(np.stack([X] * 3, -1)), "train: images are uint8 (8, 8, 3)"),
    "one axis too few": (parts(X[:, 0]), "3 or 4 axes"),
    "floats": (parts(X / 255), "uint8 images"),
    "NaN": (parts(np.where(X > 250, np.nan, X)), "uint8 images"),
    "16 bits": (parts(X.astype(np.uint16)), "uint8 images"),
    "labels that are words": (parts(y_train=np.array(["cat"] * 60)), "an integer label"),
    "labels that are floats": (parts(y_train=Y * 1.0), "an integer label"),
    "labels of one hot": (parts(y_train=np.eye(3, dtype=int)[Y]), "an integer label"),
    "fewer labels": (parts(y_train=Y[:50]), "an integer label"),
    "negative labels": (parts(y_train=Y - 1), "-1 to 1"),
    "labels from one": (parts(y_train=Y + 1, y_test=Y + 1), "train: class `0`, whose label is 0, has no image"),
    "a class that train lacks": (parts(y_train=NOT), "test: labels from 0 to 2, `data.classes` is 2"),
    "a class that test lacks": (parts(y_test=NOT), "test: class `2`, whose label is 2, has no image"),
    "a class between": (parts(y_train=np.where(Y == 1, 2, Y)), "train: class `1`, whose label is 1, has no image"),
    "empty train": (parts(X[:0], Y[:0]), "must hold images"),
    "empty test": (parts(x_test=X[:0], y_test=Y[:0]), "must hold images"),
    "one class": (parts(y_train=Y * 0, y_test=Y * 0), "at least two classes"),
    # of a folder
    "no folder of a class": (folders(a=GOOD), "at least two classes"),
    "train alone": (folders(train__a=GOOD, train__b=GOOD), "both of train and test"),
    "class without a picture": (folders(a=GOOD, b=""), "at least two classes. Received: a"),
    "class that test lacks": (
        folders(train__a=GOOD, train__b=GOOD, test__a=GOOD),
        "test has no image of class `b`: train has 10",
    ),
    "class that train lacks": (
        folders(train__a=GOOD, train__b=GOOD, test__a=GOOD, test__b=GOOD, test__c=GOOD),
        "test/c is of no class",
    ),
    "bad pictures": (
        folders(a="gbgggggggb", b="ggggggbggg"),
        "3 of 20 files cannot be read as images: a/01.png, a/09.png, b/06.png",
    ),
    "bad pictures alone": (folders(a="b" * 15, b="b" * 15), "b/04.png and 10 more"),
    "too few to validate": (folders(a="ggggg", b="ggggg"), "`data.validation`"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_data_are_refused_before_training(command_line, tmp_path, monkeypatch, fault):
    make, told = FAULTS[fault]
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    make(tmp_path)
    where = tmp_path / ("mine" if (tmp_path / "mine").exists() else "mine.npz")
    words = ["model=lenet", "data=files", f"data.directory={where}", "data.image_shape=[8,8,1]", "epochs=1"]
    rows = ["~model.layers.conv2", "~model.layers.pool2"]
    code, _, err = command_line(train, [*words, *rows])
    assert (code, err.count("\n")) == (2, 1), err
    assert told in err
    assert str(tmp_path / "mine") in err or err.startswith("error: `data.validation`")
    assert list((tmp_path / "work").iterdir()) == []


def test_class_names_that_a_terminal_or_a_formula_would_obey(command_line, tmp_path, monkeypatch):
    """Names of folders are a stranger's words: none reaches the screen as a command."""
    monkeypatch.chdir(tmp_path)
    for name in ("a\x1b[2J", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        Image.fromarray(X[0]).save(tmp_path / "mine" / name / "0.png")
    code, _, err = command_line(train, ["model=lenet", "data=files", "data.directory=mine", "plan=json"])
    assert code == 2
    assert "`data.class_names` must be 2 different names" in err
    assert "\x1b" not in err


NAMED_AS_INTERPOLATIONS = ("${oc.env:TOKEN}", "${x", "${data.name}")
SMALL = ["model=lenet", "data=files", "data.directory=mine", "data.image_shape=[8,8,1]", "epochs=1"]
SMALL += ["~model.layers.conv2", "~model.layers.pool2"]


@pytest.fixture
def named_as_interpolations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOKEN", "secret")
    for number, name in enumerate(NAMED_AS_INTERPOLATIONS):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(X[number * 10 + i]).save(tmp_path / "mine" / name / f"{i}.png")


def test_folder_named_as_an_interpolation_is_planned(command_line, named_as_interpolations):
    code, out, err = command_line(train, [*SMALL, "plan=true"])
    assert (code, err) == (0, "")
    assert "secret" not in out


@pytest.mark.slow
def test_folder_named_as_an_interpolation_is_text_everywhere(command_line, named_as_interpolations):
    code, out, err = command_line(train, [*SMALL, "data.validation=0.2"])
    assert code == 0, err
    assert "by class: ${data.name}: 10, ${oc.env:TOKEN}: 10, ${x: 10" in out
    Image.fromarray(X[0]).save("digit.png")
    code, evaluated, err = command_line(evaluate, ["run=latest", "image=digit.png"])
    assert code == 0, err
    assert "${oc.env:TOKEN}" in evaluated
    assert "secret" not in out + evaluated + err


def test_a_formula_in_a_class_s_name_is_drawn_as_it_is():
    from convzoo.reporting import plots

    names = [r"$\frac$", "$1 and $2"]
    figure = plots.plot_confusion_matrix(np.eye(2, dtype=int), names, r"run $\x$")
    figure.canvas.draw()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [r"\$\frac\$", r"\$1 and \$2"]
    mistakes = plots.Mistakes(X[:2, ..., None], np.array([0, 1]), np.array([1, 0]), np.ones(2))
    plots.plot_mistakes(mistakes, names, r"$\x$").canvas.draw()
    plots.plot_prediction(X[0, ..., None], np.array([0.5, 0.5]), names, r"$\x$").canvas.draw()
