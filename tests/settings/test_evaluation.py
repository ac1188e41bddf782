"""Settings of evaluate.py: names in any script are accepted, control characters are not."""

import pytest

from convzoo import UserError
from convzoo.settings.evaluation import EvaluateSettings
from convzoo.settings.schema import default_settings, parse_settings

PERSIAN, NARROW_SPACE = "می\u200cخواهم", "Screenshot 10.00\u202fAM"


def config(**changes):
    return default_settings(EvaluateSettings) | {"run": "latest"} | changes


def check(settings):
    parse_settings(EvaluateSettings, settings)


@pytest.mark.parametrize("name", [PERSIAN, NARROW_SPACE, "猫"])
def test_check_takes_names_of_any_script(name):
    check(config(image=f"{name}.png"))
    check(config(register=name))
    check(config(data={"directory": name}))
    check(config(run=None, study=name))


@pytest.mark.parametrize("changes", [{"image": "a\x1b[2J"}, {"register": "\u202e"}, {"run": None, "study": "a\nb"}])
def test_check_refuses_control_characters(changes):
    with pytest.raises(UserError):
        check(config(**changes))


@pytest.mark.parametrize(
    ("changes", "split"),
    [
        ({"features": "train.npz"}, "train"),
        ({"features": "a/validation.npz"}, "validation"),
        ({"features": "mine.npz"}, "test"),
        ({"features": "train.npz", "split": "test"}, "test"),
    ],
)
def test_feature_split_is_stated_or_that_of_the_file(changes, split):
    assert parse_settings(EvaluateSettings, config(**changes)).feature_split == split


def test_check_takes_studies_to_compare():
    assert parse_settings(EvaluateSettings, config(run=None, study=["a", "b"])).studies == ["a", "b"]
    assert parse_settings(EvaluateSettings, config(run=None, study="a", table="csv")).studies == ["a"]
    assert parse_settings(EvaluateSettings, config()).studies == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": "train.csv"}, "`features` must be the name of an .npz file. Received: features='train.csv'"),
        ({"rows": ["conv1"]}, "`rows` needs `features=FILE.npz`"),
        ({"features": "x.npz", "rows": "conv1"}, "`rows` must be a list of names of rows"),
        ({"features": "x.npz", "rows": ["mean", "mean"]}, "`rows` must be a list of names of rows, each once"),
        ({"export": "pickle"}, "`export` must be one of"),
        ({"run": None, "study": "a", "export": "onnx"}, "`features` and `export` need a run"),
    ],
)
def test_mistakes_of_features_and_exports_are_one_line(changes, message):
    with pytest.raises(UserError) as error:
        check(config(**changes))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": None, "study": ["a"]}, "`study` must be"),
        ({"run": None, "study": ["a", "a"]}, "`study` must be"),
        ({"run": None, "study": ["a", "../b"]}, "`study` must be"),
        ({"run": None, "study": "a", "table": "excel"}, "latex, csv, markdown"),
        ({"table": "csv"}, "`table` needs a study"),
    ],
)
def test_check_refuses_table_or_studies_out_of_place(changes, message):
    with pytest.raises(UserError, match=message):
        check(config(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": None, "study": "a"}, "`card=true` needs a run"),
        ({"image": "cat.png"}, "not with `image`, `register` or `features`"),
        ({"register": "a"}, "not with `image`, `register` or `features`"),
        ({"features": "x.npz"}, "not with `image`, `register` or `features`"),
    ],
)
def test_card_is_refused_without_the_test_of_a_run(changes, message):
    with pytest.raises(UserError, match=message):
        check(config(card=True, **changes))


def test_card_needs_the_test_that_an_export_leaves_out():
    tested = [parse_settings(EvaluateSettings, config(export="onnx", card=card)).is_tested for card in (True, False)]
    assert tested == [True, False]
