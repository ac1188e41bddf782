import keras
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from convzoo.layers import RBFOutput


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_scores_are_negative_squared_distances():
    centers, values = np.sign(normal(10, 12, 7)), normal(5, 84)
    layer = RBFOutput(centers)
    actual = keras.ops.convert_to_numpy(layer(values))
    np.testing.assert_allclose(actual, -cdist(values, centers.reshape(10, 84), "sqeuclidean"), rtol=1e-4)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(centers.reshape(10, 84))).diagonal(), 0)


def test_numbers_of_lenet_5():
    layer = RBFOutput(np.sign(normal(10, 12, 7)))
    layer.build((None, 84))
    assert layer.count_params() == 840
    assert layer.trainable_weights == []
    assert layer.compute_output_shape((None, 84)) == (None, 10)


def test_centers_may_be_drawn():
    layer = RBFOutput(["#.\n.#", "## .."], scale=0.5)
    np.testing.assert_array_equal(layer.get_config()["centers"], [[1, -1, -1, 1], [1, 1, -1, -1]])
    actual = layer(np.array([[1, -1, -1, 1]], "float32"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(actual), [[0, -4]])


def test_images_are_flattened():
    centers, images = normal(3, 2, 2, 2), normal(4, 2, 2, 2)
    expected = [[-((image - center) ** 2).sum() for center in centers] for image in images]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(RBFOutput(centers)(images)), expected, rtol=1e-4)


def test_the_slope_points_to_the_center(gradient):
    slope = gradient(RBFOutput([[1.0, -1.0]]), np.array([[3.0, -1.0]]))
    np.testing.assert_allclose(slope, [[-4, 0]])


@pytest.mark.parametrize("centers", [3, [1, 2], [[1, 2], [3]], [["a"]], [[float("nan")]], [], ["#.", "#"], ["#x"]])
def test_centers_that_are_refused(centers):
    with pytest.raises(ValueError, match=r"`centers` must be .* Received: centers="):
        RBFOutput(centers)


@pytest.mark.parametrize("shape", [(None, 3), (None, None), (None, 2, 2)])
def test_inputs_that_are_refused(shape):
    with pytest.raises(ValueError, match="must have 2 values an image"):
        RBFOutput([[1, 2]]).build(shape)
