"""The settings of a quiz: names, types, defaults and ranges."""

from pydantic import Field

from .schema import Settings

MIX = "mix"  # of all topics


class QuizSettings(Settings):
    """All settings of a quiz."""

    topic: str = Field(MIX, description="name of a topic, as stride; typed without a key")
    seed: int | None = Field(None, ge=0, description="the same seed asks the same questions; default: a new one")
    questions: int = Field(5, ge=1, le=100, description="number of questions; default: 5")
