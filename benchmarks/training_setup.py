"""All that a training needs, built from command-line overrides: what the benchmarks train without `train.py`."""

import keras

from ..data import Split
from ..data.augmentation.rows import make_augmentations
from ..data.batches import Batches
from ..experiments.runner import check_settings
from ..models import registry
from ..settings.composition import compose_run
from ..training import preprocess
from ..training.compiled import CompiledModel
from ..training.trainer import TrainerSettings


class TrainingSetup:
    """Settings and network of a training.

    Args:
        overrides: as for `train.py`, such as `["model=lenet", "seed=1"]`.

    Attributes:
        config: the composed config.
        settings: the resolved and checked settings, a mapping.
        network: rows, loss and heads.
        plan: the network's plan.

    Raises:
        UserError: a setting is refused, or the network does not fit the images.
    """

    def __init__(self, overrides: list[str]):
        composed = compose_run(overrides)
        self.config = composed.config
        self.settings = check_settings(composed).model_dump()
        self.network, self.plan = registry.network(self.config)

    def build_model(self, train: Split, classes: int) -> CompiledModel:
        """Return the model, with the weights of the settings' seed.

        Args:
            train: images that preprocessing is adapted to.
            classes: number of classes.
        """
        keras.utils.set_random_seed(self.settings["seed"])
        recipe = self.settings["recipe"]
        return CompiledModel(*preprocess.build_training_model(self.network, self.plan.name, recipe, train.x, classes))

    def make_batches(self, train: Split) -> Batches:
        """Return the augmented batches of a training part."""
        settings = self.settings
        augmentations = make_augmentations(settings["recipe"]["augmentation"])
        return Batches(train, settings["batch_size"], settings["seed"], augmentations, settings["data"]["classes"])

    def trainer_settings(self) -> TrainerSettings:
        """Return the settings of a `Trainer`."""
        settings = self.settings
        return TrainerSettings(settings["recipe"], settings["learning_rate"], settings["epochs"], settings["select"])
