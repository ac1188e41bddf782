"""A training in one call."""

from convzoo.training.trainer import Trainer, TrainerCallbacks, TrainerSettings


def fit(model, batches, validation, recipe, *, learning_rate, epochs, select="last", steps=None, **callbacks):
    """Trains a `CompiledModel`; returns the history. `steps` is an `AdaptiveStepsPerExecution`."""
    settings = TrainerSettings(recipe, learning_rate, epochs, select)
    trainer = Trainer(model, batches, validation, settings, TrainerCallbacks(**callbacks))
    if steps:
        trainer.steps_per_execution = steps
    return trainer.fit()
