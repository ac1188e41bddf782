"""The metrics that studies compare."""

METRIC = "test_accuracy"
SHARES = (METRIC, "test_shift_consistency")  # the metrics that every report compares, if its runs have them
_SHARE_ENDINGS = ("accuracy", "consistency")


def is_share(metric: str) -> bool:
    """Return whether a metric is a share from 0 to 1, of which more is better; its differences are shown in points.

    Example:
        >>> is_share("test_flip_accuracy"), is_share("test_loss")
        (True, False)
    """
    return metric.endswith(_SHARE_ENDINGS)
