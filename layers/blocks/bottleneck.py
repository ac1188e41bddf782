import keras

from .base_block import BaseBlock


@keras.saving.register_keras_serializable(package="convzoo")
class Bottleneck(BaseBlock):
    """The block of ResNet-50 and deeper: 1x1, 3x3 and 1x1 convolutions with a shortcut around them.

    The last convolution has four times as many filters as the others. The strides are those of the first one, as in the
    paper; later libraries have them at the 3x3. A row of a network's table that names this class is read as a row of
    `Residual`, so that axes and overrides reach the layers inside by the same names.

    Args:
        filters: int, of the first two convolutions, a fourth of the last's.
        strides: int, of the first convolution and of the shortcut.
        shortcut_type: `"identity"`; `"pad"`, which takes every s-th cell and adds channels of zeros, without a weight
            (option A of the reference); or `"projection"`, a 1x1 convolution with the strides and, unless the block is
            pre-activated, a batch normalization (option B).
        preactivation: None for the form of 2015, with a normalization and a ReLU after each convolution, the last ReLU
            after the addition. `"inside"` for that of 2016, with both before each convolution and none after the
            addition. `"outside"` for the latter without those before the first convolution: they stand before the
            block, where its shortcut reads them too.
        dropout: rate of the dropout before the last convolution, in [0, 1). None for none.
        momentum, epsilon: of the batch normalizations, as in `keras.layers.BatchNormalization`.
        kernel_initializer, kernel_regularizer: of the convolutions, as in Keras.
        data_format: `"channels_last"` or `"channels_first"`. None is Keras's configured one.
        **kwargs: `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        (batch, ceil(height / strides), ceil(width / strides), 4 · filters), or the same with its channels first.

    Raises:
        ValueError: for an argument outside of the above, or a shortcut whose shape is not the body's.

    Example:
        >>> from convzoo.layers import Bottleneck
        >>> Bottleneck(64, strides=2, shortcut_type="projection").compute_output_shape((None, 32, 32, 64))
        (None, 16, 16, 256)

    Reference:
        He et al., Deep residual learning for image recognition, 2015 (arXiv 1512.03385); Identity mappings in deep
        residual networks, 2016 (arXiv 1603.05027), for the pre-activated form.
    """

    table = "Bottleneck"
