"""Every network of the zoo: a step of training, heads included, saved and read again. Minutes long."""

import contextlib
import gc

import keras
import numpy as np
import pytest
from fit_model import fit
from sampling import ALL, sample

from convzoo.data import Split
from convzoo.data.batches import Batches
from convzoo.models import builder, loading, names, objective, registry
from convzoo.training import preprocess
from convzoo.training.compiled import CompiledModel
from convzoo.training.predictor import Predictor

# Of each kind of small network one, for backends other than TensorFlow, where large ones are slow.
SMALL = [
    *("airbench alexnet_cifar allconv allconv_bn caffe_quick capsnet ciresan cuda_convnet_18pct lenet lenet5".split()),
    *("maxout nin overfeat_fast_cifar zfnet_cifar".split()),
]
TRAINED = sample(names()) if ALL or keras.backend.backend() == "tensorflow" else SMALL
RECIPE = {
    "optimizer": {"_target_": "convzoo.training.L2SGD", "momentum": 0.9, "nesterov": True, "l2": 5e-4},
    "schedule": {"_target_": "convzoo.training.Constant"},
}


def uncompiled():
    """JAX's compiler would take minutes a network."""
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.disable_jit()


@pytest.fixture(autouse=True)
def freed():
    """A network's memory is given back before the next: a model and its graph refer to each other."""
    with uncompiled():
        yield
    keras.utils.clear_session()
    gc.collect()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_it_trains_saves_and_loads(name, tmp_path):
    config = registry.compose_network(name)
    shape, classes = tuple(config.data.image_shape), config.data.classes
    rows = registry.rows(config)
    rng = np.random.default_rng(0)
    images = Split(rng.integers(0, 256, (2, *shape), dtype=np.uint8), rng.integers(0, classes, 2).astype(np.int32))
    keras.utils.set_random_seed(0)
    front = [keras.layers.Rescaling(1 / 128, offset=-1.0, dtype="float32")]
    model = builder.assemble(rows, shape, classes, name, front, dtype="uint8")
    preprocess.adapt_rows(model, rows, images.x)
    before = [weight.copy() for weight in model.get_weights()]
    metrics = []
    fit(
        CompiledModel(model, objective.make_objective(model, *registry.loss_and_heads(config))),
        Batches(images, 2, seed=0),
        None,
        RECIPE,
        learning_rate=1e-3,
        epochs=1,
        on_epoch=lambda epoch, found: metrics.append(found),
    )
    assert np.isfinite(metrics[0]["train_loss"])
    assert any((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "model.keras")
    scores = Predictor(model)(images.x)
    assert scores.shape == (2, classes)
    np.testing.assert_allclose(
        Predictor(loading.load(tmp_path / "model.keras"))(images.x), scores, rtol=1e-4, atol=1e-4
    )
