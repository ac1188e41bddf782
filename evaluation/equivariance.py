"""Sparsity, parameter sharing, equivariance and invariance of layers, measured."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from scipy.ndimage import fourier_shift

from ..layers.padding import spatial_axes

Pair = float | Sequence[float]  # one number for both, or (vertical, horizontal)


def convolution_matrix(layer: keras.Layer, input_shape: Sequence[int]) -> np.ndarray:
    """Compute the matrix C of an affine layer, y = C x + b; in a convolution most of its values are zero (sparsity).

    A convolution is a product with a matrix, like a dense layer, but each output reads only k * k * channels inputs,
    and every row has the same weights. Inputs and outputs are flattened in the order of their axes. C is the layer's
    output for images of one pixel, minus its output for a black image. It has outputs * inputs values, and computing
    it takes inputs^2 values: use small images.

    Args:
        layer: a layer or model that is affine: convolution, locally connected, dense, average pooling, …
        input_shape: shape of one input, without the batch axis.

    Returns:
        Array, shape (outputs, inputs).

    Raises:
        ValueError: the layer is not affine: it has an activation, or is a max pool.

    Reference:
        Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285), section 4.1.
    """
    matrix, bias = _affine_parts(layer, input_shape)
    # Far from zero, where no sigmoid looks linear, and on both sides of it, where no ReLU does.
    probe = 100 * np.random.default_rng(0).normal(size=matrix.shape[1])
    probes = np.stack([probe, -probe])
    outputs = _compute_float64(layer, probes.reshape(2, *input_shape)).reshape(2, -1)
    expected = probes @ matrix.T + bias
    if not np.linalg.norm(outputs - expected) <= 0.03 * np.linalg.norm(expected):
        raise ValueError(f"`layer` must be affine: no activation, no maximum. Received: layer={layer!r}")
    return matrix


def density(matrix: np.ndarray) -> float:
    """Compute the share of values that are not zero: 1 for a dense layer, about k * k / (height * width) for a
    convolution.

    Example:
        >>> density(np.eye(4))
        0.25
    """
    return float(np.count_nonzero(matrix) / matrix.size)


def connections(layer: keras.Layer, input_shape: Sequence[int]) -> int:
    """Count connections like LeCun et al.: for every output, the inputs that it reads and its bias.

    A parameter is counted once, a connection wherever it is used: LeNet-5's C1 has 156 parameters, which its 28 * 28
    positions share, and 28 * 28 * 6 * (5 * 5 + 1) = 122,304 connections. Padding is no input. An input counts if it
    changes the output of a copy of the layer whose weights are all 1, with all other inputs 0. This holds for layers
    that add their inputs or choose among them. It does not hold for layers that compare them, such as a softmax or a
    local response normalization.

    Args:
        layer: a layer of one kind of weights, or a pool; its activation does not matter.
        input_shape: shape of one input, without the batch axis; small, as for `convolution_matrix`.

    Returns:
        The number of connections.

    Reference:
        LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998.
    """
    config = layer.get_config()
    if "activation" in config:
        config["activation"] = "linear"
    copy = type(layer).from_config(config)
    copy.build((None, *input_shape))
    for weight in copy.weights:
        weight.assign(ops.ones(weight.shape))
    matrix, bias = _affine_parts(copy, input_shape)
    return int(np.count_nonzero(matrix) + np.count_nonzero(bias))


def tie(local: keras.Layer, convolution: keras.Layer) -> None:
    """Give every position of a locally connected layer the weights of a convolution (parameter sharing).

    A convolution is a locally connected layer whose positions all have the same kernel. With equal strides and padding
    both then compute the same, but the convolution has height' * width' times fewer parameters. The weights are copied:
    training makes those of the locally connected layer different again.

    Args:
        local: a `LocallyConnected2D` or `LocallyConnected1D`, built.
        convolution: a convolution with the same kernel size and filters, without groups, built.

    Raises:
        ValueError: the weights of one do not fit the other.
    """
    kernel, *bias = convolution.get_weights()
    shared = [kernel.reshape(1, -1, kernel.shape[-1]), *bias]
    own = [tuple(weight.shape) for weight in local.weights]
    if len(shared) != len(own) or shared[0].shape[1:] != own[0][1:]:
        raise ValueError(
            "The layers must have the same kernel size, channels and filters, and both a bias or none. "
            f"Received: local with weights {own}, convolution with {[weight.shape for weight in (kernel, *bias)]}"
        )
    local.set_weights([np.broadcast_to(weight, shape) for weight, shape in zip(shared, own, strict=True)])


def equivariance_error(
    layer: keras.Layer,
    images: np.ndarray,
    shift: int | Sequence[int],
    strides: Pair | None = None,
    margin: int | Sequence[int] = 0,
) -> float:
    """Measure the translation equivariance of a layer: the error ‖f(T x) - T f(x)‖ / ‖f(x)‖.

    T is a circular shift: pixels that leave on one side come in on the other. A convolution with circular padding is
    equivariant: its map moves with the image, and the error is 0, apart from rounding. With another padding the error
    lies near the border, which `margin` can leave out. If neighbouring outputs are s pixels apart, a map moves by
    shift / s cells. A fraction of a cell is interpolated by Fourier, which is exact for all frequencies of the map, so
    the error is the aliasing of the sampling.

    Args:
        layer: a layer or model from maps to maps.
        images: array, shape (batch, height, width, channels), or as the layer's `data_format` says.
        shift: int or pair (down, right), in pixels; negative is up and left.
        strides: number or pair, pixels between neighbouring outputs: for a model, the product of its strides. None
            means the layer's own, or 1 if the map is as large as the image.
        margin: int or pair (height, width), output cells left out at every border. For one layer with zero padding,
            the error lies within padding + |shift| cells.

    Returns:
        float, over all images together; 0 is equivariant.

    Raises:
        ValueError: the outputs are not maps, the strides are unknown, or the margin covers the whole map.

    Reference:
        Zhang, Making convolutional networks shift-invariant again, 2019 (arXiv 1904.11486); with the fraction of a
        cell, Karras et al., Alias-free generative adversarial networks, 2021 (arXiv 2106.12423).
    """
    axes = _spatial_axes(layer)
    outputs, shifted_outputs = (
        _compute_float64(layer, images),
        _compute_float64(layer, _shift_circularly(images, shift, axes)),
    )
    if outputs.ndim != 4:
        raise ValueError(f"`layer` must give maps, with 4 axes. Received: outputs of shape {outputs.shape}")
    sizes = [(np.shape(images)[axis], outputs.shape[axis]) for axis in axes]
    if strides is None:
        strides = getattr(layer, "strides", None)
    if strides is None and any(before != after for before, after in sizes):
        raise ValueError(
            "`strides` must be given for a layer that has no `strides` of its own and changes the size of the map. "
            f"Received: strides=None, images of shape {np.shape(images)}, outputs of shape {outputs.shape}"
        )
    return map_error(outputs, shifted_outputs, np.divide(shift, strides or 1), margin, axes)


def map_error(
    outputs: np.ndarray,
    shifted_outputs: np.ndarray,
    cells: Pair | np.ndarray,
    margin: int | Sequence[int] = 0,
    axes: tuple[int, int] = (1, 2),
) -> float:
    """Compute ‖shifted_outputs - T outputs‖ / ‖outputs‖, where T moves maps circularly.

    This is the `equivariance_error` of a layer whose outputs are known already.

    Args:
        outputs: maps of the images, array with 4 axes.
        shifted_outputs: maps of the shifted images, of the same shape.
        cells: number or pair (down, right), by which T moves maps; a fraction is interpolated by Fourier.
        margin: int or pair, cells left out at every border.
        axes: those of height and width.

    Returns:
        float, over all images together; 0 is equivariant.

    Raises:
        ValueError: the margin covers the whole map.
    """
    by_axis = np.zeros(4)
    by_axis[list(axes)] = cells
    expected = np.fft.ifftn(fourier_shift(np.fft.fftn(outputs, axes=axes), by_axis), axes=axes).real
    inside = [slice(None)] * 4
    for axis, cut in zip(axes, np.broadcast_to(margin, 2), strict=True):
        inside[axis] = slice(cut, outputs.shape[axis] - cut)
    error, reference = (shifted_outputs - expected)[tuple(inside)], outputs[tuple(inside)]
    if not reference.size:
        raise ValueError(
            f"`margin` must leave cells of a map. Received: margin={margin}, outputs of shape {outputs.shape}"
        )
    return float(np.linalg.norm(error) / np.linalg.norm(reference))


def unchanged_fraction(
    layer: keras.Layer, images: np.ndarray, shift: int | Sequence[int], whole: bool = False
) -> float:
    """Measure the share of a layer's outputs that do not change under a circular shift of its input (invariance).

    Pooling is partly invariant to small shifts: an output stays the same as long as the maximum of its window stays in
    the window. This helps when the presence of a feature matters more than its exact position.

    Args:
        layer: a layer or model, usually with max pooling: outputs are compared bit by bit.
        images: array, shape (batch, height, width, channels), or as the layer's `data_format` says.
        shift: int or pair (down, right), in pixels; negative is up and left.
        whole: True counts whole maps, one for each channel of an image, instead of single values.

    Returns:
        float, from 0 to 1, over all images together.

    Reference:
        Goodfellow, Bengio & Courville, Deep learning, 2016, section 9.3.
    """
    axes = _spatial_axes(layer)
    same = _compute_float64(layer, images) == _compute_float64(layer, _shift_circularly(images, shift, axes))
    if whole and same.ndim == 4:
        same = same.all(axis=axes)
    return float(same.mean())


def _affine_parts(layer: keras.Layer, input_shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Compute (matrix, bias): what an input of 1 adds to each output, and the outputs with all inputs 0."""
    size = np.prod(input_shape, dtype=int)
    inputs = np.eye(size + 1, size).reshape(-1, *input_shape)
    outputs = _compute_float64(layer, inputs).reshape(size + 1, -1)
    return (outputs[:-1] - outputs[-1]).T, outputs[-1]


def _compute_float64(layer: keras.Layer, inputs: np.ndarray) -> np.ndarray:
    outputs = ops.cast(layer(np.asarray(inputs, "float32")), "float32")
    return ops.convert_to_numpy(outputs).astype("float64")


def _shift_circularly(images: np.ndarray, shift: int | Sequence[int], axes: tuple[int, int]) -> np.ndarray:
    return np.roll(images, np.broadcast_to(shift, 2), axes)


def _spatial_axes(layer: keras.Layer) -> tuple[int, int]:
    return spatial_axes(getattr(layer, "data_format", None) or keras.config.image_data_format())
