"""What a run records of its test: of the pictures as they are, shifted and mirrored."""

import numpy as np

from . import shift
from .evaluation import evaluate


def measured(scores, split, most=0, flip=False):
    """Looks at a split, and again as it is asked.

    Args:
        scores: callable, uint8 images to class scores (n, classes), larger is better.
        split: images `x`, shape (n, height, width, channels), and labels `y`.
        most: pixels of two random circular shifts of each image, the same for every network; 0 shifts none.
        flip: also by the mean of a picture's scores and those of the picture mirrored left to right.

    Returns:
        The `Evaluation` of the pictures as they are, and a mapping of what else was measured: `shift_accuracy`, the
        mean over both shifts, `shift_consistency`, how often they get one class, and `flip_accuracy`.
    """
    seen, beside = scores(split.x), {}
    if most:
        beside["shift_accuracy"], beside["shift_consistency"] = shift.twice(scores, split.x, split.y, most)
    if flip:
        mirrored = scores(np.ascontiguousarray(split.x[:, :, ::-1]))
        beside["flip_accuracy"] = evaluate((seen + mirrored) / 2, split.y).accuracy
    return evaluate(seen, split.y), beside


def told(beside):
    """What else `measured` found as lines."""
    if "shift_accuracy" in beside:
        yield (
            f"under random shifts: accuracy {beside['shift_accuracy']:.2%}, "
            f"the same class twice for {beside['shift_consistency']:.2%} of the images"
        )
    if "flip_accuracy" in beside:
        yield f"by the mean of each picture and its mirror image: accuracy {beside['flip_accuracy']:.2%}"
