import keras
from keras import ops

from ..checks import check_number


@keras.saving.register_keras_serializable(package="convzoo")
class ScaledTanh(keras.layers.Layer):
    """LeNet-5's squashing: y = amplitude * tanh(slope * x), by default 1.7159 tanh(2x / 3).

    With these numbers f(1) = 1 and f(-1) = -1, so targets of +-1 lie where the curve bends most, not at its
    flat ends, and the gain around zero is near 1.

    Args:
        amplitude: float > 0.
        slope: float > 0.

    Input shape:
        Any.

    Output shape:
        The input's.

    Raises:
        ValueError: for an argument outside of the above.

    Reference:
        LeCun, Bottou, Bengio & Haffner, Gradient-based learning applied to document recognition, 1998,
        appendix A.
    """

    def __init__(self, amplitude=1.7159, slope=2 / 3, **kwargs):
        super().__init__(**kwargs)
        self.amplitude = check_number("amplitude", amplitude, above=0)
        self.slope = check_number("slope", slope, above=0)

    def call(self, inputs):
        return self.amplitude * ops.tanh(self.slope * inputs)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "amplitude": self.amplitude, "slope": self.slope}
