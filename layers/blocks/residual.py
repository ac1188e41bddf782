import keras

from ..checks import check_data_format, quote_options
from ..pooling.max_pooling2d import MaxPooling2D
from .channel_padding import ChannelPadding
from .composite import Composite, chain

_SHORTCUT_TYPES = ("identity", "pad", "projection")


@keras.saving.register_keras_serializable(package="convzoo")
class Residual(Composite):
    """A body with a shortcut around it: y = activation(body(x) + shortcut(x)).

    Args:
        body: a layer, a list of layers or a mapping whose values are layers.
        shortcut: `"identity"`; `"pad"`, which is the identity where the body keeps the shape and otherwise takes
            every s-th cell and adds channels of zeros, without a weight (option A of the reference);
            `"projection"`, which is the identity there too and otherwise a 1×1 convolution with stride s and without
            bias (option B, where a batch normalization follows it); or layers, in a form that `body` may have. The
            strides s of the words are the body's, by the sizes of its input and output.
        activation: of the sum, as in Keras; None where the paper pre-activates.
        kernel_initializer: of the projection.
        data_format: `"channels_last"` or `"channels_first"`, of the shortcuts that are words; None is Keras's
            configured one. The layers inside have their own.

    Input shape:
        What `body` takes; 4 axes with known sizes where the words `"pad"` and `"projection"` must bridge two shapes.

    Output shape:
        That of `body`.

    Raises:
        ValueError: for an argument outside of the above, an input that the body refuses, a shortcut whose shape is
            not the body's, or `"pad"` where the body has fewer channels than its input.

    Reference:
        He et al., Deep residual learning for image recognition, 2015 (arXiv 1512.03385).
    """

    def __init__(
        self,
        body,
        shortcut="identity",
        activation=None,
        kernel_initializer="he_normal",
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.body = chain("body", body)
        if isinstance(shortcut, str) and shortcut not in _SHORTCUT_TYPES:
            raise ValueError(
                f"`shortcut` must be {quote_options(_SHORTCUT_TYPES)} or layers. Received: shortcut={shortcut!r}"
            )
        self.shortcut_type = shortcut if isinstance(shortcut, str) else None
        self.shortcut = None if self.shortcut_type else chain("shortcut", shortcut)
        self.add = keras.layers.Add(name="add", dtype=self.dtype_policy)
        self.activation = keras.activations.get(activation)
        self.activate = None
        if activation is not None:
            self.activate = keras.layers.Activation(self.activation, name="activation", dtype=self.dtype_policy)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.data_format = check_data_format(data_format)

    def build(self, input_shape):
        if self.shortcut_type in ("pad", "projection"):
            self.shortcut = self._bridge(tuple(input_shape), tuple(self.body.compute_output_shape(input_shape)))
        super().build(input_shape)

    def _bridge(self, before, after):
        if before == after:
            return None
        if len(before) != 4 or len(after) != 4 or None in before[1:] + after[1:]:
            raise ValueError(
                f'`shortcut="{self.shortcut_type}"` needs images of known sizes where the body changes their shape. '
                f"Received: input_shape={before}, output shape of the body={after}"
            )
        last = self.data_format == "channels_last"
        strides = tuple(-(-before[i] // after[i]) for i in ((1, 2) if last else (2, 3)))
        filters = after[-1 if last else 1]
        common = dict(data_format=self.data_format, dtype=self.dtype_policy)
        if self.shortcut_type == "projection":
            return keras.layers.Conv2D(
                filters,
                1,
                strides,
                use_bias=False,
                kernel_initializer=self.kernel_initializer,
                name="projection",
                **common,
            )
        subsample = MaxPooling2D(1, strides, name="subsample", **common)
        return chain("shortcut", [subsample, ChannelPadding(filters, name="pad", **common)])

    def connect(self, x, apply):
        shortcut = x if self.shortcut is None else apply(self.shortcut, x)
        x = apply(self.add, [apply(self.body, x), shortcut])
        return x if self.activate is None else apply(self.activate, x)

    def compute_output_shape(self, input_shape):
        return tuple(self.body.compute_output_shape(input_shape))

    def get_config(self):
        return {
            **super().get_config(),
            "body": keras.saving.serialize_keras_object(self.body),
            "shortcut": self.shortcut_type or keras.saving.serialize_keras_object(self.shortcut),
            "activation": keras.activations.serialize(self.activation) if self.activate else None,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "data_format": self.data_format,
        }
