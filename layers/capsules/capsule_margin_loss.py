import keras
from keras import ops

from ..checks import check_number
from ..numerics import one_hot


@keras.saving.register_keras_serializable(package="convzoo")
class CapsuleMarginLoss(keras.losses.Loss):
    """Asks the true class's capsule to be long and every other to be short, each up to a margin.

    With T_k = 1 for the true class k and 0 for the others, and |v_k| the length of its capsule,

        L = sum_k T_k max(0, m+ - |v_k|)^2 + down_weight (1 - T_k) max(0, |v_k| - m-)^2

    Each class stands alone, so an image may hold several.

    Args:
        positive_margin: float, m+, the length that is enough where the class is there.
        negative_margin: float, m-, the length that does no harm where it is not.
        down_weight: float >= 0, weight of the classes that are not there, so that they do not shrink all capsules
            at the start.
        **kwargs: `name`, `reduction`, `dtype`, as of any Keras loss.

    Input shape:
        `y_true`: integers (batch,) or (batch, 1), or T itself (batch, classes), also with several ones or with
        fractions. `y_pred`: (batch, classes), lengths.

    Output shape:
        (batch,), before the reduction.

    Raises:
        ValueError: for an argument outside of the above, or labels of another shape.

    Reference:
        Sabour, Frosst & Hinton, Dynamic routing between capsules, 2017 (arXiv 1710.09829), equation 4.
    """

    def __init__(self, positive_margin=0.9, negative_margin=0.1, down_weight=0.5, name="capsule_margin_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self.positive_margin = check_number("positive_margin", positive_margin)
        self.negative_margin = check_number("negative_margin", negative_margin)
        self.down_weight = check_number("down_weight", down_weight, at_least=0)

    def call(self, y_true, y_pred):
        present = one_hot("y_true", y_true, y_pred.shape[-1], y_pred.dtype)
        too_short = ops.square(ops.maximum(self.positive_margin - y_pred, 0))
        too_long = ops.square(ops.maximum(y_pred - self.negative_margin, 0))
        return ops.sum(present * too_short + self.down_weight * (1 - present) * too_long, -1)

    def get_config(self):
        return {
            **super().get_config(),
            "positive_margin": self.positive_margin,
            "negative_margin": self.negative_margin,
            "down_weight": self.down_weight,
        }
