"""The chapter's four properties, on cases worked out by hand."""

import keras
import numpy as np
import pytest

from convzoo.evaluation.equivariance import (
    connections,
    convolution_matrix,
    density,
    equivariance_error,
    tie,
    unchanged_fraction,
)
from convzoo.layers import (
    AveragePooling2D,
    BlurPooling2D,
    Conv2D,
    FullyConnected,
    LocallyConnected1D,
    LocallyConnected2D,
    MaxBlurPooling2D,
    MaxPooling2D,
    PartiallyConnected2D,
    StridedConv2D,
    TrainableSubsampling2D,
)

C3 = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345"
SUM = {"kernel_initializer": "ones", "use_bias": False}


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def numbers(layer, images):
    return keras.ops.convert_to_numpy(layer(images))


def build(layer, shape):
    layer.build(shape)
    layer.set_weights([normal(*weight.shape) for weight in layer.weights])
    return layer


def row(*values):
    return np.array(values, "float32").reshape(1, 1, -1, 1)


class TestSparsity:
    def test_the_matrix_of_dumoulin_and_visin(self):
        """Their section 4.1: a 3x3 kernel on a 4x4 picture; here with w = 1 … 9 in place of w00 … w22."""
        layer = Conv2D(1, 3, bias_initializer="ones")
        layer.build((None, 4, 4, 1))
        layer.kernel.assign(np.arange(1, 10).reshape(3, 3, 1, 1))
        np.testing.assert_allclose(
            convolution_matrix(layer, (4, 4, 1)),
            [
                [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0, 0],
                [0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0],
                [0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0],
                [0, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9],
            ],
            rtol=1e-6,
        )

    @pytest.mark.parametrize(
        ("layer", "outputs", "non_zeros"),
        [
            (Conv2D(1, 3), 4, 4 * 9),
            # Along an axis of four cells the windows hold 2, 3, 3 and 2 of them.
            (Conv2D(1, 3, padding="half"), 16, (2 + 3 + 3 + 2) ** 2),
            (Conv2D(5, 3, padding="half"), 5 * 16, 5 * 100),
            (LocallyConnected2D(1, 3, padding="half"), 16, 100),
            (AveragePooling2D(2), 4, 4 * 4),
            (FullyConnected(7), 7, 7 * 16),
        ],
        ids=lambda value: value.name if isinstance(value, keras.layers.Layer) else None,
    )
    def test_non_zeros_by_hand(self, layer, outputs, non_zeros):
        matrix = convolution_matrix(layer, (4, 4, 1))
        assert matrix.shape == (outputs, 16)
        assert np.count_nonzero(matrix) == non_zeros
        assert density(matrix) == pytest.approx(non_zeros / (outputs * 16))

    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_what_each_output_reads_is_what_torch_unfolds(self, data_format):
        torch = pytest.importorskip("torch")
        first = data_format == "channels_first"
        shape = (3, 6, 5) if first else (6, 5, 3)
        layer = build(Conv2D(2, 3, 2, 1, data_format), (None, *shape))
        kernel = layer.get_weights()[0].transpose(3, 2, 0, 1).reshape(2, -1)
        places = 1 + torch.arange(90.0).reshape(1, 3, 6, 5)  # 0 is padding
        read = torch.nn.functional.unfold(places, 3, padding=1, stride=2)[0].numpy().astype(int).T
        expected = np.zeros((2, len(read), 91))
        for position, inputs in enumerate(read):
            expected[:, position, inputs] = kernel
        expected = expected[:, :, 1:].reshape(2, 3, 3, 3, 6, 5)
        if not first:
            expected = expected.transpose(1, 2, 0, 4, 5, 3)
        np.testing.assert_allclose(convolution_matrix(layer, shape), expected.reshape(18, 90), rtol=1e-4, atol=1e-5)

    def test_two_layers_are_the_product_of_their_matrices(self):
        first, second = build(Conv2D(3, 3, padding="full"), (None, 4, 4, 2)), build(BlurPooling2D(2), (None, 6, 6, 3))
        model = keras.Sequential([first, second])
        expected = convolution_matrix(second, (6, 6, 3)) @ convolution_matrix(first, (4, 4, 2))
        np.testing.assert_allclose(convolution_matrix(model, (4, 4, 2)), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        "layer",
        [
            Conv2D(1, 1, activation="relu", kernel_initializer="ones"),
            Conv2D(2, 3, activation="tanh"),
            StridedConv2D(2),
            MaxPooling2D(2),
        ],
        ids=["relu", "tanh", "strided", "max"],
    )
    def test_what_is_not_affine_is_refused(self, layer):
        with pytest.raises(ValueError, match=r"`layer` must be affine: .* Received: layer=<"):
            convolution_matrix(layer, (4, 4, 1))

    def test_half_precision(self):
        layer = Conv2D(2, 3, kernel_initializer="ones", bias_initializer="ones", dtype="mixed_bfloat16")
        assert np.count_nonzero(convolution_matrix(layer, (6, 6, 1))) == 2 * 16 * 9


class TestConnections:
    @pytest.mark.parametrize(
        ("layer", "input_shape", "count"),
        [
            pytest.param(Conv2D(6, 5), (32, 32, 1), 122_304, id="C1"),
            pytest.param(TrainableSubsampling2D(2), (28, 28, 6), 5_880, id="S2"),
            pytest.param(
                PartiallyConnected2D([map(int, maps) for maps in C3.split()], 5), (14, 14, 6), 151_600, id="C3"
            ),
            pytest.param(TrainableSubsampling2D(2), (10, 10, 16), 2_000, id="S4"),
            pytest.param(Conv2D(120, 5, activation="tanh"), (5, 5, 16), 48_120, id="C5"),
            pytest.param(FullyConnected(84, activation="sigmoid"), (1, 1, 120), 10_164, id="F6"),
        ],
    )
    def test_numbers_of_lenet_5(self, layer, input_shape, count):
        assert connections(layer, input_shape) == count

    @pytest.mark.parametrize(
        ("layer", "count"),
        [
            (MaxPooling2D(2), 4 * 4 * 3),
            (Conv2D(2, 3, padding="half", use_bias=False, activation="softmax"), 2 * 3 * 100),
            (LocallyConnected2D(2, 3), 2 * 4 * (9 * 3 + 1)),
            (Conv2D(2, 3, trainable=False), 2 * 4 * (9 * 3 + 1)),
        ],
        ids=["max", "padding is no input", "local", "frozen"],
    )
    def test_by_hand_on_four_by_four_by_three(self, layer, count):
        assert connections(layer, (4, 4, 3)) == count

    def test_the_layer_keeps_its_weights(self):
        layer = build(Conv2D(2, 3), (None, 5, 5, 1))
        before = layer.get_weights()
        connections(layer, (5, 5, 1))
        for old, new in zip(before, layer.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)


class TestParameterSharing:
    def test_a_tied_local_layer_is_the_convolution(self):
        """4 * 4 positions, each with the 3 * 3 * 3 * 4 + 4 parameters of the convolution."""
        images = normal(2, 8, 7, 3)
        shared = build(Conv2D(4, 3, 2, "half"), images.shape)
        local = build(LocallyConnected2D(4, 3, 2, "half"), images.shape)
        assert (shared.count_params(), local.count_params()) == (112, 1_792)
        assert not np.allclose(numbers(local, images), numbers(shared, images), atol=0.1)
        tie(local, shared)
        np.testing.assert_allclose(numbers(local, images), numbers(shared, images), rtol=1e-4, atol=1e-5)

    def test_the_matrix_repeats_the_weights_that_are_shared(self):
        """Nine weights in one matrix, nine for each of the four positions in the other."""
        shared, local = build(Conv2D(1, 3), (None, 4, 4, 1)), build(LocallyConnected2D(1, 3), (None, 4, 4, 1))

        def distinct(layer):
            layer.bias.assign(keras.ops.zeros(layer.bias.shape))
            return np.unique(convolution_matrix(layer, (4, 4, 1))).size - 1  # less the zero

        assert (distinct(shared), distinct(local)) == (9, 36)
        tie(local, shared)
        assert distinct(local) == 9

    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_one_dimension_without_a_bias(self, data_format):
        steps = normal(2, 6, 6)
        shared = build(keras.layers.Conv1D(4, 3, 2, use_bias=False), steps.shape)
        local = build(LocallyConnected1D(4, 3, 2, "valid", data_format, use_bias=False), steps.shape)
        tie(local, shared)
        found = numbers(local, steps.transpose(0, 2, 1)).transpose(0, 2, 1)
        found = numbers(local, steps) if data_format == "channels_last" else found
        np.testing.assert_allclose(found, numbers(shared, steps), rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize(
        "convolution",
        [Conv2D(4, 2), Conv2D(3, 3), Conv2D(4, 3, groups=2), Conv2D(4, 3, use_bias=False)],
        ids=["kernel_size", "filters", "groups", "bias"],
    )
    def test_weights_that_do_not_fit(self, convolution):
        local, convolution = build(LocallyConnected2D(4, 3), (1, 6, 6, 2)), build(convolution, (1, 6, 6, 2))
        with pytest.raises(ValueError, match=r"must have the same kernel size, .* Received: local with weights \[\(16"):
            tie(local, convolution)


class TestEquivariance:
    def test_a_row_by_hand(self):
        """Sums of three of 1 2 3 4 5 are 3 6 9 12 9; of 5 1 2 3 4 they are 6 8 6 9 7, against 9 3 6 9 12."""
        layer = Conv2D(1, (1, 3), padding="half", **SUM)
        errors = [equivariance_error(layer, row(1, 2, 3, 4, 5), (0, 1), margin=(0, cut)) for cut in range(3)]
        assert errors == pytest.approx([(59 / 351) ** 0.5, 5 / 261**0.5, 0], abs=1e-6)

    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    @pytest.mark.parametrize("shift", [1, (2, -3)])
    def test_equivariance_is_exact_with_circular_padding_only(self, shift, data_format):
        images = normal(2, 10, 10, 10)
        circular, zeros = (
            build(Conv2D(4, 3, 1, 1, data_format, activation="relu", padding_mode=mode), images.shape)
            for mode in ("circular", "zeros")
        )
        assert equivariance_error(circular, images, shift) < 1e-5
        assert equivariance_error(zeros, images, shift) > 0.1
        largest = np.abs(shift).max()
        assert equivariance_error(zeros, images, shift, margin=largest) > 0.01
        assert equivariance_error(zeros, images, shift, margin=1 + np.abs(shift)) < 1e-5

    def test_a_stride_moves_the_map_by_the_shift_over_the_stride(self):
        images = normal(2, 12, 12, 3)
        layer = build(Conv2D(4, 3, (2, 3), 1, padding_mode="circular"), images.shape)
        assert equivariance_error(layer, images, (4, -3)) < 1e-5
        assert equivariance_error(layer, images, (1, 0)) > 0.1

    def test_half_a_cell_of_a_smooth_picture(self):
        """Every second value of a cosine is a cosine, half a cell later where the picture is one pixel later."""
        wave = np.cos(2 * np.pi * np.arange(8) / 8)
        assert equivariance_error(MaxPooling2D(1, (1, 2)), row(*wave), (0, 1)) < 1e-5

    def test_half_a_cell_of_a_fine_picture(self):
        """Every second value of 1 0 1 0 is 1 1, and 0 0 after a shift: as wrong as the map is large."""
        assert equivariance_error(MaxPooling2D(1, (1, 2)), row(1, 0, 1, 0), (0, 1)) == pytest.approx(1)
        assert equivariance_error(BlurPooling2D((1, 3), (1, 2), "half"), row(*[1, 0] * 8), (0, 1)) < 1e-5

    def test_a_blur_before_the_stride_lowers_the_error(self):
        """Zhang 2019: max pooling errs at odd shifts, and less the longer the blur is."""
        images = normal(4, 32, 32, 3)
        layers = [MaxPooling2D(2), MaxBlurPooling2D(2, blur_size=3), MaxBlurPooling2D(2, blur_size=5)]
        errors = [equivariance_error(layer, images, 1, margin=3) for layer in layers]
        assert errors == sorted(errors, reverse=True)
        assert errors[2] < 0.5 * errors[0]

    def test_a_model_needs_its_strides(self):
        convolution = Conv2D(4, 3, 2, 1, padding_mode="circular", activation="relu")
        model = keras.Sequential([convolution, MaxPooling2D(2)])
        images = normal(2, 8, 8, 1)
        with pytest.raises(ValueError, match=r"`strides` must be given .* outputs of shape \(2, 2, 2, 4\)"):
            equivariance_error(model, images, 4)
        assert equivariance_error(model, images, 4, strides=4) < 1e-5
        same = keras.Sequential([Conv2D(4, 3, 1, 1, padding_mode="circular"), keras.layers.ReLU()])
        assert equivariance_error(same, images, 3) < 1e-5

    def test_what_is_refused(self):
        with pytest.raises(ValueError, match=r"`layer` must give maps, .* Received: outputs of shape \(2, 3\)"):
            equivariance_error(FullyConnected(3), normal(2, 4, 4, 1), 1)
        with pytest.raises(ValueError, match=r"`margin` must leave cells .* Received: margin=\(0, 2\)"):
            equivariance_error(MaxPooling2D(2, 1, "same"), normal(2, 4, 4, 1), 1, margin=(0, 2))


class TestInvariance:
    def test_figure_9_8_of_goodfellow_bengio_and_courville(self):
        """Detectors 0.1 1 0.2 0.1 become 0.3 0.1 1 0.2: all change, but of the pools over three only half."""
        detectors = row(0.3, 0.1, 1, 0.2, 0.1, 0)
        assert unchanged_fraction(keras.layers.Identity(), detectors, (0, 1)) == 0
        assert unchanged_fraction(MaxPooling2D((1, 3), 1), detectors, (0, 1)) == 0.5

    def test_two_spikes(self):
        """0 0 1 0 0 1 0 0 keeps four of its eight values; their maxima 0 1 1 1 1 1 1 0 keep six."""
        spikes = row(0, 0, 1, 0, 0, 1, 0, 0)
        assert unchanged_fraction(keras.layers.Identity(), spikes, (0, 1)) == 0.5
        assert unchanged_fraction(MaxPooling2D((1, 3), 1, "half"), spikes, (0, 1)) == 0.75

    @pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
    def test_max_pooling_keeps_three_of_eight_shifts(self, data_format):
        """One bright pixel in each of 16 pictures, at each of 4 * 4 places: two straight steps and a diagonal one."""
        pictures = np.eye(16).reshape((16, 4, 4, 1) if data_format == "channels_last" else (16, 1, 4, 4))
        steps = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
        layer = MaxPooling2D(2, data_format=data_format)
        assert np.mean([unchanged_fraction(layer, pictures, step, whole=True) for step in steps]) == 3 / 8

    def test_the_largest_value_of_all_is_always_the_same(self):
        layer = keras.layers.GlobalMaxPooling2D()
        assert unchanged_fraction(layer, normal(2, 5, 6, 3), (2, -1), whole=True) == 1
