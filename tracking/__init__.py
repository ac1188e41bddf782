"""Runs in MLflow: what is recorded, under which name and identity, and how it is found again."""
