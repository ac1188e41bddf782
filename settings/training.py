"""The settings of train.py: names, types, defaults, ranges, and which of them go together."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from .ablation import NOTHING, part_name
from .data import DataSettings
from .recipe import RecipeSettings, is_number
from .rules import NAME_RULE, explain_unknown_key, is_name
from .schema import Settings, rule

Views = Literal["none", "flip", "translate"]
_LARGEST_INT = 2**32 - 1
_FIGURE_FILES = (".png", ".svg", ".pdf")
_FIGURE_RULE = "the name of a .png, .svg or .pdf file"


def _is_figure_file(value: object) -> bool:
    return isinstance(value, str) and value.endswith(_FIGURE_FILES)


def _is_batch_size(value: object) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return value == "auto"
    return 1 <= value <= _LARGEST_INT


_OWN_RECIPE_KEYS = [f"model.recipe.{key}" for key in RecipeSettings.model_fields]


class PoolingSettings(Settings):
    """The pooling kind that fills the sites."""

    kind: Any
    row: Any


class CheckpointSettings(Settings):
    """The folder of checkpoints, and how often they are saved."""

    directory: Annotated[str, rule(lambda v: isinstance(v, str) and v.strip() != "", "a folder")] = Field(
        "checkpoints", description="has a folder for each run, removed when the run is done"
    )
    seconds: float = Field(30, ge=0, description="the least time between two checkpoints; a signal saves one at once")
    days: Annotated[
        float | None, rule(lambda v: v is None or (is_number(v) and v >= 0), "a number of days, or null")
    ] = Field(
        30,
        description="when a run starts, checkpoints are removed that no run resumed for so long; null: never. Each "
        "start of a run counts for at most a tenth of it, so that no wrong clock removes any",
    )


class TrackingSettings(Settings):
    """The store of the runs."""

    uri: Annotated[str, rule(lambda v: isinstance(v, str), "sqlite:///file or the address of a server")] = Field(
        "sqlite:///mlflow.db", description="sqlite:///FILE or an MLflow server; the commands take MLFLOW_TRACKING_URI"
    )
    artifacts: Literal["full", "light"] = Field(
        "full", description="light: no model and no figures; default in studies"
    )


class TrainSettings(Settings):
    """All settings of a training."""

    model: Any = Field(description="the network: its name and its layers")
    pooling: PoolingSettings = Field(description="the pooling layer that fills every site")
    stride: Any = Field(examples=["paper|N"], description="strides of every site")
    dropout: Any = Field(examples=["paper|RATE"], description="rate of every hidden dropout layer")
    input_dropout: Any = Field(examples=["paper|RATE"], description="rate of the input's dropout layer")
    data: DataSettings
    recipe: RecipeSettings
    ablate: Annotated[str, AfterValidator(part_name)] = Field(
        NOTHING, examples=["nothing|PART"], description="leave out a part of the recipe, such as augmentation.flip"
    )
    weights: Annotated[
        str | None,
        rule(lambda v: v is None or (isinstance(v, str) and v.strip() != ""), "a file, run:ID or run:latest"),
    ] = Field(None, examples=["FILE|run:ID"], description="start from these weights, scaled as their images were")
    freeze: Annotated[
        list[str],
        rule(lambda v: isinstance(v, list) and all(isinstance(p, str) and p for p in v), "a list such as [conv*,bn*]"),
    ] = Field(
        [],
        examples=["[PATTERN]"],
        description="rows that stay as `weights` has them, by name or path, such as conv* or */bn*",
    )
    new_head: bool = Field(False, description="fresh weights for the head although `weights` has as many classes")
    epochs: int = Field(ge=1, le=_LARGEST_INT, description="default: the recipe's")
    batch_size: Annotated[
        int | Literal["auto"], rule(_is_batch_size, f"an integer from 1 to {_LARGEST_INT}, or auto")
    ] = Field(
        examples=["N|auto"],
        description="default: the recipe's; auto: that or the largest power of two below it that fits in memory",
    )
    learning_rate: float = Field(gt=0, description="default: the recipe's")
    seed: int = Field(0, ge=0, le=_LARGEST_INT, description="of weights, batches and augmentation")
    precision: Literal["auto", "float32", "mixed_bfloat16"] = Field("auto", description="number format of the layers")
    select: Literal["last", "best"] = Field("last", description="epoch that is tested; best: on validation")
    test_shift: int = Field(0, ge=0, description="also test images shifted by up to N pixels")
    test_views: Views = Field("none", description="also test the mean over an image's mirror image (and small shifts)")
    test_flip: bool = Field(False, description="the same as test_views=flip")
    metrics: dict[str, Any] = Field(
        {}, examples=["{NAME: {_target_: …}}"], description="further metrics of validation and test"
    )
    on_stall: Literal["warn", "stop"] = Field("warn", description="stop: end a training that does not learn")
    plan: Annotated[
        bool | str,
        rule(
            lambda v: isinstance(v, bool) or v == "json" or _is_figure_file(v),
            f"true, false, json or {_FIGURE_RULE}",
        ),
    ] = Field(False, examples=["true|json|FILE.png"], description="print or draw the plan of the network, and stop")
    show_batch: Annotated[str | None, rule(lambda v: v is None or _is_figure_file(v), _FIGURE_RULE)] = Field(
        None, examples=["FILE.png"], description="draw the first training batch, augmented, and stop"
    )
    lr_range: Annotated[
        bool | str, rule(lambda v: isinstance(v, bool) or _is_figure_file(v), f"true, false or {_FIGURE_RULE}")
    ] = Field(
        False, examples=["true|FILE.png"], description="draw the loss at rising learning rates, suggest one, and stop"
    )
    allow: Any = Field(
        [],
        examples=["[PACKAGE.MODULE.CLASS]"],
        description="layers, optimizers, schedules, augmentations and metrics of your own; only on the command line",
    )
    study: Annotated[str, rule(is_name, NAME_RULE)] = Field("convzoo", description="the MLflow experiment")
    rerun: bool = Field(False, description="repeat runs that the study has already")
    resume: Literal["auto", "never"] = Field("auto", description="never: do not resume from a checkpoint")
    launcher: Any = Field({}, examples=["parallel|slurm|ray"], description="where the runs of a sweep are made")
    checkpoints: CheckpointSettings
    tracking: TrackingSettings
    _overrides: tuple[str, ...] = PrivateAttr(())

    @property
    def overrides(self) -> tuple[str, ...]:
        """The words that the settings were composed from, `key=value`."""
        return self._overrides

    def with_overrides(self, words: tuple[str, ...]) -> "TrainSettings":
        """Return the same settings, composed from these words."""
        copy = self.model_copy()
        copy._overrides = words
        return copy

    @model_validator(mode="after")
    def _check_combinations(self) -> "TrainSettings":
        data = self.data
        own_recipe = self.model.get("recipe") if isinstance(self.model, dict) else None
        for key in own_recipe if isinstance(own_recipe, dict) else ():
            if key not in RecipeSettings.model_fields:
                key = f"model.recipe.{key}"
                raise ValueError(f"`{key}`: unknown key; {explain_unknown_key(key, _OWN_RECIPE_KEYS)}")
        if self.batch_size == "auto" and not (_is_batch_size(size := self.recipe.batch_size) and size != "auto"):
            raise ValueError(
                f"`batch_size=auto` is at most `recipe.batch_size`, which must be a number. "
                f"Received: recipe.batch_size={size}"
            )
        if self.select == "best" and data.validation == 0:
            raise ValueError("`select=best` needs validation images, and `data.validation=0` leaves none")
        smallest = min(data.image_shape[:2])
        if self.test_shift >= smallest:
            raise ValueError(
                f"`test_shift` must be less than the image's {smallest} pixels. Received: test_shift={self.test_shift}"
            )
        self._check_views()
        scales = self.recipe.image_scales
        if len(scales) > self.epochs:
            epochs = f"{self.epochs} epoch{'s' * (self.epochs != 1)}"
            raise ValueError(
                f"`recipe.image_scales` has {len(scales)} entries but there {'is' if self.epochs == 1 else 'are'} only "
                f"{epochs}; use at most one entry per epoch. Received: epochs={self.epochs}"
            )
        if self.recipe.early_stopping and data.validation == 0:
            raise ValueError("`recipe.early_stopping` needs validation images, and `data.validation=0` leaves none")
        self._check_finetuning()
        self.recipe = self.recipe.resolve(self.learning_rate)
        return self

    def _check_finetuning(self) -> None:
        finetuning = self.recipe.finetuning
        if self.weights is None:
            for key, is_set in (
                ("freeze", self.freeze),
                ("new_head", self.new_head),
                ("recipe.finetuning", finetuning),
            ):
                if is_set:
                    raise ValueError(f"`{key}` needs weights to start from: `weights=FILE` or `weights=run:ID`")
        if finetuning and finetuning.head_epochs > self.epochs:
            raise ValueError(
                f"`recipe.finetuning.head_epochs` must be at most `epochs`, which is {self.epochs}. "
                f"Received: recipe.finetuning.head_epochs={finetuning.head_epochs}"
            )

    def _check_views(self) -> None:
        """Check `test_views` and its alias `test_flip`, and set each by the other."""
        if self.test_flip and self.test_views == "translate":
            raise ValueError(
                "`test_flip=true` is the same as `test_views=flip`; leave it out. Received: test_views=translate"
            )
        word = "test_flip=true" if self.test_flip else f"test_views={self.test_views}"
        if self.test_flip:
            self.test_views = "flip"
        self.test_flip = self.test_views == "flip"
        needed = {"none": (), "flip": ("flip",), "translate": ("flip", "shift")}[self.test_views]
        for augmentation in needed:
            if not getattr(self.data.augment, augmentation):
                raise ValueError(
                    f"`{word}` is not allowed for data set `{self.data.name}`: `data.augment.{augmentation}` is false"
                )
