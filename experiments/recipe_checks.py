"""Checks of a recipe against its data set and its network, and the user's own classes that it may name."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.augmentation import Augmentation
from ..data.augmentation.rows import check_augmentation, rows_for_data_set
from ..settings.training import TrainSettings
from ..settings.user_classes import find_user_classes

# Imports of the backend stand in functions: a mistake in a setting is refused without it.


def resolve_augmentation(settings: TrainSettings) -> None:
    """Check the augmentations, and leave out those that the data set forbids.

    Those of the user's own classes stay as they are until `allow_own_classes` has imported the classes.

    Raises:
        UserError: naming the key.
    """
    recipe = settings.recipe
    own = settings.allow if isinstance(settings.allow, list) else []
    unknown = set(own) - set(find_user_classes(Augmentation))
    rows = {name: row for name, row in recipe.augmentation.items() if row and row["_target_"] not in unknown}
    allowed = rows_for_data_set(rows, settings.data.augment.model_dump())
    check_augmentation(allowed, tuple(settings.data.image_shape))
    recipe.augmentation = {
        name: row for name, row in recipe.augmentation.items() if name in allowed or name not in rows
    }


def allow_own_classes(names: Any, overrides: Sequence[str]) -> None:
    """Let rows name layers, optimizers, schedules, augmentations and metrics of the user's own.

    Raises:
        UserError: the names were not typed, or one of them is no such class.
    """
    import keras

    from ..models import allowlist

    schedule = keras.optimizers.schedules.LearningRateSchedule
    bases = (keras.layers.Layer, keras.optimizers.Optimizer, schedule, Augmentation, keras.metrics.Metric)
    allowlist.allow_classes(names, overrides, bases)


def check_recipe(settings: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Check that the parts of a recipe but its augmentation exist, and that they fit each other and the network.

    Args:
        settings: the checked settings.
        network: its `rows`, `loss` and `heads`.

    Raises:
        UserError: naming the key.
    """
    from ..training import preprocess
    from ..training.optimizers import check_optimizer
    from ..training.schedules import check_schedule

    recipe = settings["recipe"]
    preprocess.check(recipe, network)
    check_optimizer(recipe)
    check_schedule(recipe["schedule"])
