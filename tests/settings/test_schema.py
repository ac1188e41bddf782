import doctest

import pytest

from convzoo import UserError
from convzoo.settings import paths, schema, text
from convzoo.settings.schema import Schema, parse


class Record(Schema):
    name: str
    count: int
    shape: tuple[int, ...] = ()


@pytest.mark.parametrize("module", [paths, schema, text])
def test_docstrings_show_what_functions_return(module):
    assert doctest.testmod(module).failed == 0


def test_parse_returns_instance_when_data_match():
    assert parse(Record, {"name": "a", "count": 2, "new_key": 1}, "file") == Record(name="a", count=2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "file: should be a valid dictionary or instance of Record. Received: 5"),
        ({"name": "a"}, "file: `count` is missing"),
        ({"name": "a", "count": "2"}, "file: `count` should be a valid integer. Received: '2'"),
        ({"name": "a", "count": True}, "file: `count` should be a valid integer. Received: True"),
        ({"name": "a", "count": 1, "shape": (1, None)}, "file: `shape.1` should be a valid integer. Received: None"),
    ],
)
def test_parse_names_key_and_value_when_data_do_not_match(value, message):
    with pytest.raises(UserError) as raised:
        parse(Record, value, "file")
    assert str(raised.value) == message


def test_parse_message_is_one_short_printable_line():
    with pytest.raises(UserError) as raised:
        parse(Record, {"name": "\x1b[2J\n" * 1000, "count": "\x1b[2J\n" * 1000}, "fi\nle")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 300
