"""Against Keras's own `predict`."""

import keras
import numpy as np
import pytest

from convzoo.training.predictor import Predictor

IMAGES = np.random.default_rng(0).integers(0, 256, (530, 5, 4, 2), dtype=np.uint8)


def network(policy="float32"):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5, 4, 2), dtype="uint8")
    layers = keras.layers
    rows = [
        layers.Rescaling(1 / 255),
        layers.Conv2D(6, 3, dtype=policy),
        layers.BatchNormalization(dtype=policy),
        layers.Dropout(0.5, dtype=policy),
        layers.Flatten(dtype=policy),
        layers.Dense(3, dtype=policy),
    ]
    values = inputs
    for row in rows:
        values = row(values)
    return keras.Model(inputs, values)


@pytest.mark.parametrize("count", [1, 7, 125, 530])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_predictor_matches_keras_predict(count, policy):
    model = network(policy)
    found = Predictor(model)(IMAGES[:count])
    assert found.dtype == np.float32
    rounding = 1e-5 if policy == "float32" else 0.02
    expected = model.predict(IMAGES[:count], verbose=0).astype("float32")
    np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding)


@pytest.mark.parametrize(("count", "last"), [(153, 28), (250, 125), (7, 7)])
def test_predictor_pads_last_batch_only_on_jax(count, last):
    predict, seen = Predictor(network()), []
    run = predict._run
    predict._run = lambda batch: (seen.append(len(batch)), run(batch))[1]
    predict(IMAGES[:count])
    whole = min(count, 125) if keras.backend.backend() == "jax" else last
    assert seen == ([125] if count > 125 else []) + [whole]


def test_predictor_uses_current_weights():
    model = network()
    scores = Predictor(model)
    before = scores(IMAGES[:3])
    model.set_weights([2 * weight for weight in model.get_weights()])
    after = scores(IMAGES[:3])
    assert np.abs(after - before).min() > 0
    np.testing.assert_allclose(after, model.predict(IMAGES[:3], verbose=0), rtol=1e-5, atol=1e-5)


def test_predictor_stops_when_on_batch_raises():
    seen = []

    def look():
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Predictor(network())(IMAGES, look)
    assert len(seen) == 2


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others compile for each shape, or not at all")
def test_predictor_traces_once_for_any_number_of_images():
    traced = []

    class Told(keras.layers.Layer):
        def call(self, x):
            traced.append(x.shape)
            return x

    inputs = keras.Input((5, 4, 2), dtype="uint8")
    scores = Predictor(keras.Model(inputs, keras.layers.Flatten()(Told(dtype="uint8")(inputs))))
    traced.clear()
    for count in (7, 250, 3):
        scores(IMAGES[:count])
    assert traced == [(None, 5, 4, 2)]
