import keras

from .checks import check_positive_int
from .composite import Composite, chain, copies_of, serialized


@keras.saving.register_keras_serializable(package="convzoo")
class Repeat(Composite):
    """The same layers several times over, one copy after another, each with weights of its own.

    Args:
        body: a layer, a list of layers or a mapping whose values are layers: the template of the copies, not itself
            in use. Copies are called by the layer's name, or `body` for several, and a number from 1: `block_1`.
        times: int, number of copies.

    Input shape:
        What the body takes.

    Output shape:
        What `times` bodies leave of it.

    Raises:
        ValueError: for an argument outside of the above, or an input that a copy refuses.
    """

    def __init__(self, body, times, **kwargs):
        super().__init__(**kwargs)
        self.times = check_positive_int("times", times)
        self.body = serialized(chain("body", body, alone=True))
        self.copies = copies_of(self.body, self.times)

    def flow(self, x, apply):
        for copy in self.copies:
            x = apply(copy, x)
        return x

    def get_config(self):
        return {**super().get_config(), "body": self.body, "times": self.times}
