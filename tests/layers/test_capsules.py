import keras
import numpy as np
import pytest

from convzoo.layers import CapsuleDecoder, CapsuleLengths, PrimaryCapsules, RoutingCapsules


def numbers(layer, *inputs):
    return keras.ops.convert_to_numpy(layer(*inputs))


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def build(layer, shape):
    layer.build(shape)
    layer.set_weights([normal(*weight.shape) for weight in layer.weights])
    return layer


def squash(vector):
    """Equation 1 of the paper."""
    square = sum(component**2 for component in vector)
    return square / (1 + square) * vector / square**0.5


def route(predictions, iterations):
    """Procedure 1 of the paper, of one image: v and the couplings that led to it; u_hat[i][j] are the predictions."""
    below, above = predictions.shape[:2]
    b = np.zeros((below, above))
    for _ in range(iterations):
        c = np.array([[np.exp(b[i, j]) / sum(np.exp(b[i])) for j in range(above)] for i in range(below)])
        v = np.array([squash(sum(c[i, j] * predictions[i, j] for i in range(below))) for j in range(above)])
        for i, j in np.ndindex(below, above):
            b[i, j] += predictions[i, j] @ v[j]
    return v, c


def predict(image, kernel):
    return np.array([[image[i] @ kernel[i, j] for j in range(kernel.shape[1])] for i in range(kernel.shape[0])])


@pytest.mark.parametrize("iterations", [1, 3])
def test_routing_is_procedure_1(iterations):
    capsules = normal(3, 5, 4)
    layer = build(RoutingCapsules(6, 2, iterations), capsules.shape)
    (kernel,) = layer.get_weights()
    expected = [route(predict(image, kernel), iterations)[0] for image in capsules]
    np.testing.assert_allclose(numbers(layer, capsules), expected, rtol=1e-4, atol=1e-5)


def test_routing_goes_where_capsules_agree():
    """Three that predict the same and one that does not: more rounds, less of the stray one."""
    capsules = np.ones((1, 4, 1), "float32")
    kernel = np.array([[[[2, 0]], [[0, 1]]]] * 3 + [[[[-2, 0]], [[0, 1]]]], "float32")
    lengths = []
    for iterations in (1, 2, 3):
        layer = build(RoutingCapsules(2, 2, iterations), capsules.shape)
        layer.set_weights([kernel])
        lengths.append(np.linalg.norm(numbers(layer, capsules)[0, 0]))
    assert lengths[0] < lengths[1] < lengths[2]


def test_the_gradient_takes_the_couplings_as_constants(gradient):
    capsules, weights, step = normal(1, 3, 2), normal(1, 2, 4), 1e-5
    layer = build(RoutingCapsules(2, 4), capsules.shape)
    kernel = layer.get_weights()[0].astype("float64")
    _, c = route(predict(capsules[0], kernel), 3)

    def loss(image):
        return sum(
            weights[0, j] @ squash(sum(c[i, j] * image[i] @ kernel[i, j] for i in range(3)))  # c as above
            for j in range(2)
        )

    expected = np.empty((3, 2))
    for place in np.ndindex(3, 2):
        more, less = capsules[0].astype("float64"), capsules[0].astype("float64")
        more[place] += step
        less[place] -= step
        expected[place] = (loss(more) - loss(less)) / (2 * step)
    np.testing.assert_allclose(gradient(layer, capsules, weights)[0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_primary_capsules_are_a_convolution_read_in_vectors(data_format):
    images = normal(2, 6, 5, 3)
    first = data_format == "channels_first"
    given = images.transpose(0, 3, 1, 2) if first else images
    layer = build(PrimaryCapsules(4, 2, 3, 2, data_format=data_format), given.shape)
    kernel, bias = layer.get_weights()
    expected = np.empty((2, 2 * 2 * 4, 2))
    for n, row, column, capsule in np.ndindex(2, 2, 2, 4):
        patch = images[n, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        vector = [(patch * kernel[..., f]).sum() + bias[f] for f in (2 * capsule, 2 * capsule + 1)]
        expected[n, (row * 2 + column) * 4 + capsule] = squash(np.array(vector))
    np.testing.assert_allclose(numbers(layer, given), expected, rtol=1e-4, atol=1e-5)
    assert layer.compute_output_shape((None, *given.shape[1:])) == (None, 16, 2)


def test_primary_capsules_of_any_size_of_image():
    model = keras.Sequential([keras.Input((None, None, 1)), PrimaryCapsules(3, 2, 3, 2)])
    assert model.output_shape == (None, None, 2)
    assert model.predict(normal(1, 5, 9, 1), verbose=0).shape == (1, 2 * 4 * 3, 2)


def test_lengths_by_hand():
    actual = numbers(CapsuleLengths(), np.array([[[3, 4], [0, 0], [-0.5, 0]]], "float32"))
    np.testing.assert_allclose(actual, [[5, 0, 0.5]])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("layer", [CapsuleLengths, lambda dtype: RoutingCapsules(3, 4, dtype=dtype)])
def test_capsules_of_length_zero(layer, dtype, gradient):
    np.testing.assert_array_equal(gradient(layer(dtype=dtype), np.zeros((1, 2, 4))), 0)


def test_long_and_short_capsules_in_half_precision():
    actual = numbers(CapsuleLengths(dtype="float16"), np.array([[[3000, 4000], [3e-4, 4e-4]]], "float16"))
    np.testing.assert_allclose(actual, [[5000, 5e-4]], rtol=2e-3)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (None, [0.5, 0.5, 0.952574, 0.982014]),
        ([0], [0.731059, 0.880797, 0.5, 0.5]),
        ([[0]], [0.731059, 0.880797, 0.5, 0.5]),
        ([[1, 0]], [0.731059, 0.880797, 0.5, 0.5]),
        ([1], [0.5, 0.5, 0.952574, 0.982014]),
    ],
)
def test_the_decoder_sees_one_capsule(labels, expected):
    """Weights that pass on what they get: sigmoid of 1, 2, 3 and 4 at the pixels, of 0 where the mask is."""
    capsules = np.array([[[1, 2], [3, 4]]], "float32")
    layer = CapsuleDecoder((2, 2, 1), [4])
    layer.build(capsules.shape)
    layer.set_weights([np.eye(4), np.zeros(4)] * 2)
    actual = numbers(layer, capsules) if labels is None else numbers(layer, capsules, np.array(labels))
    np.testing.assert_allclose(actual, np.reshape(expected, (1, 2, 2, 1)), rtol=1e-5)


def test_the_gradient_reaches_the_seen_capsule_alone(gradient):
    layer = CapsuleDecoder((3,), (4,))
    layer.build((1, 3, 2))
    layer.set_weights([np.full(weight.shape, 0.1) for weight in layer.weights])
    slope = gradient(layer, np.array([[[0, 1], [2, 2], [1, 0.0]]]))
    assert np.all(slope[0, 1] != 0)
    np.testing.assert_array_equal(slope[0, [0, 2]], 0)


def test_parameters_and_multiplications_of_capsnet():
    """The paper's 8.2 million with the decoder; 6.8 million without."""
    with keras.StatelessScope():
        image, label = keras.Input((28, 28, 1)), keras.Input((), dtype="int32")
        primary, routing, decoder = PrimaryCapsules(32, 8, 9, 2), RoutingCapsules(10, 16), CapsuleDecoder((28, 28, 1))
        capsules = routing(primary(keras.layers.Conv2D(256, 9, activation="relu")(image)))
        encoder = keras.Model(image, CapsuleLengths()(capsules))
        whole = keras.Model([image, label], [encoder.output, decoder(capsules, label)])
    assert primary.output.shape == (None, 1152, 8)
    assert whole.output_shape == [(None, 10), (None, 28, 28, 1)]
    assert (encoder.count_params(), decoder.count_params()) == (6_804_224, 1_411_344)
    assert whole.count_params() == 8_215_568
    assert primary.multiplications == 6 * 6 * 9 * 9 * 256 * 256
    assert routing.multiplications == 1152 * 10 * 8 * 16
    assert decoder.multiplications == 160 * 512 + 512 * 1024 + 1024 * 784


def test_a_network_with_its_decoder_saves(tmp_path):
    image, label = keras.Input((8, 8, 1)), keras.Input((), dtype="int32")
    capsules = RoutingCapsules(3, 4)(PrimaryCapsules(2, 4, 3, 2)(image))
    model = keras.Model([image, label], [CapsuleLengths()(capsules), CapsuleDecoder((8, 8, 1), (6,))(capsules, label)])
    model.save(tmp_path / "model.keras")
    inputs = [normal(2, 8, 8, 1), np.array([2, 0])]
    for actual, expected in zip(
        keras.models.load_model(tmp_path / "model.keras").predict(inputs, verbose=0),
        model.predict(inputs, verbose=0),
        strict=True,
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_other_labels_are_refused():
    with pytest.raises(ValueError, match=r"`labels` must be integers .*\(batch, 3\).*\(2, 4\)"):
        CapsuleDecoder((2,))(normal(2, 3, 2), np.zeros((2, 4)))


@pytest.mark.parametrize("layer", [RoutingCapsules(2, 3), CapsuleDecoder((4,))])
def test_inputs_that_are_refused(layer):
    with pytest.raises(ValueError, match="expected ndim=3"):
        layer(np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"must be known.*\(None, None, 4\)"):
        layer(keras.Input((None, 4)))
    layer(np.zeros((1, 3, 4)))
    with pytest.raises(ValueError, match=r"expected shape=\(None, 3, 4\)"):
        layer(np.zeros((1, 2, 4)))


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (PrimaryCapsules, {"capsules": 0, "dimension": 8, "kernel_size": 9}),
        (PrimaryCapsules, {"dimension": 8.5, "capsules": 32, "kernel_size": 9}),
        (PrimaryCapsules, {"padding": "sme", "capsules": 32, "dimension": 8, "kernel_size": 9}),
        (RoutingCapsules, {"capsules": True, "dimension": 16}),
        (RoutingCapsules, {"dimension": 0, "capsules": 10}),
        (RoutingCapsules, {"iterations": 0, "capsules": 10, "dimension": 16}),
        (CapsuleDecoder, {"image_shape": 28}),
        (CapsuleDecoder, {"image_shape": (28, None, 1)}),
        (CapsuleDecoder, {"units": [512, 0], "image_shape": (2, 2)}),
    ],
)
def test_arguments_that_are_refused(cls, arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be .* Received: "):
        cls(**arguments)
