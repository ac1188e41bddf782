"""An outbox: what a run records is written to a journal first, then sent to MLflow."""
