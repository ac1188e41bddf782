"""Previews of a training: a batch of its images, and the loss over a range of learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data import Dataset
    from ..data.batches import Batches
    from ..training.compiled import CompiledModel
    from ..training.finetuning import FineTuning


def save_batch(batches: Batches, data: Dataset, path: str) -> None:
    """Draw the first training batch, with its augmentation, into a file.

    Args:
        batches: of the training.
        data: its images.
        path: of a .png, .svg or .pdf file.
    """
    from ..reporting import plots

    images, labels = batches.batch(0, 0)
    augmentations = [type(each).__name__ for each in batches.augmentations]
    title = f"{data.name}: first training batch, {' + '.join(augmentations) or 'no augmentation'}"
    plots.save_figure(plots.plot_batch(images, labels, data.class_names, title), "show_batch", path)


def find_learning_rate(
    model: CompiledModel, batches: Batches, settings: Mapping[str, Any], path: str, tuning: FineTuning | None = None
) -> float | None:
    """Train at rising learning rates, draw the loss into a file, and suggest a rate.

    Args:
        model: with the weights that the training starts from; it is trained.
        batches: of the training.
        settings: the checked settings.
        path: of a .png, .svg or .pdf file.
        tuning: the layers to train: those of the last epoch, at their rates; default None: all.

    Returns:
        The suggested rate; None if the loss never fell.
    """
    from ..reporting import plots
    from ..training import lr_range
    from ..training.optimizers import make_optimizer

    recipe = settings["recipe"]
    rates = lr_range.learning_rates(settings["learning_rate"])
    factor = None
    if tuning:
        tuning.set_trainable(model.model, settings["epochs"] - 1)
        factor = tuning.rate_factor if tuning.body_rate != 1 else None
    optimizer = make_optimizer(recipe, lr_range.make_range_schedule(rates), len(rates), factor)
    step = model.make_step(optimizer, recipe["label_smoothing"])

    def train() -> Iterator[float]:
        epoch = 0
        while True:
            for batch in batches.epoch(epoch):
                [(loss, _)] = step.train_on_batches(step.stack(batch))
                yield loss
            epoch += 1

    outcome = lr_range.run_range_test(train(), rates)
    title = f"{model.model.name}: loss over {len(outcome.rates)} steps at rising learning rates"
    figure = plots.plot_learning_rates(outcome.rates, outcome.losses, outcome.smoothed, outcome.suggested, title)
    plots.save_figure(figure, "lr_range", path)
    if outcome.suggested is None:
        print("no learning rate is suggested: the loss did not fall at any of these")
    else:
        print(f"suggested: learning_rate={outcome.suggested:.2g}")
    return outcome.suggested
