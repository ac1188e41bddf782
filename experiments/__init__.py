"""Runs: what `train.py` and `evaluate.py` do, in functions that can be imported."""
