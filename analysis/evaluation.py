"""What a classifier does on a split, class by class."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

from .statistics import accuracy_interval


@dataclass(frozen=True)
class Evaluation:
    """Scores of a split held against its labels.

    Attributes:
        loss: mean cross-entropy, in nats.
        confusion: counts, shape (classes, classes); row is the true class, column what was predicted.
        top5_accuracy: share of images whose class is among the five highest scores; None with ten classes or
            fewer, where it is next to one.
    """

    loss: float
    confusion: np.ndarray
    top5_accuracy: float | None

    @property
    def correct(self):
        return int(np.trace(self.confusion))

    @property
    def total(self):
        return int(self.confusion.sum())

    @property
    def accuracy(self):
        return self.correct / self.total

    @property
    def interval(self):
        """95 % interval of the accuracy over the sampling of images."""
        return accuracy_interval(self.correct, self.total)

    @property
    def metrics(self):
        """The numbers by name: `loss`, `accuracy` and, where it means something, `top5_accuracy`."""
        named = {"loss": self.loss, "accuracy": self.accuracy, "top5_accuracy": self.top5_accuracy}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def per_class(self):
        """Accuracy among the images of each class."""
        return np.diag(self.confusion) / self.confusion.sum(axis=1)

    def table(self, class_names):
        """A line a class: its name, its images, its accuracy, and what it is most often taken for."""
        width = max(map(len, class_names))
        lines = []
        for row, name in enumerate(class_names):
            wrong = self.confusion[row].copy()
            wrong[row] = 0
            mistaken = f"  {wrong.max()} taken for {class_names[wrong.argmax()]}" if wrong.any() else ""
            total = self.confusion[row].sum()
            lines.append(f"{name:<{width}}  {total:>6,} images  {self.per_class[row]:>7.2%}{mistaken}")
        return "\n".join(lines)

    def __str__(self):
        low, high = self.interval
        top5 = "" if self.top5_accuracy is None else f", top-5 {self.top5_accuracy:.2%}"
        interval = f"95 % interval {low:.2%} to {high:.2%}"
        return f"test accuracy {self.accuracy:.2%}, {interval} ({self.total:,} images){top5}"


def evaluate(scores, labels):
    """The `Evaluation` of class scores, shape (n, classes), larger is better, against labels, shape (n,)."""
    images, classes = scores.shape
    loss = -log_softmax(scores, axis=1)[np.arange(images), labels].mean()
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, scores.argmax(axis=1)), 1)
    above = (scores > scores[np.arange(images), labels][:, None]).sum(axis=1)
    return Evaluation(float(loss), confusion, float((above < 5).mean()) if classes > 10 else None)
