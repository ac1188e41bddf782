"""Exercises to `docs/chapter.md`, marked by the layers themselves: `python -m convzoo.quiz stride`."""

from convzoo.cli.run_quiz import run_command

if __name__ == "__main__":
    run_command()
