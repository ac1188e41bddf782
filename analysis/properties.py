"""What a course says of convolution and pooling, as numbers of any layer."""

import keras
import numpy as np
from keras import ops
from scipy.ndimage import fourier_shift

from ..layers.padding import spatial_axes


def convolution_matrix(layer, input_shape):
    """Sparsity: the matrix C of an affine layer, y = C x + b, most of whose values are zero in a convolution.

    A convolution is a product with a matrix, as a dense layer is, but each output reads k * k * channels inputs and
    not all of them, and the same weights return in every row. Inputs and outputs are flattened in the order of
    their axes. C is what the layer gives for pictures of one pixel, less what it gives for none, so it has outputs *
    inputs values and is made from inputs^2: for small pictures.

    Args:
        layer: a layer or model that is affine: convolution, locally connected, dense, average pooling, …
        input_shape: shape of one input, without the batch axis.

    Returns:
        Array, shape (outputs, inputs).

    Raises:
        ValueError: when the layer is not affine: has an activation, or is a max pool.

    Reference:
        Dumoulin & Visin, A guide to convolution arithmetic for deep learning, 2016 (arXiv 1603.07285), section 4.1.
    """
    matrix, bias = _answers(layer, input_shape)
    # Far from zero, where no squashing looks linear, and on both of its sides, where no rectifier does.
    probe = 100 * np.random.default_rng(0).normal(size=matrix.shape[1])
    probes = np.stack([probe, -probe])
    found = _numbers(layer, probes.reshape(2, *input_shape)).reshape(2, -1)
    expected = probes @ matrix.T + bias
    if not np.linalg.norm(found - expected) <= 0.03 * np.linalg.norm(expected):
        raise ValueError(f"`layer` must be affine: no activation, no maximum. Received: layer={layer!r}")
    return matrix


def density(matrix):
    """Share of the values that are not zero: 1 of a dense layer, about k * k / (height * width) of a convolution."""
    return np.count_nonzero(matrix) / matrix.size


def connections(layer, input_shape):
    """Connections as LeCun et al. count them: for every output, the inputs that it reads and its bias.

    Parameters are counted once, connections wherever they are used: LeNet-5's C1 has 156 parameters, which its
    28 * 28 positions share, and 28 * 28 * 6 * (5 * 5 + 1) = 122,304 connections. Padding is no input. An input
    counts where it changes the output of a copy of the layer, all of whose weights are 1 and all other inputs 0: so
    for layers that add up their inputs or choose among them, not for those that compare them, as a softmax or a
    local response normalization does.

    Args:
        layer: a layer of one kind of weights, or a pool; its activation does not matter.
        input_shape: shape of one input, without the batch axis; small, as for `convolution_matrix`.

    Returns:
        int.

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
    matrix, bias = _answers(copy, input_shape)
    return np.count_nonzero(matrix) + np.count_nonzero(bias)


def tie(local, convolution):
    """Parameter sharing: gives every position of a locally connected layer the weights of a convolution.

    A convolution is a locally connected layer whose positions all have the same kernel: with equal strides and
    padding both then compute the same, the convolution from height' * width' times fewer parameters. The weights are
    copied: in training those of the locally connected layer part again.

    Args:
        local: a `LocallyConnected2D` or `LocallyConnected1D`, built.
        convolution: a convolution with the same kernel size and filters, without groups, built.

    Raises:
        ValueError: when the weights of one do not fit the other.
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


def equivariance_error(layer, images, shift, strides=None, margin=0):
    """Translation equivariance: how far f(T x) is from T f(x), as ‖f(T x) - T f(x)‖ / ‖f(x)‖.

    T is a circular shift: what leaves on one side returns on the other. A convolution is equivariant: what moves
    in the picture moves alike in its map, and the error is 0, but for rounding, if the padding is circular too. Other
    paddings err where the border moved, which `margin` can leave out. Where neighbouring outputs are s pixels
    apart, a map moves by shift / s cells; a fraction of a cell is interpolated by Fourier, which is exact for what
    the map can hold, so that the error is what the sampling lost: aliasing.

    Args:
        layer: a layer or model from maps to maps.
        images: array, shape (batch, height, width, channels), or as the layer's `data_format` says.
        shift: int or pair (down, right), in pixels; negative is up and left.
        strides: number or pair, pixels between neighbouring outputs: of a model, the product of its strides. None is
            the layer's own, or 1 where the map is as large as the picture.
        margin: int or pair (height, width), output cells left out at every border. Of one layer with zeros around,
            the error lies within padding + |shift| cells.

    Returns:
        float, over all images together; 0 is equivariant.

    Raises:
        ValueError: when the outputs are not maps, None does not say the strides, or the margin is all of the map.

    Reference:
        Zhang, Making convolutional networks shift-invariant again, 2019 (arXiv 1904.11486); with the fraction of a
        cell, Karras et al., Alias-free generative adversarial networks, 2021 (arXiv 2106.12423).
    """
    axes = _spatial_axes(layer)
    outputs, found = _numbers(layer, images), _numbers(layer, _shifted(images, shift, axes))
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
    return map_error(outputs, found, np.divide(shift, strides or 1), margin, axes)


def map_error(outputs, found, cells, margin=0, axes=(1, 2)):
    """‖found - T outputs‖ / ‖outputs‖, where T moves maps circularly by so many cells: `equivariance_error` of layers
    whose outputs are there already.

    Args:
        outputs: array with 4 axes, of the pictures.
        found: the same of the shifted pictures.
        cells: number or pair (down, right); a fraction is interpolated by Fourier.
        margin: int or pair, cells left out at every border.
        axes: which are height and width.

    Raises:
        ValueError: the margin is all of the map.
    """
    by_axis = np.zeros(4)
    by_axis[list(axes)] = cells
    expected = np.fft.ifftn(fourier_shift(np.fft.fftn(outputs, axes=axes), by_axis), axes=axes).real
    inside = [slice(None)] * 4
    for axis, cut in zip(axes, np.broadcast_to(margin, 2), strict=True):
        inside[axis] = slice(cut, outputs.shape[axis] - cut)
    error, kept = (found - expected)[tuple(inside)], outputs[tuple(inside)]
    if not kept.size:
        raise ValueError(
            f"`margin` must leave cells of a map. Received: margin={margin}, outputs of shape {outputs.shape}"
        )
    return float(np.linalg.norm(error) / np.linalg.norm(kept))


def unchanged_fraction(layer, images, shift, whole=False):
    """Invariance: the share of a layer's outputs that a circular shift of its input leaves exactly as they were.

    Pooling is invariant to small shifts, in part: a value stays as long as the maximum of its window stays in the
    window. That is of use where it matters more whether a feature is there than where exactly.

    Args:
        layer: a layer or model; of max pools, for equal means equal to the last bit.
        images: array, shape (batch, height, width, channels), or as the layer's `data_format` says.
        shift: int or pair (down, right), in pixels; negative is up and left.
        whole: True counts maps, one a channel of an image, that did not change at all, instead of values.

    Returns:
        float, from 0 to 1, over all images together.

    Reference:
        Goodfellow, Bengio & Courville, Deep learning, 2016, section 9.3.
    """
    axes = _spatial_axes(layer)
    same = _numbers(layer, images) == _numbers(layer, _shifted(images, shift, axes))
    if whole and same.ndim == 4:
        same = same.all(axis=axes)
    return float(same.mean())


def _answers(layer, input_shape):
    """(matrix, bias): what each input at 1 adds to each output, and the outputs with all inputs at 0."""
    size = np.prod(input_shape, dtype=int)
    inputs = np.eye(size + 1, size).reshape(-1, *input_shape)
    outputs = _numbers(layer, inputs).reshape(size + 1, -1)
    return (outputs[:-1] - outputs[-1]).T, outputs[-1]


def _numbers(layer, inputs):
    outputs = ops.cast(layer(np.asarray(inputs, "float32")), "float32")
    return ops.convert_to_numpy(outputs).astype("float64")


def _shifted(images, shift, axes):
    return np.roll(images, np.broadcast_to(shift, 2), axes)


def _spatial_axes(layer):
    return spatial_axes(getattr(layer, "data_format", None) or keras.config.image_data_format())
