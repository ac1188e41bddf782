from collections.abc import Mapping

import keras

from ..checks import check_data_format, check_option
from .composite import Composite, chain

_MERGES = {
    "concatenate": keras.layers.Concatenate,
    "add": keras.layers.Add,
    "average": keras.layers.Average,
    "maximum": keras.layers.Maximum,
}


@keras.saving.register_keras_serializable(package="convzoo")
class Branches(Composite):
    """Several chains of layers over the same input, whose outputs are joined: Inception's and SqueezeNet's form.

    Args:
        branches: a mapping from names to branches, or a list of them. A branch is a layer, a list of layers or a
            mapping whose values are layers; an empty one passes the input on.
        merge: `"concatenate"` (the channels), `"add"`, `"average"` or `"maximum"`.
        data_format: `"channels_last"` or `"channels_first"`, which says where the channels are; None is Keras's
            configured one. The layers inside have their own.

    Input shape:
        What all branches take.

    Output shape:
        That of the branches, which must be one; the channels of `"concatenate"` add up.

    Raises:
        ValueError: for an argument outside of the above, an input that a branch refuses, or branches whose outputs
            cannot be joined; the message names the layer.

    Reference:
        Szegedy et al., Going deeper with convolutions, 2014 (arXiv 1409.4842).
    """

    def __init__(self, branches, merge="concatenate", data_format=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(branches, Mapping | list | tuple) or not branches:
            raise ValueError(
                "`branches` must be a mapping from names to branches, or a list of them, at least one. "
                f"Received: branches={branches!r}"
            )
        if not isinstance(branches, Mapping):
            branches = {f"branch{i}": branch for i, branch in enumerate(branches, 1)}
        self.branches = [chain(name, branch) for name, branch in branches.items()]
        self.merge = check_option("merge", merge, _MERGES)
        self.data_format = check_data_format(data_format)
        axis = {"axis": -1 if self.data_format == "channels_last" else 1} if merge == "concatenate" else {}
        self.join = _MERGES[merge](**axis, name=merge, dtype=self.dtype_policy)

    def connect(self, x, apply):
        outputs = [apply(branch, x) for branch in self.branches]
        return apply(self.join, outputs) if len(outputs) > 1 else outputs[0]

    def get_config(self):
        return {
            **super().get_config(),
            "branches": [keras.saving.serialize_keras_object(branch) for branch in self.branches],
            "merge": self.merge,
            "data_format": self.data_format,
        }
