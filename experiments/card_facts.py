"""The facts of a run's model card: from its record in the store, its report, and the test images."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import UserError
from ..models import registry
from ..reporting.accuracy_table import COPY_KINDS
from ..reporting.model_card import ModelCard, Paper, TestData
from ..settings.rules import decides_result
from ..settings.schema import Schema, parse
from ..settings.text import has_only_text
from ..tracking import DEFAULT_EXPERIMENT, results

if TYPE_CHECKING:
    from ..evaluation.exports import ExportCheck
    from ..reporting.run_report import RunReport
    from ..tracking.results import RecordedSplit, Result
    from ..tracking.run import RecordedRun

_AXES = ("stride", "dropout", "input_dropout")
_BACKENDS = ("jax", "torch")  # besides TensorFlow, the default
_HASH = re.compile("[0-9a-f]{16}")
_WORD = re.compile(r"~?[A-Za-z][\w./@:-]*(=.*)?")
_RESOLVED = ("precision", "batch_size")  # their value `auto` depends on the machine


class _RecordedPaper(Schema):
    """The part `model.paper` of a run's config."""

    title: str | None = None
    year: int | None = None
    arxiv: str | None = None
    url: str | None = None


def gather_facts(
    run: RecordedRun, settings: Mapping[str, Any], report: RunReport, export: ExportCheck | None = None
) -> ModelCard:
    """Gather the facts of a run's model card.

    Args:
        run: the recorded run.
        settings: its config, which may be a stranger's.
        report: of its network, on its test images.
        export: an exported model, compared with the network, or None, the default.
    """
    result, splits = results.read_result(run.client, run.id), results.read_splits(run.client, run.id)
    data, test = report.data, report.data.test
    recorded_data = settings["data"]
    fraction = recorded_data.get("fraction")
    words = results.distinguishing_words(run.client.get_run(run.id).data.tags)
    return ModelCard(
        result=result,
        params=report.plan.params,
        macs=report.plan.macs,
        data=TestData(
            data.name,
            data.source,
            data.class_names,
            test.digest,
            test.x.shape[1:],
            COPY_KINDS.get(test.digest, ""),
            recorded_data.get("resize"),
        ),
        evaluation=report.evaluation,
        calibration=report.calibration,
        robustness=report.shift_robustness,
        paper=_read_paper(settings),
        axes=_read_axes(settings),
        changes=None if words is None else [word for word in words if word.lstrip("~").startswith("model.")],
        splits=splits,
        fraction=fraction if isinstance(fraction, float) and 0 < fraction <= 1 else None,
        command=make_command(result, settings, splits, words),
        seed_accuracies=_read_seed_accuracies(run, result),
        input_dtype=report.network.model.input.dtype,
        loss=report.network.loss,
        export=export,
    )


def make_command(
    result: Result, settings: Mapping[str, Any], splits: Sequence[RecordedSplit], words: Sequence[str] | None
) -> str | None:
    """Return the command that trains a network again, or None if the run has not recorded its words.

    What the record has of this machine, such as the folder of the images, is left as `…`.

    Args:
        result: the record of the run.
        settings: its config.
        splits: the parts of the data set that it has recorded.
        words: those that distinguish the run in its study, `key=value`, or None.
    """
    model, seed = result.params.get("model"), result.params.get("seed")
    if words is None or not model or not seed:
        return None
    if not all(map(_is_word, [*words, f"model={model}", f"seed={seed}"])):
        return None
    study = settings.get("study", DEFAULT_EXPERIMENT)
    chosen = {key: value for key in _RESOLVED if (value := result.params.get(key))}
    by_key = {word.partition("=")[0]: word for word in words}
    for key, value in chosen.items():
        if by_key.get(key) == f"{key}=auto" or key == "precision":  # whose default is `auto`
            by_key[key] = f"{key}={value}"
    if "weights" in by_key and not by_key["weights"].startswith("weights=run:"):
        by_key["weights"] = "weights=…"
    folder = [] if model in registry.names() else ["--config-dir=…"]
    line = ["python", "train.py", *folder, f"model={model}", *map(_restore_plus, by_key.values()), f"seed={seed}"]
    if isinstance(study, str) and study != DEFAULT_EXPERIMENT:
        line.append(f"study={study}")
    if settings["data"].get("directory") or settings["data"]["source"] == "files":
        line.append("data.directory=…")
    if any(split.name.startswith("test_") for split in splits):
        line.append("data.extra_tests=[…]")
    if settings.get("allow"):
        line.append("allow=[…]")
    backend = result.environment.get("backend")
    return f"{f'KERAS_BACKEND={backend} ' if backend in _BACKENDS else ''}{shlex.join(line)}"


def _is_word(word: str) -> bool:
    """Return whether a recorded word is a setting that decides a result; a stranger's may be anything."""
    return _WORD.fullmatch(word) is not None and has_only_text(word) and decides_result(word.partition("=")[0])


def _restore_plus(word: str) -> str:
    """Return a word that Hydra takes for a new key too: words are recorded without their `+`."""
    key = word.partition("=")[0]
    return f"++{word}" if key.startswith(("model.", "recipe.")) and "=" in word else word


def _read_paper(settings: Mapping[str, Any]) -> Paper | None:
    model = settings.get("model")
    stated = model.get("paper") if isinstance(model, dict) else None
    try:
        paper = parse(_RecordedPaper, stated, "config.yaml: model.paper")
    except UserError:
        return None
    return Paper.from_config(paper.title, paper.year, paper.arxiv, paper.url)


def _read_axes(settings: Mapping[str, Any]) -> dict[str, str]:
    pooling = settings.get("pooling")
    axes = {"pooling": pooling.get("kind")} if isinstance(pooling, dict) else {}
    axes |= {key: settings.get(key) for key in _AXES}
    return {key: str(value) for key, value in axes.items() if isinstance(value, int | float | str)}


def _read_seed_accuracies(run: RecordedRun, result: Result) -> dict[str, float]:
    """Return the test accuracy by seed of the finished runs that differ from a run in their seed alone."""
    if not _HASH.fullmatch(result.cell):
        return {}
    where = f"attributes.status = 'FINISHED' and tags.cell = '{result.cell}'"
    alike = [each for each in results.search(run.client, run.experiment_id, where) if each.origin == result.origin]
    accuracies = {
        each.params["seed"]: each.metrics["test_accuracy"]
        for each in [*alike, result]
        if "seed" in each.params and 0 <= each.metrics.get("test_accuracy", -1) <= 1
    }
    return dict(sorted(accuracies.items(), key=lambda item: (len(item[0]), item[0])))
