"""The loss that a model's file names, and heads that exist in training only."""

import keras
import numpy as np
import pytest
from omegaconf import OmegaConf

from convzoo import UserError
from convzoo.layers import CapsuleMarginLoss
from convzoo.models import objective, registry
from convzoo.models.builder import assemble

ROWS = {
    "conv": {"_target_": "keras.layers.Conv2D", "filters": 4, "kernel_size": 3, "padding": "same"},
    "mean": {"_target_": "keras.layers.GlobalAveragePooling2D"},
    "score": {"_target_": "keras.layers.Dense", "units": 10},
}
AUX = {
    "aux_mean": {"_target_": "keras.layers.GlobalAveragePooling2D"},
    "aux_score": {"_target_": "keras.layers.Dense", "units": 10},
}
PICTURE = {
    "draw": {"_target_": "convzoo.layers.CapsuleDecoder", "image_shape": [4, 4, 1], "units": [3]},
}
CAPSULES = {
    "conv": {"_target_": "keras.layers.Conv2D", "filters": 20, "kernel_size": 4},
    "capsules": {"_target_": "keras.layers.Reshape", "target_shape": [10, 2]},
    "lengths": {"_target_": "convzoo.layers.CapsuleLengths"},
}


def network():
    return assemble(ROWS, (4, 4, 1), 10)


def test_without_a_word_it_is_the_cross_entropy_of_logits():
    goal = objective.make_objective(network())
    value = goal.loss(np.array([1]), np.array([[0.0, np.log(3.0)]], "float32"))
    assert float(value) == pytest.approx(-np.log(3 / 4))
    assert goal == (goal.loss, None, {}, (), (), ())


def test_a_head_reads_its_row_and_ends_in_class_scores():
    model = network()
    goal = objective.make_objective(model, heads={"aux": {"after": "conv", "weight": 0.3, "layers": AUX}})
    assert (goal.weights, goal.targets, goal.labels) == (
        (0.3,),
        ("labels",),
        None,
    )
    trainer = keras.Model(model.input, [model.output, goal.outputs["aux"]])
    assert trainer.count_params() == model.count_params() + 4 * 10 + 10
    assert goal.outputs["aux"].dtype == "float32"


def test_decoder_is_masked_by_labels_and_compared_with_images():
    model = assemble(CAPSULES, (4, 4, 1), 10)
    head = {
        "after": "capsules",
        "target": "image",
        "labels": True,
        "loss": {"_target_": "keras.losses.MeanSquaredError"},
        "layers": PICTURE,
    }
    goal = objective.make_objective(model, {"_target_": "convzoo.layers.CapsuleMarginLoss"}, {"reconstruction": head})
    assert isinstance(goal.loss, CapsuleMarginLoss)
    assert isinstance(goal.losses[0], keras.losses.MeanSquaredError)
    assert (goal.weights, goal.targets) == ((1.0,), ("image",))
    trainer = keras.Model([model.input, goal.labels], goal.outputs["reconstruction"])
    images, labels = np.random.default_rng(0).random((2, 4, 4, 1)).astype("float32"), np.array([3, 7], "int32")
    one, other = trainer.predict([images, labels], verbose=0), trainer.predict([images, labels[::-1]], verbose=0)
    assert one.shape == (2, 4, 4, 1)
    assert np.abs(one - other).max() > 0  # it draws the class that the labels say


@pytest.mark.parametrize(
    ("loss", "heads", "words"),
    [
        ({"_target_": "keras.layers.Dense"}, {}, r"`model\.loss\._target_=keras\.layers\.Dense`"),
        (None, 3, "`model.heads` must be a mapping.*3"),
        (None, {"aux": {"layers": AUX}}, "`model.heads.aux` must be a mapping with `after` and `layers`"),
        (None, {"aux": {"after": "conv", "layers": AUX, "wieght": 1}}, "`model.heads.aux`.*wieght"),
        (None, {"aux": {"after": "conv9", "layers": AUX}}, "`model.heads.aux.after` must name a row.*'conv9'"),
        (None, {"aux": {"after": "conv", "layers": AUX, "target": "depth"}}, "`model.heads.aux.target`.*'depth'"),
        (None, {"aux": {"after": "conv", "layers": AUX, "weight": "1"}}, "`model.heads.aux.weight`.*'1'"),
        (None, {"aux": {"after": "conv", "layers": AUX, "labels": 1}}, "`model.heads.aux.labels`.*1"),
        (None, {"aux": {"after": "conv", "layers": {"x": {"_target_": "os.system"}}}}, "os.system"),
        (None, {"aux": {"after": "conv", "layers": AUX, "loss": {"_target_": "builtins.eval"}}}, "builtins.eval"),
    ],
)
def test_what_is_no_objective_is_refused(loss, heads, words):
    with pytest.raises(UserError, match=words):
        objective.check_objective(loss, heads, ROWS)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ({"layers": {"mean2": ROWS["mean"]}}, r"head `aux` must end in \(10,\) an image. Received: \(4,\)"),
        ({"layers": AUX, "target": "image"}, r"head `aux` must end in \(4, 4, 1\) an image. Received: \(10,\)"),
        ({"layers": {"deep": {**ROWS["conv"], "kernel_size": 9, "padding": "valid"}}}, "row `deep` of head `aux`"),
    ],
)
def test_a_head_that_does_not_fit_is_named(head, words):
    with pytest.raises(UserError, match=words):
        objective.make_objective(network(), heads={"aux": {"after": "conv", **head}})


def composed(heads, **settings):
    model = {"name": "try", "layers": ROWS, "heads": heads, "shared": {"Dense": {"use_bias": False}}}
    config = {"model": model, "pooling": {"kind": "paper", "row": None}, "stride": "paper", "dropout": "paper"}
    data = {"image_shape": [4, 4, 1], "classes": 10}
    return OmegaConf.create({**config, "input_dropout": "paper", "data": data, **settings})


def test_axes_and_shared_settings_reach_the_heads():
    drop = {"aux_drop": {"_target_": "keras.layers.Dropout", "rate": 0.7, "role": "dropout"}}
    heads = {"aux": {"after": "conv", "layers": {**drop, **AUX}}}
    _, reached = registry.loss_and_heads(composed(heads))
    assert list(reached["aux"]["layers"]) == ["aux_drop", "aux_mean", "aux_score"]
    assert reached["aux"]["layers"]["aux_score"]["use_bias"] is False


def test_a_head_s_row_needs_a_name_of_its_own():
    with pytest.raises(UserError, match=r"`model\.heads\.aux\.layers\.score`: another row has that name"):
        registry.loss_and_heads(composed({"aux": {"after": "conv", "layers": {"score": AUX["aux_score"]}}}))
