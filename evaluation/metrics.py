"""Loss, accuracy and confusion matrix of a classifier on a split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from .statistics import accuracy_interval

Predict = Callable[[np.ndarray], np.ndarray]  # images (n, height, width, channels) to class scores (n, classes)


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a classifier on a split.

    Attributes:
        loss: mean cross-entropy, in nats.
        confusion: counts, shape (classes, classes); row is the true class, column the predicted one.
        top5_accuracy: share of images whose class is among the five highest scores; None with at most ten classes,
            where it is close to one.
    """

    loss: float
    confusion: np.ndarray
    top5_accuracy: float | None

    @property
    def correct(self) -> int:
        """Number of images that are classified correctly."""
        return int(np.trace(self.confusion))

    @property
    def total(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of images that are classified correctly."""
        return self.correct / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval (low, high) of the accuracy over samples of test images."""
        return accuracy_interval(self.correct, self.total)

    @property
    def metrics(self) -> dict[str, float]:
        """Mapping with `loss`, `accuracy` and, with more than ten classes, `top5_accuracy`."""
        named = {"loss": self.loss, "accuracy": self.accuracy, "top5_accuracy": self.top5_accuracy}
        return {name: value for name, value in named.items() if value is not None}

    @property
    def per_class(self) -> np.ndarray:
        """Accuracy on the images of each class, shape (classes,)."""
        return np.diag(self.confusion) / self.confusion.sum(axis=1)

    def format_table(self, class_names: Sequence[str]) -> str:
        """Format a line for each class: name, number of images, accuracy, and the most frequent wrong prediction."""
        width = max(map(len, class_names))
        lines = []
        for row, name in enumerate(class_names):
            wrong = self.confusion[row].copy()
            wrong[row] = 0
            mistaken = f"  {wrong.max()} taken for {class_names[wrong.argmax()]}" if wrong.any() else ""
            total = self.confusion[row].sum()
            lines.append(f"{name:<{width}}  {total:>6,} images  {self.per_class[row]:>7.2%}{mistaken}")
        return "\n".join(lines)

    def describe(self, name: str = "test") -> str:
        """Describe accuracy, its interval and the number of images in a line that starts with the name of the split."""
        low, high = self.interval
        top5 = "" if self.top5_accuracy is None else f", top-5 {self.top5_accuracy:.2%}"
        interval = f"95 % interval {low:.2%} to {high:.2%}"
        return f"{name} accuracy {self.accuracy:.2%}, {interval} ({self.total:,} images){top5}"

    def __str__(self) -> str:
        return self.describe()


def evaluate(scores: np.ndarray, labels: np.ndarray) -> Evaluation:
    """Compute the metrics of class scores.

    Args:
        scores: logits of the classes, shape (n, classes).
        labels: integers, shape (n,).

    Example:
        >>> print(evaluate(np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([0, 1])))
        test accuracy 50.00%, 95 % interval 9.45% to 90.55% (2 images)
    """
    images, classes = scores.shape
    loss = -scipy.special.log_softmax(scores, axis=1)[np.arange(images), labels].mean()
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (labels, scores.argmax(axis=1)), 1)
    above = (scores > scores[np.arange(images), labels][:, None]).sum(axis=1)
    return Evaluation(float(loss), confusion, float((above < 5).mean()) if classes > 10 else None)
