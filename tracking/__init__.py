"""Runs in MLflow: what is recorded, under which name and identity, and how it is found again."""

DEFAULT_EXPERIMENT = "convzoo"  # the study of runs that belong to no question: each is made whenever it is asked for
