"""`python -m convzoo.quiz TOPIC`: exercises on shapes, parameters and receptive fields, and their answers."""

import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from .. import UserError
from ..settings.quiz import MIX, QuizSettings
from ..settings.schema import parse_settings
from ..settings.terminal import safe_output
from ..settings.text import clip, did_you_mean, find_near_words, fold
from ..training import backend
from .quiz_questions import SHAPE, Question
from .quiz_topics import TOPICS, draw_questions
from .words import parse_setting

COMMAND = "python -m convzoo.quiz"
USAGE = f"""usage: {COMMAND} [TOPIC] [seed=N] [questions=N]
       {COMMAND} list              lists the topics

Asks for shapes, parameters and receptive fields of layers. After each answer it
prints the value that the layer has, and the calculation. Without a topic it
asks a mix.

Write an answer as 16, 16x16, 16×16, 16, 16 or (16, 16). One number stands for
both height and width. An empty line skips the question. Ctrl-D ends the quiz.

Settings:
"""
WIDTH = 80  # columns
_NEW_SEEDS = 10_000
_INTERRUPTED = 130  # 128 + SIGINT


@dataclass
class Score:
    """The answers of a quiz, counted."""

    right: int = 0
    wrong: int = 0
    skipped: int = 0

    def describe(self, questions: int) -> str:
        """Return a line on the score, of a quiz of so many questions."""
        total = self.right + self.wrong + self.skipped
        if not total:
            return "score: no question answered"
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        remaining = f"; {questions - total} not answered" if questions > total else ""
        return f"score: {self.right} of {total} right{skipped}{remaining}"


def run_command() -> None:
    """Ask a quiz. A mistake is printed in one line with exit code 2; Ctrl-C exits with 130."""
    with safe_output():
        try:
            run(sys.argv[1:])
        except UserError as error:
            from .command import exit_with  # which takes seconds to import

            exit_with(str(error))
        except KeyboardInterrupt as interrupt:
            print("stopped", file=sys.stderr)
            sys.exit(getattr(interrupt, "exit_code", _INTERRUPTED))


def run(words: Sequence[str]) -> None:
    """Ask the quiz that the words of the command line describe, list the topics or print the help.

    Raises:
        UserError: a word, a setting or the topic is wrong.
    """
    if {"-h", "--help"} & {*words}:
        print(USAGE + _describe_settings())
    elif "list" in words:
        print(describe_topics())
    else:
        settings = _read_words(words)
        seed = random.randrange(_NEW_SEEDS) if settings.seed is None else settings.seed
        _start_backend(settings.topic)
        _ask_all(settings, seed)


def describe_topics() -> str:
    """Return a line for each topic: its name and what it asks."""
    summaries = {name: topic.summary for name, topic in TOPICS.items()} | {MIX: "all of these; the default"}
    width = max(map(len, summaries))
    return "\n".join(f"{name:{width}}  {summary}" for name, summary in summaries.items())


def _describe_settings() -> str:
    fields = QuizSettings.model_fields.items()
    return "\n".join(f"  {name:<10} {field.description}" for name, field in fields if name != "topic")


def _read_words(words: Sequence[str]) -> QuizSettings:
    values: dict[str, object] = {}
    for word in words:
        if word.startswith("-"):
            raise UserError(f"`{word}`: there is no such option; settings are key=value, as seed=3")
        key, value = parse_setting(word) if "=" in word else ("topic", word)
        if key == "topic" and key in values:
            raise UserError(f"a quiz has one topic, or none for a mix. Received: {values[key]} {word}")
        values[key] = value
    settings = parse_settings(QuizSettings, values)
    if settings.topic not in (MIX, *TOPICS):
        hint = did_you_mean(find_near_words(settings.topic, [*TOPICS, MIX])) or f"there are: {', '.join(TOPICS)}"
        raise UserError(f"`{settings.topic}`: there is no such topic; {hint}")
    return settings


def _start_backend(name: str) -> None:
    if loading := backend.describe_loading():
        print(f"{name}{loading}", file=sys.stderr, flush=True)
    backend.start("float32")


def _ask_all(settings: QuizSettings, seed: int) -> None:
    """Ask the questions, and print the score however the quiz ends."""
    count = settings.questions
    print(f"{settings.topic}: {count} question{'s' if count > 1 else ''}, seed={seed}")
    print("Answer as 16, 16×16 or (16, 16). An empty line skips, Ctrl-D ends the quiz.")
    lines, score = _read_lines(), Score()
    try:
        for number, (topic, question) in enumerate(islice(draw_questions(settings.topic, seed), count), 1):
            print(f"\nQuestion {number} of {count}, {topic}")
            print(_indent(*question.facts, question.text))
            if not _ask(question, lines, score):
                break
    finally:
        print(f"\n{score.describe(count)}")
        length = f" questions={count}" if count != QuizSettings.model_fields["questions"].default else ""
        print(f"repeat: {COMMAND} {settings.topic} seed={seed}{length}", flush=True)


def _ask(question: Question, lines: Iterator[str], score: Score) -> bool:
    """Read an answer and mark it; returns False at the end of the input."""
    count = len(question.answer)
    text = next(lines, None)
    answer = parse_answer(text, count) if text else None
    if text and answer is None:
        print(describe_form(question))
        text = next(lines, None)
        answer = parse_answer(text, count) if text else None
    if text is None:
        return False
    correct = _format_answer(question.answer)
    if answer == question.answer:
        score.right += 1
        print(f"right: {correct}")
    elif answer is not None:
        score.wrong += 1
        print(f"wrong: {_format_answer(answer)}; correct: {correct}")
    else:
        score.skipped += 1
        print(f"skipped{', it cannot be read' if text else ''}; correct: {correct}")
    print(_indent(question.rule, *map(str, question.steps)))
    return True


def _read_lines() -> Iterator[str]:
    """Yield the lines of the standard input without spaces around them, until it ends.

    What does not come from a terminal is printed, so that the output reads as in a terminal.
    """
    stream = sys.stdin
    if stream is None:  # closed by the shell
        return
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            print()
            return
        if not stream.isatty():
            print(clip(line, WIDTH // 2))
        yield line


def parse_answer(text: str, count: int) -> tuple[int, ...] | None:
    """Parse the numbers of an answer.

    Args:
        text: as typed.
        count: of the numbers. One number may stand for two alike.

    Returns:
        The numbers; None if the text is no such answer.

    Example:
        >>> parse_answer("(16, 16)", 2), parse_answer("16", 2), parse_answer("1,216", 1)
        ((16, 16), (16, 16), (1216,))
    """
    text = text.strip()
    if text[:1] + text[-1:] in ("()", "[]"):
        text = text[1:-1].strip()
    text = re.sub(r"^None\s*,\s*", "", text)  # the batch axis, as Keras prints it
    if count == 1 and re.fullmatch(r"\d{1,3}([, ]\d{3})+", text):
        text = re.sub(r"[, ]", "", text)
    parts = re.split(r"\s*[x×*,]\s*|\s+", text.lower().removesuffix(","))
    if not all(re.fullmatch(r"\d{1,12}", part) for part in parts):
        return None
    numbers = tuple(map(int, parts))
    if count == 2 and len(numbers) == 1:
        numbers *= 2
    return numbers if len(numbers) == count else None


def describe_form(question: Question) -> str:
    """Return a line on how to write the answer of a question."""
    form = {1: "one whole number, as 16", 2: "height×width, as 16×16 or 16"}.get(
        len(question.answer), f"{SHAPE}, as 16×16×8"
    )
    return f"This cannot be read. Write {form}; an empty line skips."


def _format_answer(numbers: Sequence[int]) -> str:
    return "×".join(f"{number:,}" for number in numbers)


def _indent(*texts: str) -> str:
    return "\n".join(fold(f"  {line}", WIDTH, "  ") for text in texts for line in text.split("\n"))
