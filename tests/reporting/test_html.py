import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure

from convzoo.reporting.html import encode_image, render_page
from convzoo.reporting.text_table import fold, text_table

HEADS = ["model", "95 % interval, points", "p after Holm"]
ROWS = [["lenet", "-1.00 to +2.00", "0.1"], ["inception_module", "too few seeds", "< 0.001"]]


def words(text):
    return sorted(text.replace("─", "").split())


@pytest.mark.parametrize("width", [200, 60, 45, 38, 20])
def test_text_table_breaks_no_word(width):
    text = text_table(HEADS, ROWS, width)
    given = {word for line in (HEADS, *ROWS) for cell in line for word in cell.split()}
    assert {word.rstrip(",:") for word in words(text)} == {word.rstrip(",:") for word in given}
    assert max(map(len, text.splitlines())) <= width


def test_text_table_that_fits_has_a_line_for_each_row():
    lines = text_table(HEADS, ROWS, 80).splitlines()
    assert len(lines) == 4
    assert lines[0] == "model             95 % interval, points  p after Holm"


def test_text_table_breaks_heads_before_cells():
    lines = text_table(HEADS, ROWS, 45).splitlines()
    assert [line for line in lines if line.startswith("lenet")] == ["lenet             -1.00 to +2.00  0.1"]


def test_text_table_without_rows_shows_heads():
    assert text_table(["a", "b"], []).splitlines()[0] == "a  b"


def test_fold_breaks_between_words_at_width_of_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    text = fold("EQUIVALENT: the claim of the study is one long line")
    assert text == "EQUIVALENT: the claim of the\n  study is one long line"


def test_fold_is_80_wide_without_terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("sys.__stdout__", None)
    assert max(map(len, fold("word " * 50).splitlines())) in range(75, 81)


def run_page(text):
    return render_page("run.html", title=text, lines=[text], table=[text], images=[])


@pytest.mark.parametrize("show", [fold, lambda text: text_table([text], [[text]]), run_page])
def test_text_from_outside_holds_no_control_characters(show):
    shown = show("a\x1b[2Jb\x07\x9b")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\x9b" not in shown


def test_page_escapes_html():
    page = run_page("<script>&")
    assert "<script>" not in page
    assert page.count("&lt;script&gt;&amp;") == 4


def test_page_holds_the_pixels_of_figures():
    image = {"name": "a.png", "caption": "A figure", "address": encode_image(Figure(figsize=(1, 1)))}
    page = render_page("run.html", title="a run", lines=[], table=[], images=[image])
    assert '<img alt="a.png" src="data:image/png;base64,iVBOR' in page


def test_page_without_a_variable_is_refused():
    with pytest.raises(UndefinedError, match="title"):
        render_page("run.html", lines=[], table=[], images=[])
