"""The fit: batches by decision, a line an epoch, the last or the best weights."""

import keras

from .optimizer import make_optimizer, make_schedule
from .progress import Progress

_BATCH = 1000  # images at a time where nothing is learned


def fit(model, batches, validation, recipe, *, learning_rate, epochs, select="last", on_epoch=lambda e, m: None):
    """Trains a model from pictures to class scores.

    Args:
        model: it takes the uint8 pictures of `batches`; trained in place.
        batches: `convzoo.data.stream.Batches` of the training part.
        validation: the validation part, with `x` and `y`; None trains without one.
        recipe: mapping, as `make_schedule` and `make_optimizer` take it.
        learning_rate: the schedule's highest rate.
        epochs: passes over the batches.
        select: "last" keeps the last epoch's weights, "best" those of the highest validation accuracy, the earliest
            of equals.
        on_epoch: called with the epoch's number, from 1, and its metrics.
    """
    schedule = make_schedule(recipe, learning_rate, epochs, batches.steps)
    # A second model over the same layers: what is saved later knows nothing of optimizer and loss.
    trainer = keras.Model(model.input, model.output)
    trainer.compile(
        make_optimizer(recipe, schedule),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # XLA trains these networks three to nine times slower on a processor; JAX knows nothing else.
        jit_compile=keras.backend.backend() == "jax",
    )
    progress = Progress(epochs, batches.steps, batches.batch_size)
    best_accuracy, best_weights = -1.0, None
    for epoch in range(epochs):
        progress.begin_epoch(epoch)
        loss = accuracy = 0.0
        for step, (x, y) in enumerate(batches.epoch(epoch), 1):
            learned = trainer.train_on_batch(x, y, return_dict=True)  # of this batch; all are of one size
            loss += (float(learned["loss"]) - loss) / step
            accuracy += (float(learned["accuracy"]) - accuracy) / step
            progress.step(step, accuracy)
        metrics = {
            "train_loss": loss,
            "train_accuracy": accuracy,
            "learning_rate": float(schedule((epoch + 1) * batches.steps - 1)),  # of the epoch's last step
            "images_per_second": progress.images_per_second(),
        }
        if validation is not None:
            held_out = trainer.evaluate(validation.x, validation.y, batch_size=_BATCH, verbose=0, return_dict=True)
            metrics.update({f"val_{name}": float(held_out[name]) for name in ("loss", "accuracy")})
        progress.end_epoch(metrics)
        on_epoch(epoch + 1, metrics)
        if select == "best" and metrics["val_accuracy"] > best_accuracy:
            best_accuracy, best_weights = metrics["val_accuracy"], model.get_weights()
    if select == "best":
        model.set_weights(best_weights)


def scores(model, images):
    """Class scores of images, shape (n, classes)."""
    return model.predict(images, batch_size=_BATCH, verbose=0)
