import keras
import numpy as np
import pytest

from convzoo.layers import CapsuleLengths, CapsuleMarginLoss

LENGTHS = np.array([[0.8, 0.3, 0.05], [0.8, 0.3, 0.05], [0.95, 0.1, 0]], "float32")
# 0.1^2 + 0.5 * 0.2^2; 0.6^2 + 0.5 * 0.7^2; beyond the margins nothing.
EACH = [0.03, 0.605, 0]


@pytest.mark.parametrize(
    "labels", [[0, 1, 0], [[0], [1], [0]], np.eye(3)[[0, 1, 0]], np.eye(3, dtype="float32")[[0, 1, 0]]]
)
def test_by_hand(labels):
    actual = keras.ops.convert_to_numpy(CapsuleMarginLoss(reduction=None)(np.array(labels), LENGTHS))
    np.testing.assert_allclose(actual, EACH, atol=1e-7)
    assert float(CapsuleMarginLoss()(np.array(labels), LENGTHS)) == pytest.approx(0.635 / 3)


def test_two_classes_in_one_image():
    actual = CapsuleMarginLoss()(np.array([[1, 1, 0]]), LENGTHS[:1])
    assert float(actual) == pytest.approx(0.1**2 + 0.6**2)


def test_other_margins():
    actual = CapsuleMarginLoss(0.6, 0.2, 2)(np.array([1]), LENGTHS[:1])
    assert float(actual) == pytest.approx(0.3**2 + 2 * 0.6**2)


@pytest.mark.parametrize("labels", [np.array([0, 1, 0]), np.array([[0], [1], [0]]), np.eye(3)[[0, 1, 0]]])
def test_in_a_compiled_model(labels):
    model = keras.Sequential([keras.Input((3, 1)), CapsuleLengths()])
    model.compile("sgd", CapsuleMarginLoss())
    assert model.evaluate(-LENGTHS[..., None], labels, verbose=0) == pytest.approx(0.635 / 3)


def test_saved():
    loss = CapsuleMarginLoss(0.8, 0.2, 0.7, reduction="sum", name="margin")
    config = keras.losses.serialize(loss)
    assert config["registered_name"] == "convzoo>CapsuleMarginLoss"
    assert keras.losses.deserialize(config).get_config() == loss.get_config()


def test_labels_that_are_refused():
    with pytest.raises(ValueError, match=r"`y_true` must be integers .*\(batch, 3\).*\(3, 4\)"):
        CapsuleMarginLoss()(np.eye(4)[:3], LENGTHS)


@pytest.mark.parametrize(
    ("name", "value"), [("positive_margin", "long"), ("negative_margin", float("nan")), ("down_weight", -1)]
)
def test_arguments_that_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}={value!r}"):
        CapsuleMarginLoss(**{name: value})
