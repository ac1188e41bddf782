"""The check that a recipe fits a network."""

import pytest

from convzoo import UserError
from convzoo.training.preprocess import check_mixed_labels

FLIP, MIX = ({"_target_": f"convzoo.data.{name}"} for name in ("RandomFlip", "CutMix"))
LOSS = {"_target_": "convzoo.layers.CapsuleMarginLoss"}
PLAIN = {"loss": None, "heads": {"aux": {}, "image": {"target": "image", "loss": {"_target_": "keras.losses.X"}}}}


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ({**PLAIN, "loss": LOSS}, "the network has a loss of its own"),
        ({**PLAIN, "heads": {"decoder": {"labels": True}}}, "head `decoder` takes the label of each image as an input"),
        ({**PLAIN, "heads": {"aux": {"loss": LOSS}}}, "head `aux` has a loss of its own"),
    ],
)
def test_network_that_cannot_take_mixed_labels_is_refused(network, reason):
    with pytest.raises(UserError) as error:
        check_mixed_labels({"flip": FLIP, "patch": MIX}, network)
    assert str(error.value) == f"`recipe.augmentation.patch` mixes labels, which this network cannot take: {reason}"
    check_mixed_labels({"flip": FLIP}, network)


def test_network_of_crossentropies_takes_mixed_labels():
    check_mixed_labels({"flip": FLIP, "patch": MIX}, PLAIN)
    check_mixed_labels({"patch": MIX}, {"loss": None, "heads": None})
