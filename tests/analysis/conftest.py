import keras
import numpy as np
import pytest

from convzoo.models import assemble, planning, zoo


@pytest.fixture(scope="session")
def network():
    """Makes a network of the zoo with random weights, uint8 pictures to scores, and its plan; once for each name."""
    made = {}

    def of(name):
        if name not in made:
            config = zoo.composed(name)
            keras.utils.set_random_seed(0)
            front = [keras.layers.Rescaling(1 / 128, offset=-1.0, dtype="float32")]
            shape, classes = tuple(config.data.image_shape), config.data.classes
            model = assemble.assemble(zoo.rows(config), shape, classes, name, front, dtype="uint8")
            made[name] = model, planning.of(model)
        return made[name]

    return of


@pytest.fixture(scope="session")
def noise():
    """Random pictures of a shape, smooth enough for a network to see something in them."""

    def of(n, shape):
        coarse = np.random.default_rng(0).integers(0, 256, (n, shape[0] // 4, shape[1] // 4, shape[2]), dtype=np.uint8)
        return coarse.repeat(4, axis=1).repeat(4, axis=2)

    return of
