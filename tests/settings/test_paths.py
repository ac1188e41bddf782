"""Words from outside stay below the folder that they name a place in."""

import pytest

from convzoo import UserError
from convzoo.settings.paths import path_below


@pytest.mark.parametrize("word", ["a", "a/b.txt", "...png", "..a", "a b", "ä", ".hidden", "a/./b"])
def test_path_below_takes_a_name_or_a_relative_path(tmp_path, word):
    assert path_below(tmp_path, word) == tmp_path / word


@pytest.mark.parametrize(
    "word",
    ["", ".", "..", "../x", "a/..", "a/../..", "a/../../x", "/etc/passwd", "a/../b", "\0", "a\0b", None, 5],
)
def test_path_below_refuses_what_leaves_the_folder(tmp_path, word):
    with pytest.raises(UserError, match="must name a place below"):
        path_below(tmp_path, word)


def test_path_below_refuses_the_folder_s_neighbour(tmp_path):
    with pytest.raises(UserError, match="must name a place below"):
        path_below(tmp_path / "a", str(tmp_path / "ab"))


@pytest.mark.parametrize("word", ["link", "link/x", "around"])
def test_path_below_refuses_a_link_that_leaves_the_folder(tmp_path, word):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    (tmp_path / "folder" / "around").symlink_to(".")
    with pytest.raises(UserError, match="must name a place below"):
        path_below(tmp_path / "folder", word)


def test_path_below_takes_a_folder_that_is_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert path_below(tmp_path / "link", "a") == tmp_path / "link" / "a"


def test_refused_word_is_printable(tmp_path):
    with pytest.raises(UserError) as error:
        path_below(tmp_path, "../\x1b[2J")
    assert "\x1b" not in str(error.value)
