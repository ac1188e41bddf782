"""The settings of a recipe: rows of an optimizer, a schedule and augmentations, and what else a training needs."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from .schema import Name, Settings, rule

Row = dict[str, Any]  # the arguments of a class, and `_target_`, its name


def is_number(value: object) -> bool:
    """Return whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_row(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("_target_"), str)


def _are_scales(value: object) -> bool:
    return isinstance(value, list) and all(is_number(v) and 0 < v < 1 for v in value[:-1]) and value[-1:] == [1]


def _are_factors(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and key and is_number(factor) and factor >= 0 for key, factor in value.items()
    )


def _are_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word for word in value)


def _row_rule(group: str, example: str) -> Any:
    return rule(
        _is_row,
        f"a row such as {{_target_: {example}}}; {group}=NAME chooses one of configs/{group}",
    )


def _rows_rule(part: str, example: str) -> Any:
    def check(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must be a mapping from names to rows such as {{_target_: {example}}}")
        for name, row in value.items():
            if row is not None and not _is_row(row):
                raise ValueError(
                    f"`recipe.{part}.{name}` must be a row such as {{_target_: {example}}}, or null. Received: {row!r}"
                )
        return value

    return BeforeValidator(check)


class LookaheadSettings(Settings):
    """Lookahead: every so many steps the weights move part of the way back to slow weights."""

    rate: float = Field(ge=0, lt=1, description="part of the way back at the end of the training; it rises from 0")
    period: int = Field(5, ge=1, description="steps between two updates of the slow weights")


class EarlyStoppingSettings(Settings):
    """Early stopping on validation."""

    patience: int = Field(ge=1, description="epochs without a better validation accuracy after which a training ends")
    min_delta: float = Field(0.0, ge=0, description="least gain that counts as better")


class FinetuningSettings(Settings):
    """Fine-tuning of a network that starts from `weights`. The head is its last layer with weights."""

    head_epochs: int = Field(0, ge=0, description="first epochs, which train the head alone")
    body_rate: float = Field(1.0, ge=0, description="learning-rate multiplier of all layers but the head")


class RecipeSettings(Settings):
    """The recipe of a training. A file of `configs/recipe` states what its paper states; the rest is the default."""

    name: Name
    epochs: Any = Field(description="passes over the training images")
    batch_size: Any = Field(description="images a training step")
    optimizer: Annotated[Row, _row_rule("optimizer", "keras.optimizers.AdamW, learning_rate: 0.001")] = Field(
        description="a Keras optimizer or one of convzoo.training, with its arguments"
    )
    schedule: Annotated[Row, _row_rule("schedule", "convzoo.training.WarmupCosine, warmup: 0.1")] = Field(
        {"_target_": "convzoo.training.Constant"}, description="how the learning rate changes"
    )
    augmentation: Annotated[
        dict[str, Row | None], _rows_rule("augmentation", "convzoo.data.RandomTranslation, pixels: 2")
    ] = Field({}, description="changes of the training images, in this order, where the data set allows them")
    preprocessing: Annotated[
        dict[str, Row | None], _rows_rule("preprocessing", "keras.layers.Rescaling, scale: 0.1")
    ] = Field({}, description="layers before the network, fitted to the training images")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="label smoothing factor (Szegedy 2015)")
    image_scales: Annotated[list[float], rule(_are_scales, "shares of an image's sides, the last of them 1")] = Field(
        [1], description="scales of the images, each for an equal part of the epochs"
    )
    rate_factors: Annotated[dict[str, float], rule(_are_factors, "a mapping from text to numbers of at least 0")] = (
        Field({}, description="learning-rate multipliers by part of a variable's path, as {beta: 64}")
    )
    decay_variables: Annotated[list[str], rule(_are_words, "a list of parts of variables' paths")] = Field(
        ["kernel"], description="parts of the paths of the variables that weight decay touches"
    )
    lookahead: LookaheadSettings | None = Field(None, description="{rate: X, period: N}: Lookahead (Zhang 2019)")
    early_stopping: EarlyStoppingSettings | None = Field(
        None, description="{patience: N}: end after N epochs without a better validation accuracy"
    )
    finetuning: FinetuningSettings | None = Field(
        None, description="{head_epochs: N, body_rate: X}: train the head first, and the body at a lower rate"
    )

    def resolve(self, learning_rate: float) -> "RecipeSettings":
        """Return the recipe as it takes effect: at this learning rate, without the rows that are null."""
        return self.model_copy(
            update={
                "optimizer": {**self.optimizer, "learning_rate": learning_rate},
                "augmentation": {name: row for name, row in self.augmentation.items() if row is not None},
                "preprocessing": {name: row for name, row in self.preprocessing.items() if row is not None},
            }
        )
