"""`python -m convzoo.quiz`."""

import doctest
import io
import math
import re
import runpy
import sys
from itertools import islice
from pathlib import Path

import keras
import pytest

from convzoo import layers
from convzoo.cli import run_quiz
from convzoo.cli.quiz_questions import LayerCall, plan_layers
from convzoo.cli.quiz_topics import TOPICS, draw_questions
from convzoo.cli.run_quiz import parse_answer
from convzoo.settings.quiz import MIX, QuizSettings

SEEDS = range(4)
QUESTIONS = 8  # of a quiz, so that each form of a topic comes twice


@pytest.fixture
def command(monkeypatch, capsys):
    """Call the command with words and a standard input; returns its exit code and what it printed."""

    def run(*words, answers=""):
        monkeypatch.setattr(sys, "argv", ["quiz", *words])
        monkeypatch.setattr(sys, "stdin", io.StringIO(answers) if isinstance(answers, str) else answers)
        try:
            run_quiz.run_command()
            code = 0
        except SystemExit as ended:
            code = ended.code
        return code, *capsys.readouterr()

    return run


def compute(expression):
    """Evaluate a calculation as it is printed."""
    text = expression.replace("·", "*").replace("−", "-").replace(",", "")
    assert re.fullmatch(r"(floor|ceil|[\d+*/() -])+", text), text
    return eval(text, {"floor": math.floor, "ceil": math.ceil})


def questions(topic):
    return [each for seed in SEEDS for each in islice(draw_questions(topic, seed), QUESTIONS)]


def correct_answers(topic, seed, count):
    return ["×".join(map(str, each.answer)) for _, each in islice(draw_questions(topic, seed), count)]


@pytest.mark.parametrize("topic", TOPICS)
def test_printed_calculation_gives_the_value_of_the_layer(topic):
    for _, question in questions(topic):
        values = []
        for line in map(str, question.steps):
            expression, _, value = line.rpartition(": ")[2].rpartition(" = ")
            assert compute(expression or value) == int(value.replace(",", "")), line
            values.append(int(value.replace(",", "")))
        assert set(question.answer) <= set(values)
        assert question.answer[-1] == values[-1]


@pytest.mark.parametrize("topic", TOPICS)
def test_answer_is_that_of_the_layers_that_are_shown(topic):
    """The printed lines, read as Python, give the sizes and parameters."""
    checked = 0
    names = {**vars(keras.layers), **{name: getattr(layers, name) for name in layers.__all__}}
    for _, question in questions(topic):
        calls = [line for line in question.facts[1:] if re.fullmatch(r"\w+\(.*\)", line)]
        if not question.facts[0].startswith("input") or "is replaced with" in question.facts or "?" in str(calls):
            continue
        x = inputs = keras.Input([int(n) for n in re.findall(r"\d+", question.facts[0])])
        for call in calls:
            x = eval(call, names)(x)
        if "parameters" in question.text:
            assert question.answer == (keras.Model(inputs, x).count_params(),)
        elif "of the" in question.text and "output?" in question.text and "receptive" not in question.text:
            assert question.answer == x.shape[1 : 1 + len(question.answer)]
        else:
            continue
        checked += 1
    assert checked or topic in ("sparsity", "receptive_field")


@pytest.mark.parametrize(
    ("words", "attribute", "value"),
    [
        # LeNet-5's C1, S2 and C3 by hand: 32 − 5 + 1, 28/2, 14 − 5 + 1; (5·5 + 1)·6; 28·28·6·25; 1 + 4 + 1 + 4·2
        ([("Conv2D", {"filters": 6, "kernel_size": 5})], "params", 156),
        ([("Conv2D", {"filters": 6, "kernel_size": 5})], "connections", 122_304),
        ([("Conv2D", {"filters": 6, "kernel_size": 5})], "macs", 117_600),
        (
            [
                ("Conv2D", {"filters": 6, "kernel_size": 5}),
                ("MaxPooling2D", {"pool_size": 2}),
                ("Conv2D", {"filters": 16, "kernel_size": 5}),
            ],
            "receptive_field",
            (14, 14),
        ),
    ],
)
def test_plan_layers_gives_the_numbers_of_lenet(words, attribute, value):
    rows = plan_layers((32, 32, 1), [LayerCall(*each) for each in words]).rows
    assert getattr(rows[-1], attribute) == value


def test_questions_of_a_seed_are_the_same():
    for topic in (MIX, "padding"):
        first, longer, other = (
            list(islice(draw_questions(topic, seed), count)) for seed, count in ((3, 4), (3, 6), (4, 4))
        )
        assert first == longer[:4]
        assert first != other


def test_mix_asks_every_topic_before_one_comes_again():
    topics = [topic for topic, _ in islice(draw_questions(MIX, 0), 2 * len(TOPICS))]
    assert sorted(topics[: len(TOPICS)]) == sorted(topics[len(TOPICS) :]) == sorted(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_topic_repeats_no_question_of_a_quiz(topic):
    drawn = [question for _, question in islice(draw_questions(topic, 0), 12)]
    assert len(set(drawn)) == 12


@pytest.mark.parametrize("topic", [MIX, *TOPICS])
def test_right_answers_are_marked_right_in_80_columns(command, topic):
    answers = correct_answers(topic, 5, 12)
    code, out, err = command(topic, "seed=5", "questions=12", answers="\n".join(answers))
    assert (code, err) == (0, "")
    assert out.count("\nright: ") == 12
    assert "score: 12 of 12 right\n" in out
    assert out.endswith(f"repeat: python -m convzoo.quiz {topic} seed=5 questions=12\n")
    assert max(map(len, out.splitlines())) <= 80


def test_wrong_and_skipped_answers_show_the_calculation(command):
    """Two strided sizes: the seed's questions are read from the output, and worked out here."""
    code, out, _ = command("stride", "seed=2", answers="1\n\n")
    assert code == 0
    first, second, third = out.split("Question ")[1:4]
    assert "47×34×3" in first
    assert "wrong: 1×1; correct: 12×8\n" in first
    assert "layer 1, height: floor((47 − 3)/2) + 1 = 23\n" in first
    assert "layer 2, width: floor((16 + 2·1 − 3)/2) + 1 = 8\n" in first
    assert "skipped; correct: 12\n" in second
    assert "2·3·2 = 12\n" in second
    assert "correct" not in third


def test_end_of_input_ends_with_the_score_so_far(command):
    (answer, *_) = correct_answers("stride", 3, 1)
    code, out, _ = command("stride", "seed=3", answers=f"{answer}\n1\n")
    assert code == 0
    assert "score: 1 of 2 right; 3 not answered\n" in out
    code, out, _ = command("stride", "seed=3")
    assert code == 0
    assert "score: no question answered\n" in out


def test_closed_input_ends_as_an_empty_one(command):
    code, out, _ = command("stride", "seed=3", answers=None)
    assert code == 0
    assert "score: no question answered\n" in out


def test_unreadable_answer_is_asked_again_once(command):
    (answer, *_) = correct_answers("pooling", 0, 1)
    code, out, _ = command("pooling", "seed=0", "questions=1", answers=f"many\n{answer}\n")
    assert code == 0
    assert out.count("This cannot be read. Write ") == 1
    assert "score: 1 of 1 right\n" in out
    _, out, _ = command("pooling", "seed=0", "questions=2", answers="many\n\x1b[2Jmore\n\n")
    assert out.count("This cannot be read. Write ") == 1
    assert "\x1b" not in out
    assert "skipped, it cannot be read; correct: " in out
    assert "score: 0 of 2 right, 2 skipped\n" in out


def test_ctrl_c_prints_the_score_and_exits_with_130(command):
    class Interrupted(io.StringIO):
        def readline(self, *arguments):
            return super().readline(*arguments) or self.interrupt()

        def interrupt(self):
            raise KeyboardInterrupt

    code, out, err = command("stride", "seed=3", answers=Interrupted("1\n"))
    assert (code, err) == (130, "stopped\n")
    assert "score: 0 of 1 right; 4 not answered\n" in out


def test_default_seed_is_printed_and_repeats_the_quiz(command):
    _, out, _ = command("one_by_one", answers="\n" * 5)
    words = re.search(r"^repeat: python -m convzoo\.quiz (.*)$", out, re.MULTILINE)[1].split()
    assert re.fullmatch(r"seed=\d+", words[1])
    assert command(*words, answers="\n" * 5)[1] == out


def test_chapter_has_an_exercise_for_every_topic():
    page = (Path(run_quiz.__file__).parents[1] / "docs" / "chapter.md").read_text()
    exercises = " ".join(re.findall(r"^Exercise: .*$", page, re.MULTILINE))
    assert sorted(re.findall(r"`python -m convzoo\.quiz (\w+)`", exercises)) == sorted(TOPICS)


def test_list_prints_every_topic(command):
    code, out, _ = command("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [*TOPICS, MIX]
    assert max(map(len, out.splitlines())) <= 80


def test_help_describes_every_setting(command):
    code, out, _ = command("--help")
    assert code == 0
    assert set(re.findall(r"^  (\w+) ", out, re.MULTILINE)) == set(QuizSettings.model_fields) - {"topic"}
    assert max(map(len, out.splitlines())) <= 80


def test_module_runs_the_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["quiz", "list"])
    runpy.run_module("convzoo.quiz", run_name="__main__")
    assert capsys.readouterr().out.startswith("stride ")


def test_docstrings_show_what_functions_return():
    assert doctest.testmod(run_quiz).failed == 0


@pytest.mark.parametrize(
    ("text", "count", "answer"),
    [
        ("16", 1, (16,)),
        (" 16 ", 2, (16, 16)),
        ("16x16", 2, (16, 16)),
        ("16 X 12", 2, (16, 12)),
        ("16×12", 2, (16, 12)),
        ("16, 12", 2, (16, 12)),
        ("(16, 12)", 2, (16, 12)),
        ("[16 12]", 2, (16, 12)),
        ("16×12×8", 3, (16, 12, 8)),
        ("(None, 16, 12, 8)", 3, (16, 12, 8)),
        ("(16,)", 1, (16,)),
        ("1,216", 1, (1216,)),
        ("1 216 000", 1, (1_216_000,)),
        ("1,216", 2, (1, 216)),
        ("16", 3, None),
        ("16×16", 1, None),
        ("16×16×8", 2, None),
        ("15.5", 1, None),
        ("-1", 1, None),
        ("9" * 5000, 1, None),
        ("()", 1, None),
        ("16x", 2, None),
        ("²", 1, None),
        ("\x00", 1, None),
    ],
)
def test_parse_answer_reads_the_forms_of_numbers(text, count, answer):
    assert parse_answer(text, count) == answer


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("strid", "`strid`: there is no such topic; did you mean stride?"),
        ("colours", "`colours`: there is no such topic; there are: stride, padding, "),
        ("stride padding", "a quiz has one topic, or none for a mix. Received: stride padding"),
        ("stride --seed=3", "`--seed=3`: there is no such option; settings are key=value, as seed=3"),
        ("seed=three", "`seed` must be an integer. Received: seed='three'"),
        ("seed=-1", "`seed` must be at least 0. Received: seed=-1"),
        ("seed=2024-13-45", "`seed` has a value that cannot be read. Received: seed=2024-13-45"),
        ("questions=0", "`questions` must be at least 1. Received: questions=0"),
        ("questions=101", "`questions` must be at most 100. Received: questions=101"),
        ("question=3", "`question`: unknown key; did you mean questions"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(command, words, message):
    code, out, err = command(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
