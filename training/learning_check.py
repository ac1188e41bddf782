"""Detection of runs that do not learn, by the metrics of their epochs; it needs no backend."""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from ..settings.schema import Schema

FEW_STEPS = 100

_PROGRESS = 0.02  # of the way from the baseline's loss to the lowest loss; less is no progress
_CLEAR_PROGRESS = 0.1  # more shows that the network has learned
_MARGIN = 0.05  # accuracy above chance, as a share of the distance to 1, that alone does not count as learning
_DIVERGED = 2.0  # times the baseline's loss: a few correct answers do not save such a network
_DIVERGED_MARGIN = 0.2
_SIGMAS = 3.0  # of the binomial error of an accuracy
_MIN_EPOCHS = 2
_COLLAPSED_PART = 0.1  # of all steps, without progress, before a network that had learned counts as stalled
_PLATEAU_PART = 0.25  # the same before one that has not learned yet does
_LONGEST_PLATEAU = 2000  # steps that are enough for that in any case
_MIN_STEPS = 300  # before them a network that has not learned yet may just be slow


@dataclasses.dataclass(frozen=True)
class Baseline:
    """Results of a network that ignores the images and knows the frequency of each class.

    Attributes:
        images: number of images.
        accuracy: share of the most frequent class.
        loss: cross-entropy in nats of the class frequencies.
        lowest_loss: cross-entropy of a perfect network; above 0 with label smoothing and with mixed labels.
    """

    images: int
    accuracy: float
    loss: float
    lowest_loss: float = 0.0

    @classmethod
    def from_labels(cls, labels: np.ndarray, classes: int, label_smoothing: float = 0.0) -> "Baseline":
        """Return the baseline of a part of a data set.

        Args:
            labels: integers below `classes`, shape (n,), or distributions of shape (n, classes).
            classes: number of classes.
            label_smoothing: as in a recipe; default 0.

        Example:
            >>> Baseline.from_labels(np.array([0, 0, 0, 1]), 2).accuracy
            0.75
            >>> mixed = Baseline.from_labels(np.array([[0.5, 0.5], [1.0, 0.0]]), 2)
            >>> round(mixed.loss, 3), round(mixed.lowest_loss, 3)
            (0.562, 0.347)
        """
        is_soft = labels.ndim == 2
        counts = np.bincount(labels.argmax(1) if is_soft else labels, minlength=classes)
        shares = labels.mean(0) if is_soft else counts / len(labels)
        targets = labels if is_soft else np.eye(1, classes)
        loss = _entropy((1 - label_smoothing) * shares + label_smoothing / classes)
        lowest = _entropy((1 - label_smoothing) * targets + label_smoothing / classes) / len(targets)
        return cls(len(labels), float(counts.max() / len(labels)), loss, lowest)

    def is_beaten(self, accuracy: float, margin: float) -> bool:
        """Return whether an accuracy is above this one, by more than chance and `margin` of the distance to 1."""
        error = math.sqrt(self.accuracy * (1 - self.accuracy) / self.images)
        return accuracy > self.accuracy + max(_SIGMAS * error, margin * (1 - self.accuracy))


@dataclasses.dataclass(frozen=True)
class TrainingLength:
    """Length of a training.

    Attributes:
        epochs: number of epochs.
        steps: number of steps per epoch.
        warmup: fraction of the training in which the learning rate rises.
    """

    epochs: int
    steps: int
    warmup: float = 0.0

    @property
    def total(self) -> int:
        """Number of steps of all epochs."""
        return self.epochs * self.steps


class LearningState(Schema):
    """State of a `LearningCheck` after some epochs; a checkpoint holds it, so that a resumed run is judged alike.

    Attributes:
        epochs: number of epochs so far.
        has_learned: whether an epoch made clear progress.
        idle_epochs: epochs without progress up to now, without those of the warm-up.
        warned: whether the warning was printed.
        stopped: whether the training ends early.
    """

    epochs: int = 0
    has_learned: bool = False
    idle_epochs: int = 0
    warned: bool = False
    stopped: bool = False


class LearningCheck:
    """Check of a training, epoch by epoch: warns once, or stops the training, if the network does not learn.

    An epoch makes no progress if its accuracies are at chance and its loss is at least that of the `Baseline`. Epochs
    of the warm-up are not judged. A network that had learned stalls after a tenth of all steps without progress, one
    that never did after a quarter, but not in its first 300 steps, and one with a dead layer after two epochs.

    Args:
        baselines: a `Baseline` by part: `train`, and `val` where there is a validation part.
        length: length of the training.
        learning_rate: the highest rate, for the advice.
        loss_part: the part whose loss is a plain cross-entropy, by default "train"; None judges by accuracy alone, for
            a network with a loss of its own.
        on_stall: "warn" (default) or "stop".

    Attributes:
        state: a `LearningState`.
        reason: after `finish`, the reason why the run counts as one that does not learn, a sentence without a full
            stop; None if it has learned.
    """

    def __init__(
        self,
        baselines: dict[str, Baseline],
        length: TrainingLength,
        learning_rate: float,
        loss_part: str | None = "train",
        on_stall: str = "warn",
    ):
        self.baselines = baselines
        self.length = length
        self.learning_rate = learning_rate
        self.loss_part = loss_part
        self.on_stall = on_stall
        self.state = LearningState()
        self.reason: str | None = None

    def add_epoch(self, metrics: dict[str, float], find_dead_layer: Callable[[], str | None]) -> None:
        """Judge the next epoch; print the warning if it is due.

        Args:
            metrics: metrics of the epoch: `train_loss`, `train_accuracy` and, with validation, `val_loss` and
                `val_accuracy`.
            find_dead_layer: returns the name of a dead layer, or None. It is called only in epochs without progress.
        """
        state = self.state
        start = state.epochs * self.length.steps
        state.epochs += 1
        if not self.is_not_learning(metrics):
            state.idle_epochs = 0
            state.has_learned = state.has_learned or self._is_clear_progress(metrics)
        elif start >= self.length.warmup * self.length.total:
            state.idle_epochs += 1
        if state.warned or state.idle_epochs < _MIN_EPOCHS:
            return
        dead_layer = find_dead_layer()
        if not dead_layer and not self._is_patience_over():
            return
        state.warned = True
        state.stopped = self.on_stall == "stop"
        when = f"after epoch {state.epochs} of {self.length.epochs}"
        consequence = ". Training stops here (on_stall=stop)" if state.stopped else ""
        description = f"{self._describe(metrics, dead_layer)}; {self._remedy(metrics, dead_layer)}"
        print(f"warning: the network does not learn: {when} {description}{consequence}", flush=True)

    def finish(self, metrics: dict[str, float], find_dead_layer: Callable[[], str | None]) -> None:
        """Judge a training that has ended: set `reason`, and print the warning if it was not printed before.

        Args:
            metrics: metrics of the epoch whose weights are the result.
            find_dead_layer: as for `add_epoch`.
        """
        if not self.is_not_learning(metrics):
            return
        dead_layer = find_dead_layer()
        state = self.state
        reason = f"training ended with {self._describe(metrics, dead_layer)}"
        if not state.warned:
            state.warned = True
            remedy = self._remedy(metrics, dead_layer)
            print(f"warning: the network did not learn: {reason}; {remedy}", flush=True)
        if state.stopped:
            reason += f"; on_stall=stop ended it after epoch {state.epochs} of {self.length.epochs}"
        elif self.length.total < FEW_STEPS:
            reason += f"; it had {_count(self.length.total, 'step')} in all"
        self.reason = reason

    def is_not_learning(self, metrics: dict[str, float]) -> bool:
        """Return whether an epoch's metrics are no better than those of a network that ignores the images."""
        margin = 0.0
        if self.loss_part:
            baseline, loss = self.baselines[self.loss_part], metrics[f"{self.loss_part}_loss"]
            if self._progress(loss) > _PROGRESS:
                return False
            margin = _DIVERGED_MARGIN if loss > _DIVERGED * baseline.loss else _MARGIN
        return all(
            baseline.accuracy < 1 and not baseline.is_beaten(metrics[f"{part}_accuracy"], margin)
            for part, baseline in self.baselines.items()
        )

    def _is_clear_progress(self, metrics: dict[str, float]) -> bool:
        if self.loss_part:
            return self._progress(metrics[f"{self.loss_part}_loss"]) > _CLEAR_PROGRESS
        return self.baselines["train"].is_beaten(metrics["train_accuracy"], _CLEAR_PROGRESS)

    def _progress(self, loss: float) -> float:
        """Return the part of the way from the baseline's loss to the lowest loss."""
        assert self.loss_part
        baseline = self.baselines[self.loss_part]
        return (baseline.loss - loss) / max(baseline.loss - baseline.lowest_loss, 1e-9)

    def _is_patience_over(self) -> bool:
        """Return whether a network without a dead layer has made no progress for too long."""
        idle_steps = self.state.idle_epochs * self.length.steps
        steps = self.state.epochs * self.length.steps
        if self.state.has_learned:
            return idle_steps >= _COLLAPSED_PART * self.length.total
        return steps >= _MIN_STEPS and idle_steps >= min(_PLATEAU_PART * self.length.total, _LONGEST_PLATEAU)

    def _describe(self, metrics: dict[str, float], dead_layer: str | None) -> str:
        of_network = [f"training accuracy {metrics['train_accuracy']:.2%}"]
        of_baseline = [f"{self.baselines['train'].accuracy:.2%}"]
        if self.loss_part:
            name = {"train": "training", "val": "validation"}[self.loss_part]
            of_network.append(f"{name} loss {metrics[f'{self.loss_part}_loss']:.4g}")
            of_baseline.append(f"{self.baselines[self.loss_part].loss:.4g}")
        ignores = f"a network that ignores the images has {' and '.join(of_baseline)}"
        dead = f"; every output of layer `{dead_layer}` is 0" if dead_layer else ""
        return f"{' and '.join(of_network)}, {ignores}{dead}"

    def _remedy(self, metrics: dict[str, float], dead_layer: str | None) -> str:
        lower = f"learning_rate={self.learning_rate / 4:.2g}"
        if dead_layer:
            return f"try a lower rate ({lower}) or another kernel_initializer"
        if self.loss_part and metrics[f"{self.loss_part}_loss"] > _DIVERGED * self.baselines[self.loss_part].loss:
            return f"try a lower rate ({lower})"
        return f"try a longer training (epochs={2 * self.length.epochs}), another rate ({lower}) or kernel_initializer"


def warn_if_short(length: TrainingLength) -> None:
    """Print a warning, once in a process, if a training has too few steps for most networks to learn."""
    if length.total < FEW_STEPS:
        _print_once(
            f"warning: {_count(length.total, 'step')} in all ({_count(length.epochs, 'epoch')} of "
            f"{_count(length.steps, 'step')}); most networks need some hundreds to learn"
        )


@functools.cache  # a sweep would repeat it for each run
def _print_once(line: str) -> None:
    print(line, flush=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _entropy(shares: np.ndarray) -> float:
    """Return the entropy of a distribution, or the sum of those of several, in nats."""
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())
