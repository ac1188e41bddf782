"""Rows of one class: what they may state."""

import doctest
from textwrap import TextWrapper

import pytest

from convzoo import UserError
from convzoo.settings import target_rows
from convzoo.settings.target_rows import check_target_row, list_parameters, read_arguments


class Base:
    def __init__(self, size, rate=0.5, **kwargs):
        super().__init__(**kwargs)


class Thing(Base):
    def __init__(self, *args, word="a", flag=False, weight_decay=None, **kwargs):
        super().__init__(*args, **kwargs)


CLASSES = {"pkg.Thing": Thing}


def check(**row):
    check_target_row({"_target_": "pkg.Thing", "size": 1, **row}, "part", CLASSES, hidden=["flag"])


def test_row_of_good_values_passes():
    check(rate=1, word="b", weight_decay=0.1)
    check(weight_decay=None)
    check(size=[1, 2.0, "word", None])


def test_parameters_of_bases_are_listed():
    assert list(list_parameters(Thing)) == ["word", "flag", "weight_decay", "size", "rate"]


def test_whole_numbers_become_floats_where_the_default_is_one():
    arguments = read_arguments({"_target_": "pkg.Thing", "size": 1, "rate": 0, "word": "b"}, Thing)
    assert arguments == {"size": 1, "rate": 0.0, "word": "b"}
    assert (type(arguments["size"]), type(arguments["rate"])) == (int, float)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"flag": True}, "`part.flag`: Thing has no such argument"),
        ({"word": 1}, "`part.word` must be a word. Received: 1"),
        ({"rate": True}, "`part.rate` must be a number. Received: True"),
        ({"rate": None}, "`part.rate` must be a number"),
        ({"rate": float("nan")}, "`part.rate` must be a number, a word"),
        ({"size": {"_target_": "pkg.Thing"}}, "`part.size` must be a number, a word, true, false, null or a list"),
        ({"weight_decay": -1}, "`part.weight_decay` must be a number at least 0"),
        (
            {"_target_": "pkg.Think"},
            r"`part._target_=pkg.Think`: .*; did you mean pkg.Thing\?",
        ),
    ],
)
def test_check_names_key_rule_and_value(row, words):
    with pytest.raises(UserError, match=words):
        check(**row)


def test_missing_argument_is_named_unless_optional():
    row = {"_target_": "pkg.Thing"}
    with pytest.raises(UserError, match="`part` needs `size`, an argument of Thing"):
        check_target_row(row, "part", CLASSES)
    check_target_row(row, "part", CLASSES, optional=["size"])


def test_examples_of_docstrings_run():
    assert doctest.testmod(target_rows, extraglobs={"TextWrapper": TextWrapper}).failed == 0
