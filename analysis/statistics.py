"""How sure one may be of a number."""

from scipy.stats import binomtest


def accuracy_interval(correct, total, confidence=0.95):
    """Wilson's interval of an accuracy: what sampling the test images leaves open, not what seeds do.

    Args:
        correct: images classified correctly.
        total: images tested.
        confidence: of the interval, in (0, 1).

    Returns:
        (low, high), fractions.

    Reference: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    interval = binomtest(correct, total).proportion_ci(confidence, method="wilson")
    return interval.low, interval.high
