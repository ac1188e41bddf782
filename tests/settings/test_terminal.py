"""What a command prints, on terminals of any width and encoding, and to readers that leave."""

import doctest
import io
import os
import pty
import subprocess
import sys

import pytest

from convzoo.settings import terminal
from convzoo.settings.text import fold, without_password


def printed(code, stdout=subprocess.PIPE, **environment):
    """A process that prints within `safe_output`."""
    whole = f"from convzoo.settings.terminal import *\nwith safe_output():\n    {code}"
    words = [sys.executable, "-c", whole]
    return subprocess.run(words, stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **environment}, timeout=60)


@pytest.mark.parametrize("width", [20, 40, 80])
def test_fold_breaks_no_word_and_loses_none(width):
    text = "  networks: " + ", ".join(f"network_{i}" for i in range(30))
    folded = fold(text, width)
    assert folded.split() == text.split()
    assert max(map(len, folded.split("\n"))) <= width
    assert all(line.startswith("      ") for line in folded.split("\n")[1:])


@pytest.mark.parametrize("text", ["short", "a  table   row", "", "two\nlines", "w" * 100])
def test_fold_keeps_lines_that_fit_or_cannot_be_broken(text):
    assert fold(text, 30) == text
    assert fold(text * 9, None) == text * 9


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("", None), ("wide", None), ("0", None), ("3", 20)])
def test_terminal_width_is_that_of_the_environment(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.terminal_width(io.StringIO()) == width


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_output_replaces_letters_that_encoding_lacks(encoding):
    done = printed("print('32×32 … ⌊x⌋ кот')", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode(encoding).strip() in ("32x32 ... ?x? ???", "32×32 ... ?x? ???", "32×32 … ?x? ???")


@pytest.mark.parametrize("code", ["print('x' * 10**6)", "print('x')", "[print(i) for i in range(10**5)]"])
def test_output_ends_without_a_word_when_reader_leaves(code):
    reader, writer = os.pipe()
    os.close(reader)
    done = printed(code, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_print_folded_folds_on_a_terminal_alone(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "30")
    terminal.print_folded("word " * 20)
    assert capsys.readouterr().out.count("\n") == 1
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        terminal.print_folded("word " * 20, stream)
        lines = os.read(master, 1000).decode().splitlines()
    os.close(master)
    assert len(lines) > 1
    assert max(map(len, lines)) <= 30


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:secret@host:5000", "http://me:***@host:5000"),
        ("http://me:p@ss@host and https://you:other@there/x", "http://me:***@host and https://you:***@there/x"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
    ],
)
def test_without_password_hides_all_of_it(address, shown):
    assert without_password(address) == shown


def test_docstrings_show_what_functions_return():
    assert doctest.testmod(terminal).failed == 0
