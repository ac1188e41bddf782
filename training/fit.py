"""The fit: batches by decision, a line an epoch, the last or the best weights."""

import keras

from .optimizer import make_optimizer
from .progress import Progress

_BATCH = 1000  # images at a time where nothing is learned


class Stream(keras.utils.PyDataset):
    """The batches of `convzoo.data.Batches`, epoch after epoch."""

    def __init__(self, batches):
        super().__init__()
        self.batches, self.epoch = batches, 0

    def __len__(self):
        return self.batches.steps

    def __getitem__(self, step):
        return self.batches.apply(self.batches.decide(self.epoch, step))

    def on_epoch_end(self):
        self.epoch += 1


class _Best(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the highest validation accuracy, the earliest of equals."""

    accuracy, weights = -1.0, None

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] > self.accuracy:
            self.accuracy, self.weights = logs["val_accuracy"], self.model.get_weights()

    def on_train_end(self, logs=None):
        self.model.set_weights(self.weights)


class _Report(keras.callbacks.Callback):
    def __init__(self, progress, on_epoch):
        super().__init__()
        self.progress, self.on_epoch = progress, on_epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.progress.begin_epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        self.progress.step(batch + 1, logs)

    def on_epoch_end(self, epoch, logs=None):
        metrics = {
            "train_loss": logs["loss"],
            "train_accuracy": logs["accuracy"],
            **{key: value for key, value in logs.items() if key.startswith("val_")},
            "learning_rate": float(self.model.optimizer.learning_rate),
            "images_per_second": self.progress.images_per_second(),
        }
        self.progress.end_epoch(metrics)
        self.on_epoch(epoch + 1, metrics)


def fit(
    model, batches, validation, recipe, *, learning_rate, epochs, select="last", on_epoch=lambda e, m: None
):
    """Trains a model from pictures to class scores.

    Args:
        model: it takes the uint8 pictures of `batches`; trained in place.
        batches: `convzoo.data.Batches` of the training part.
        validation: the validation part, with `x` and `y`; None trains without one.
        recipe: mapping, as `make_optimizer` takes it.
        learning_rate: the schedule's highest rate.
        epochs: passes over the batches.
        select: "last" keeps the last epoch's weights, "best" those of the highest validation accuracy.
        on_epoch: called with the epoch's number, from 1, and its metrics.
    """
    # A second model over the same layers: what is saved later knows nothing of optimizer and loss.
    trainer = keras.Model(model.inputs, model.outputs)
    trainer.compile(
        make_optimizer(recipe, learning_rate, epochs, batches.steps),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        # XLA trains these networks three to nine times slower on a processor; JAX knows nothing else.
        jit_compile=keras.backend.backend() == "jax",
    )
    progress = Progress(epochs, batches.steps, batches.batch_size)
    trainer.fit(
        Stream(batches),
        epochs=epochs,
        validation_data=validation and (validation.x, validation.y),
        validation_batch_size=_BATCH,
        callbacks=[*([_Best()] if select == "best" else []), _Report(progress, on_epoch)],
        verbose=0,
    )


def scores(model, images):
    """Class scores of images, shape (n, classes)."""
    return model.predict(images, batch_size=_BATCH, verbose=0)
