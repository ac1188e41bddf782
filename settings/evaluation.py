"""The settings of evaluate.py: names, types, defaults, ranges, and which of them go together."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .rules import NAME_RULE, is_name
from .schema import Settings, rule
from .text import has_only_text


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.strip() != "" and has_only_text(value)


def _is_list_of_rows(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_text_or_null(value: object) -> bool:
    return value is None or _is_text(value)


def _is_run_or_null(value: object) -> bool:
    return value in (None, "latest") or (isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None)


def _is_study_or_null(value: object) -> bool:
    if isinstance(value, list):
        return len(value) > 1 and all(map(is_name, value)) and len({*value}) == len(value)
    return value is None or is_name(value)


class EvaluateDataSettings(Settings):
    """The images that a run is tested on."""

    directory: Annotated[str | None, rule(_is_text_or_null, "a folder")] = Field(
        None, description="folder to read images from; a folder that a run recorded is only read if it is stated here"
    )


class EvaluateTrackingSettings(Settings):
    """The store of the runs."""

    uri: Annotated[str, rule(lambda v: isinstance(v, str), "sqlite:///file or the address of a server")] = Field(
        "sqlite:///mlflow.db", description="sqlite:///FILE or an MLflow server; default: MLFLOW_TRACKING_URI"
    )


class EvaluateSettings(Settings):
    """All settings of an evaluation."""

    run: Annotated[
        str | None,
        rule(_is_run_or_null, "latest, or a run's id, 32 hexadecimal digits, as train.py and MLflow show it"),
    ] = Field(None, description="ID of the run, or latest: the finished run that started last")
    image: Annotated[str | None, rule(_is_text_or_null, "the file of an image")] = Field(
        None, description="only classify this image"
    )
    register_as: Annotated[str | None, rule(_is_text_or_null, "a name in the registry")] = Field(
        None, alias="register", description="only put the model into MLflow's model registry, by this name"
    )
    features: Annotated[
        str | None,
        rule(lambda v: v is None or (_is_text_or_null(v) and v.endswith(".npz")), "the name of an .npz file"),
    ] = Field(None, examples=["FILE.npz"], description="only write the outputs of `rows` for the images of `split`")
    rows: Annotated[
        list[str],
        rule(_is_list_of_rows, "a list of names of rows, each once, such as [conv2_x]"),
    ] = Field(
        [],
        examples=["[conv2_x,conv4_x/block1/relu1]"],
        description="rows of the network, those inside others by their path; default: the one before the last",
    )
    split: Literal["train", "validation", "test"] | None = Field(
        None, description="images whose features are written; default: those that FILE is named after, else test"
    )
    export: Literal["saved_model", "onnx", "litert", "openvino", "torch"] | None = Field(
        None, description="only export the model, and compare what was exported with it on `images` test images"
    )
    card: bool = Field(
        False, description="also write a model card in Markdown; with `export`, the card is beside the exported file"
    )
    shift: int = Field(4, ge=0, description="largest shift of the test images, in pixels; 0: none")
    images: int = Field(
        500, ge=1, description="how many are shifted, to (2 shift + 1)² places, or compared after an export"
    )
    border: Literal["circular", "reflect", "zeros"] = Field("circular", description="what a shift moves in")
    image_index: int = Field(0, description="the test image that is followed through the network")
    study: Annotated[str | list[str] | None, rule(_is_study_or_null, f"{NAME_RULE}, or a list of two or more")] = Field(
        None, description="report this study; 'study=[a,b]' compares two"
    )
    table: Literal["latex", "csv", "markdown"] | None = Field(
        None, description="only print the study's table of means and intervals, in this format"
    )
    data: EvaluateDataSettings
    allow: Any = Field([], description="layers of your own, as [package.module.Class]")
    tracking: EvaluateTrackingSettings

    @model_validator(mode="after")
    def _check_combinations(self) -> "EvaluateSettings":
        if (self.run is None) == (self.study is None):
            raise ValueError(
                "`run` or `study` is needed: `run=latest`, `run=ID` as train.py printed it, or `study=NAME`"
            )
        if self.run is None and self.is_partial:
            raise ValueError("`image`, `register`, `features` and `export` need a run: `run=latest` or `run=ID`")
        if self.card and self.run is None:
            raise ValueError("`card=true` needs a run: `run=latest` or `run=ID`")
        if self.card and any(each is not None for each in (self.image, self.register_as, self.features)):
            raise ValueError("`card=true` goes with `export`, but not with `image`, `register` or `features`")
        if self.rows and self.features is None:
            raise ValueError(f"`rows` needs `features=FILE.npz`, which they are written to. Received: rows={self.rows}")
        if self.study is None and self.table is not None:
            raise ValueError("`table` needs a study: `study=NAME`")
        return self

    @property
    def feature_split(self) -> str:
        """The split whose features are written: `split`, or the one that the file is named after, or test."""
        name = Path(self.features or "").stem
        return self.split or (name if name in ("train", "validation") else "test")

    @property
    def is_partial(self) -> bool:
        """True if something else than the report of a test is asked for."""
        return any(each is not None for each in (self.image, self.register_as, self.features, self.export))

    @property
    def is_tested(self) -> bool:
        """True if the report of a test is computed: it is asked for, or a model card needs it."""
        return self.card or not self.is_partial

    @property
    def studies(self) -> list[str]:
        """The studies to report: none, one, or those to compare."""
        return self.study if isinstance(self.study, list) else [] if self.study is None else [self.study]
