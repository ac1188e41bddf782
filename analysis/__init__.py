"""What recorded numbers say, and pictures of it."""

METRIC = "test_accuracy"
SHARES = (METRIC, "test_shift_consistency")  # what a study compares, where it was measured
