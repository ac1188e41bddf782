import keras

from ...settings.blocks import DEFAULTS, FORWARDED, BlockOptions, block_tables
from ..checks import check_data_format, check_number
from ..convolution.conv2d import Conv2D
from ..initializers import clone_initializer
from ..normalization.batch_normalization import BatchNormalization
from ..pooling.max_pooling2d import MaxPooling2D
from ..regularization.dropout import Dropout
from .channel_padding import ChannelPadding
from .composite import Composite
from .residual import Residual

_CLASSES = {
    "convzoo.layers.BatchNormalization": BatchNormalization,
    "convzoo.layers.ChannelPadding": ChannelPadding,
    "convzoo.layers.Conv2D": Conv2D,
    "convzoo.layers.Dropout": Dropout,
    "convzoo.layers.MaxPooling2D": MaxPooling2D,
    "keras.layers.ReLU": keras.layers.ReLU,
}


class BaseBlock(Residual):
    """A residual block whose layers are rows of `settings.blocks`. A subclass names its table, as `table`."""

    table = None

    def __init__(
        self,
        filters,
        strides=1,
        shortcut_type="identity",
        preactivation=None,
        dropout=None,
        momentum=DEFAULTS["BatchNormalization"]["momentum"],
        epsilon=DEFAULTS["BatchNormalization"]["epsilon"],
        kernel_initializer=DEFAULTS["Conv2D"]["kernel_initializer"],
        kernel_regularizer=None,
        data_format=None,
        **kwargs,
    ):
        block_arguments = {
            "momentum": check_number("momentum", momentum, at_least=0),
            "epsilon": check_number("epsilon", epsilon, above=0),
            "kernel_initializer": keras.initializers.get(kernel_initializer),
            "kernel_regularizer": keras.regularizers.get(kernel_regularizer),
        }
        data_format = check_data_format(data_format)
        options = BlockOptions(filters, strides, shortcut_type, preactivation, dropout)
        image_arguments = {"data_format": data_format, "dtype": kwargs.get("dtype")}
        tables = {
            part: [_make_layer(name, row, block_arguments, image_arguments) for name, row in rows.items()]
            for part, rows in block_tables(self.table, options).items()
        }
        super().__init__(
            tables["body"],
            tables.get("shortcut", "identity"),
            activation=None if preactivation else "relu",
            data_format=data_format,
            **kwargs,
        )
        self.filters, self.strides, self.preactivation, self.dropout = filters, strides, preactivation, dropout
        self.shortcut_type = shortcut_type
        for argument, value in block_arguments.items():
            setattr(self, argument, value)

    def build(self, input_shape):
        Composite.build(self, input_shape)  # the shortcut is there, while that of `Residual` may depend on the shape

    def get_config(self):
        return {
            **Composite.get_config(self),
            "filters": self.filters,
            "strides": self.strides,
            "shortcut_type": self.shortcut_type,
            "preactivation": self.preactivation,
            "dropout": self.dropout,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "data_format": self.data_format,
        }


def _make_layer(name, row, block_arguments, image_arguments):
    """The layer of a row: the row's arguments win over the block's, and these over the defaults of its class."""
    arguments = {key: value for key, value in row.items() if key not in ("_target_", "role")}
    layer_class = _CLASSES[row["_target_"]]
    class_name = layer_class.__name__
    forwarded = {argument: block_arguments[argument] for argument in FORWARDED.get(class_name, ())}
    if "kernel_initializer" in forwarded:
        forwarded["kernel_initializer"] = clone_initializer(forwarded["kernel_initializer"])
    if layer_class is BatchNormalization:
        forwarded["axis"] = -1 if image_arguments["data_format"] == "channels_last" else 1
    elif layer_class not in (Dropout, keras.layers.ReLU):
        forwarded["data_format"] = image_arguments["data_format"]
    defaults = {**DEFAULTS.get(class_name, {}), "dtype": image_arguments["dtype"]}
    return layer_class(name=name, **{**defaults, **forwarded, **arguments})
