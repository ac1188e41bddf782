"""The model card: its numbers are the textbook's, hostile names stay text, and what is missing is not guessed."""

import math
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convzoo.evaluation.calibration import compute_calibration
from convzoo.evaluation.exports import ExportCheck
from convzoo.evaluation.latency import Latency
from convzoo.evaluation.metrics import evaluate
from convzoo.evaluation.shift import ShiftRobustness
from convzoo.reporting.model_card import CODE_LICENSE, ModelCard, Paper, TestData, escape_markdown
from convzoo.tracking.results import RecordedSplit, Result

ROOT = Path(__file__).parents[2]
DIGEST = "0123456789abcdef"
HEADINGS = [
    "# Model card: lenet",
    *(f"## {name}" for name in ("Data", "Recipe", "Results", "Calibration", "Robustness", "Limits")),
    "## Code and environment",
]
PARAMS = {
    "model": "lenet",
    "recipe": "fast",
    "optimizer": "Muon",
    "recipe.optimizer.weight_decay": "0.05",
    "schedule": "WarmupCosine",
    "augmentation": "none",
    "learning_rate": "0.02",
    "epochs": "2",
    "batch_size": "64",
    "precision": "float32",
    "select": "last",
    "seed": "7",
}
METRICS = {"test_accuracy": 0.6, "test_flip_accuracy": 0.8, "test_original_accuracy": 0.5, "training_seconds": 90.0}


def make_result(**changes):
    values = dict(
        id="f" * 32,
        experiment_id="1",
        name="a run",
        status="FINISHED",
        params=PARAMS,
        metrics=METRICS,
        identity="",
        cell="",
        code=DIGEST,
        artifacts="full",
        seconds=90.0,
        failure=None,
        pictures="",
        started=86_400_000,
        environment={"code": DIGEST, "commit": "abc", "machine": "a machine", "backend": "jax", "keras": "3.15.1"},
    )
    return Result(**values | changes)


def make_card(classes=2, **changes):
    """The card of a classifier that is right about 6 of 10 images: 5 of 5 of class 0, 1 of 5 of class 1."""
    labels = np.repeat([0, 1], 5)
    scores = np.zeros((10, classes))
    scores[:9, 0] = scores[9, 1] = math.log(4)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = tuple("ab") if classes == 2 else tuple(f"class {number}" for number in range(classes))
    values = dict(
        result=make_result(),
        params=61_706,
        macs=416_520,
        data=TestData("digits", "scikit-learn's load_digits", names, DIGEST, (32, 32, 1)),
        evaluation=evaluate(scores, labels),
        calibration=compute_calibration(probabilities, labels),
        robustness=ShiftRobustness(np.array([[0.5] * 3, [0.5, 0.8, 0.5], [0.2] * 3]), 0.75, 0.125, 10, "zeros"),
        paper=Paper("On Digits", 1998, "https://arxiv.org/abs/1312.4400"),
        axes={"pooling": "l2", "stride": "paper"},
        changes=["model.layers.conv1.kernel_size=3"],
        splits=[
            RecordedSplit("test", DIGEST, 10),
            RecordedSplit("test_original", "aa", 4),
            RecordedSplit("train", "bb", 1293),
        ],
        command="python train.py model=lenet data=digits seed=7",
        fraction=0.5,
        seed_accuracies={"7": 0.6},
    )
    return ModelCard(**values | changes)


def rows(card):
    """The cells after the first of each row of all tables, by the first."""
    lines = [line[2:-2].split(" | ") for line in str(card).splitlines() if line.startswith("| ")]
    return {head: cells for head, *cells in lines}


def wilson(correct, total):
    """Wilson's interval as Wikipedia has it, as text."""
    z, share = 1.959963984540054, correct / total
    center = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return f"{center - half:.2%} to {center + half:.2%}"


def test_card_has_its_sections_in_order():
    assert re.findall(r"^#+ .*$", str(make_card()), re.MULTILINE) == HEADINGS


def test_results_have_wilson_intervals_and_counts():
    table = rows(make_card())
    assert table["test accuracy"] == ["60.00%", wilson(6, 10), "10"]
    assert table["lowest accuracy of a class, b"] == ["20.00%", wilson(1, 5), "5"]
    assert table["as recorded, test accuracy"] == ["60.00%", wilson(6, 10), "10"]
    assert table["as recorded, with the mirror image at test time"] == ["80.00%", wilson(8, 10), "10"]
    assert table["as recorded, on further test images original"] == ["50.00%", wilson(2, 4), "4"]


def test_calibration_is_that_of_the_definition():
    """All ten predictions have the confidence 4 / 5, in one bin whose accuracy is 6 / 10."""
    table = rows(make_card())
    assert table["expected calibration error (ECE)"] == ["20.00%"]
    assert table["mean confidence minus accuracy"] == ["+20.00 points, overconfident"]
    loss = -(6 * math.log(0.8) + 4 * math.log(0.2)) / 10
    assert table["mean cross-entropy, in nats"] == [f"{loss:.4f}"]


def test_robustness_has_the_mean_and_worst_shift():
    table = rows(make_card())
    assert table["shifts of up to 1 pixel"] == ["value"]
    assert table["mean accuracy over all shifts"] == [f"{(5 * 0.5 + 0.8 + 3 * 0.2) / 9:.2%}"]
    assert table["accuracy at the worst shift"] == ["20.00%"]


def test_robustness_without_shifts_says_not_measured():
    card = make_card(robustness=ShiftRobustness(np.array([[0.6]]), 1.0, 0.0, 10, "zeros"))
    assert "Accuracy under shift: not measured" in str(card)
    assert f"python evaluate.py run={'f' * 32} shift=4 card=true" in str(card)


def test_recorded_shifts_stand_beside_measured_ones():
    metrics = {"test_shift_accuracy": 0.55, "test_shift_consistency": 0.75}
    table = rows(make_card(result=make_result(metrics=metrics, params={"test_shift": "3"})))
    assert (table["largest shift, in pixels"], table["accuracy"], table["consistency"]) == (
        ["3"],
        ["55.00%"],
        ["75.00%"],
    )


def test_top5_is_listed_with_more_than_ten_classes():
    table = rows(make_card(classes=12))
    assert table["top-5 accuracy"] == ["100.00%", wilson(10, 10), "10"]
    assert "top-5 accuracy" not in rows(make_card())


def test_recipe_data_and_origin_are_those_of_the_run():
    table = rows(make_card())
    assert table["optimizer"] == ["Muon (weight_decay=0.05)"]
    assert table["minutes of training"] == ["1.5"]
    assert table["train"] == ["1,293", "bb"]
    assert table["share of the training images that was used"] == ["50.00%"]
    assert table["pooling, stride and dropout"] == ["pooling=l2"]
    assert table["changes of single layers"] == ["model.layers.conv1.kernel_size=3"]
    assert table["link"] == ["<https://arxiv.org/abs/1312.4400>"]
    assert table["date of the training (UTC)"] == ["1970-01-02"]
    assert table["keras"] == ["3.15.1"]
    assert "```\npython train.py model=lenet data=digits seed=7\n```" in str(make_card())


def test_missing_values_are_not_recorded():
    """A run without params, metrics, tags and inputs, whose config names no paper."""
    empty = make_result(id=None, params={}, metrics={}, started=None, environment={})
    card = make_card(
        result=empty, paper=None, axes={}, changes=None, splits=(), command=None, fraction=None, seed_accuracies={}
    )
    table = rows(card)
    missing = (
        *("paper", "year", "link", "pooling, stride and dropout", "recipe", "optimizer", "learning rate", "schedule"),
        *("augmentation", "label smoothing", "epochs", "batch size", "weights that were tested", "precision", "seed"),
        *("weights at the start", "minutes of training", "code (digest of the sources)", "commit", "backend"),
        "changes of single layers",
        *("machine", "package versions", "date of the training (UTC)", "MLflow run", "licence of the data"),
    )
    assert {name: table[name] for name in missing} == {name: ["not recorded"] for name in missing}
    assert table["train"] == ["not recorded", "not recorded"]
    assert table["as recorded, test accuracy"][0] == "not recorded"
    assert "# Model card: not recorded" in str(card)
    assert "The command that repeats the run: not recorded." in str(card)
    assert table["test accuracy"] == ["60.00%", wilson(6, 10), "10"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 60.0])
def test_metrics_that_are_no_shares_are_not_recorded(value):
    table = rows(make_card(result=make_result(metrics={"test_accuracy": value})))
    assert table["as recorded, test accuracy"][0] == "not recorded"


HOSTILE = [
    "a|b",
    "<script>alert(1)</script>",
    "`rm -rf`",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "https://evil.example",
    "www.evil.example",
    "me@evil.example",
    "FTP://evil.example WWW.evil.example",
    "**bold** _em_ ~~no~~",
    "a\\|b",
    "a\n\n# Heading",
    "\x1b[2J\u202e",
]


def card_with(name):
    """The text of a card that has a name wherever text comes from outside."""
    card = make_card(
        data=replace(make_card().data, name=name, source=name, class_names=("a", name), copy_kind=name),
        result=make_result(params=dict.fromkeys(PARAMS, name), environment={name: name}, not_learning=name),
        paper=Paper(name, 1998, None),
        axes={"pooling": name},
        changes=[name],
        splits=[RecordedSplit(f"test_{name}", name, 4)],
        seed_accuracies={name: 0.5, "1": 0.5},
        loss=name,
    )
    return str(card)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_add_no_markdown_html_or_links(name):
    """The card has as much syntax as with a harmless name, and as many lines; a word joiner splits each address."""
    text, harmless = card_with(name), card_with("name")
    unlinked = re.sub("&#8288;(://|@)", "", text)
    for syntax in ("`", "|", "<", "[", "]", "*", "~", "\\", "://", "www.", "@", " _", "\n", "\n#"):
        assert unlinked.lower().count(syntax) == harmless.count(syntax), syntax
    assert text.replace("\n", "").isprintable()


def test_escape_markdown_leaves_plain_names_alone():
    for name in ("airplane", "load_digits", "T-shirt/top", "猫", "می\u200cخواهم", "32×32 (zeros)", "cifar10:3.0.2"):
        assert escape_markdown(name) == name


@pytest.mark.parametrize(
    ("arxiv", "url", "link"),
    [
        ("1412.6806", None, "https://arxiv.org/abs/1412.6806"),
        (None, "https://github.com/davidcpage/cifar10-fast", "https://github.com/davidcpage/cifar10-fast"),
        ("1412.6806> <b>", None, None),
        (None, "javascript:alert(1)", None),
        (None, "https://a.example/>|<b>", None),
        (None, None, None),
    ],
)
def test_paper_links_are_arxiv_numbers_or_plain_https(arxiv, url, link):
    assert Paper.from_config("title", 2014, arxiv, url).link == link


def test_limits_name_the_input_the_output_and_the_seeds():
    text = str(make_card())
    assert "one run of one seed (7)" in text
    assert "images of 32×32 pixels with one channel, grey, values 0 to 255 as `uint8`" in text
    assert "They are logits." in text
    several = str(make_card(seed_accuracies={"7": 0.6, "8": 0.7, "9": 0.5}))
    assert "with 3 seeds (7, 8, 9): test accuracy 50.00% to 70.00%, mean 60.00%" in several
    assert "They are no logits" in str(make_card(loss="CapsuleMarginLoss"))


def test_limits_warn_of_copies_and_of_other_test_images():
    data = make_card().data
    card = make_card(data=replace(data, digest="f" * 16, copy_kind="JPEG copy"))
    assert f"The run recorded **other** test images, digest {DIGEST}." in str(card)
    assert "JPEG copy, not the published images" in str(card)
    assert "**other**" not in str(make_card())


def test_export_has_its_comparison_with_the_model():
    latency = Latency(*[1.0] * len(Latency.__annotations__))
    check = ExportCheck("onnx", Path("reports/x/model.onnx"), 1234, 20, 1e-6, 0.95, (0.9, 0.85), (latency, latency))
    card = make_card(export=check)
    table = rows(card)
    assert table["format"] == ["onnx"]
    assert table["file"] == ["model.onnx"]
    assert table["share that gets the same class"] == ["95.00%"]
    assert str(card).index("## Export") > str(card).index("## Code and environment")


def test_licence_is_that_of_the_project():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"] == CODE_LICENSE
