import keras
from keras import ops

from ..checks import check_number, check_positive_int, check_seed
from .base_module import BaseNormalizedModule
from .conv_norm_activation import ConvNormActivation


@keras.saving.register_keras_serializable(package="convzoo")
class FractalBlock(BaseNormalizedModule):
    """FractalNet's block: columns of 1, 2, 4, … convolutions side by side, joined by means wherever they end together.

    f_1(z) = conv(z) and f_(C+1)(z) = join(f_C(f_C(z)), conv(z)), where conv is a convolution with batch normalization
    and ReLU. Joins that would follow one another are one, as in the authors' code: the mean of all its inputs. A block
    of C columns has 2^C - 1 convolutions, 2^(C-1) of them on its longest path.

    In training paths are dropped, which teaches every column to serve alone. One half of the batches, by chance, is
    dropped locally: every join leaves out each of its inputs with the probability `drop_path`, but never all, and takes
    the mean of the others. The other half is dropped globally: a single column runs, and joins pass it on. The paper
    draws that column once for the whole network; here every block draws its own.

    Args:
        filters: int, number of output channels of every convolution.
        columns: int, at most 12.
        kernel_size: int or pair (height, width), of every convolution; the padding is "same".
        drop_path: float in [0, 1), the probability of the local drop; 0 drops nothing, globally neither.
        seed: int, of the draws; None is another at every start.
        **kwargs: `momentum` (0.99) and `epsilon` (0.001) of the normalizations, `kernel_initializer` (`"he_normal"`)
            and `kernel_regularizer`, as in Keras; `data_format`, `"channels_last"` or `"channels_first"`, None is
            Keras's configured one; `name`, `dtype`, …

    Input shape:
        (batch, height, width, channels), or (batch, channels, height, width) for `"channels_first"`. Height and
        width may be unknown.

    Output shape:
        The input's with `filters` channels.

    Raises:
        ValueError: for an argument outside of the above, or an input of another rank.

    Reference:
        Larsson, Maire & Shakhnarovich, FractalNet, 2016 (arXiv 1605.07648).
    """

    def __init__(self, filters, columns, kernel_size=3, drop_path=0.15, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.columns = check_positive_int("columns", columns, at_most=12)
        self.drop_path = check_number("drop_path", drop_path, at_least=0)
        if self.drop_path >= 1:
            raise ValueError(f"`drop_path` must be in [0, 1). Received: drop_path={drop_path!r}")
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.convolutions = [
            ConvNormActivation(
                filters, kernel_size, name=f"column{column}_row{row}", **self.norm_args(), **self.kernel_args()
            )
            for row in self._rows()
            for column in self._ending_at(row)
        ]
        self.joins = [Join(name=f"join{row}", dtype=self.dtype_policy) for row in self._rows() if row % 2 == 0]

    def _rows(self):
        return range(1, 2 ** (self.columns - 1) + 1)

    def _ending_at(self, row):
        """Columns that have a convolution end at this row, the deepest first."""
        return [column for column in range(self.columns, 0, -1) if row % 2 ** (self.columns - column) == 0]

    def connect(self, x, apply):
        convolutions, joins = iter(self.convolutions), iter(self.joins)
        inputs = dict.fromkeys(range(1, self.columns + 1), x)
        for row in self._rows():
            outputs = [apply(next(convolutions), inputs[column]) for column in self._ending_at(row)]
            x = apply(next(joins), outputs) if len(outputs) > 1 else outputs[0]
            inputs.update(dict.fromkeys(self._ending_at(row), x))
        return x

    def call(self, inputs, training=False):
        if not training or not self.drop_path:
            return super().call(inputs)
        globally = self._draw(1)[0] < 0.5
        column = ops.cast(self._draw(1)[0] * self.columns, "int32")

        def apply(layer, x):
            if not isinstance(layer, Join):
                return layer(x)
            draws = self._draw(len(x))
            some = ops.logical_or(draws >= self.drop_path, draws == ops.max(draws))
            one = ops.arange(len(x)) == ops.minimum(column, len(x) - 1)
            return layer(x, is_included=ops.where(globally, one, some))

        return self.connect(inputs, apply)

    def _draw(self, count):
        return keras.random.uniform((count,), dtype="float32", seed=self.seed_generator)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.convolutions[0].conv.filters,
            "columns": self.columns,
            "kernel_size": self.convolutions[0].conv.kernel_size,
            "drop_path": self.drop_path,
            "seed": self.seed,
        }


class Join(keras.layers.Average):
    def call(self, inputs, is_included=None):  # not `mask`: Keras fills in an argument of that name
        if is_included is None:
            return super().call(inputs)
        outputs = sum(ops.where(is_included[i], x, ops.zeros_like(x)) for i, x in enumerate(inputs))
        return outputs / ops.sum(ops.cast(is_included, outputs.dtype))
