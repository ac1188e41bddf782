"""The report of a run: metrics, predictions and inner outputs of the trained network on the test split."""

import csv
import io
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from matplotlib.figure import Figure
from scipy.special import softmax

from .. import UserError
from ..data import Dataset, Split
from ..evaluation import activations
from ..evaluation.activations import Stage
from ..evaluation.calibration import Calibration, compute_calibration
from ..evaluation.equivariance import map_error
from ..evaluation.metrics import Evaluation, Predict, evaluate
from ..evaluation.shift import BORDER_MODES, ShiftRobustness, measure_shift_robustness, sample_indices
from ..models import planning
from ..models.planning import Plan, PlanRow
from . import plots
from .html import encode_image, render_page

Errors = dict[int, tuple[list[float], list[float]]]  # from a shift to an error a stage, of whole maps and inner parts

_EQUIVARIANCE_IMAGES = 32  # images whose maps are compared with those of the shifted images
_MAX_MISTAKES = 18
_MAX_STAGES = 7
_TOP_CLASSES = 5
CAPTIONS = {
    "confusion_matrix": "Which class was taken for which. The diagonal is right.",
    "mistakes": "The wrong answers that the network was surest of: often a picture says why.",
    "reliability": "Of answers given with a confidence of 80 %, 80 % should be right. Bars below the diagonal promise "
    "more than they keep. ECE, the expected calibration error, is the mean gap, weighted by the answers "
    "(Guo et al. 2017).",
    "accuracy_under_shift": "Accuracy with every picture moved by so many pixels. Consistency is how often two shifts "
    "of one picture get one class; ± is the standard deviation of the true class's probability over all shifts, "
    "mean over pictures (Zhang 2019).",
    "equivariance": "The picture moves, the map should move alike; 0 is equivariant. Dashed is the inner part of the "
    "map, as far as there is one: what saw neither padding nor the seam of the circular shift. There a convolution "
    "loses nothing, and a stride only when the map would have to move by a fraction of its cells. The rest is the "
    "border's.",
    "filters": "What the first convolution looks for: edges, colours, spots, where training came that far.",
    "said": "One picture, which the next two follow through the network.",
    "feature_maps": "What the layers make of it, of each the eight channels that vary most. Numbers are channels. "
    "Later maps are coarser, and each of their cells sees more.",
    "receptive_field": "The strongest unit of each stage. The box is its receptive field, all that can reach it, with "
    "the padding around the picture; bright below are the pixels that change it where they turn grey.",
}


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """The network of a run.

    Attributes:
        name: name of the run.
        model: the network, from uint8 images to class scores.
        predict: computes the scores of images in batches.
        loss: name of the loss, or None if the scores are logits.
    """

    name: str
    model: keras.Model
    predict: Predict
    loss: str | None = None


@dataclass(frozen=True)
class ReportOptions:
    """The settings of a run's report.

    Attributes:
        shift: the largest shift, in pixels.
        images: number of test images that are shifted, a random sample that is the same every time.
        border: the pixels that come in: "circular", "reflect" or "zeros", see `evaluation.shift`.
        image_index: index of the test image that is followed through the network.
    """

    shift: int = 4
    images: int = 500
    border: str = "circular"
    image_index: int = 0


@dataclass(frozen=True, eq=False)
class RunReport:
    """The report of a trained network. `RunReport.compute` makes it.

    Attributes:
        network: the network.
        data: the data set: its `test` split, its `class_names` and its `source` count.
        image_index: index of the test image that is followed through the network.
        probabilities: of the classes, for each test image, shape (n, classes).
        evaluation: metrics on the test split.
        calibration: of the network on the test split.
        shift_robustness: metrics over all shifts of a sample of test images.
        plan: of the network.
        stages: of the network.
        errors: equivariance errors, see `equivariance_errors`.
    """

    network: TrainedNetwork
    data: Dataset
    image_index: int
    probabilities: np.ndarray
    evaluation: Evaluation
    calibration: Calibration
    shift_robustness: ShiftRobustness
    plan: Plan
    stages: list[Stage]
    errors: Errors

    @classmethod
    def compute(
        cls,
        network: TrainedNetwork,
        data: Dataset,
        options: ReportOptions | None = None,
        log: Callable[[str], object] = partial(print, flush=True),  # noqa: B008, it holds no state
    ) -> "RunReport":
        """Run the network on the test split and on shifted images, which may take minutes.

        Args:
            network: the network.
            data: the data set.
            options: None means the defaults.
            log: is called with a line about the duration before the longest step.

        Raises:
            UserError: an option is out of its range.
        """
        options = options or ReportOptions()
        test = data.test
        _check_options(test, options)
        start = time.perf_counter()
        scores = network.predict(test.x)
        seconds = (time.perf_counter() - start) / len(test.y)
        probabilities = softmax(scores, axis=1)
        indices = sample_indices(len(test.y), options.images)
        offsets = (2 * options.shift + 1) ** 2
        log(f"{len(indices):,} images at {offsets} offsets: about {1 + offsets * len(indices) * seconds:,.0f} s")
        plan = planning.plan_model(network.model)
        stages = activations.find_stages(plan)
        return cls(
            network=network,
            data=data,
            image_index=options.image_index,
            probabilities=probabilities,
            evaluation=evaluate(scores, test.y),
            calibration=compute_calibration(probabilities, test.y),
            shift_robustness=measure_shift_robustness(
                network.predict, test.x[indices], test.y[indices], options.shift, options.border
            ),
            plan=plan,
            stages=stages,
            errors=equivariance_errors(network.model, plan, stages, test.x[indices[:_EQUIVARIANCE_IMAGES]]),
        )

    @property
    def metrics(self) -> dict[str, float]:
        """Mapping from name to number."""
        by_class = zip(self.data.class_names, self.evaluation.per_class, strict=True)
        return {
            **self.evaluation.metrics,
            **{f"accuracy/{name}": value for name, value in by_class},
            "ece": self.calibration.ece,
            "shift_accuracy": float(self.shift_robustness.accuracy.mean()),
            "shift_consistency": self.shift_robustness.consistency,
            "shift_stability": self.shift_robustness.stability,
        }

    def figures(self) -> dict[str, Figure]:
        """Draw the figures; returns a mapping from file name to figure."""
        name, class_names, test = self.network.name, self.data.class_names, self.data.test
        kernel = activations.get_first_kernel(self.network.model)
        figures = {
            "confusion_matrix": plots.plot_confusion_matrix(self.evaluation.confusion, class_names, name),
            "mistakes": self._plot_mistakes(),
            "reliability": plots.plot_reliability(self.calibration, name),
            "accuracy_under_shift": plots.plot_accuracy_by_shift(self.shift_robustness, name),
            "equivariance": plots.plot_equivariance(self.stages, self.errors, name) if self.errors else None,
            "filters": None if kernel is None else plots.plot_filters(kernel, name),
        }
        index = self.image_index
        prediction = Prediction(
            test.x[index],
            self.probabilities[index],
            class_names,
            f"{name}\ntest image {index}: {class_names[test.y[index]]}",
        )
        figures |= single_image_figures(self.network.model, self.plan, prediction)
        return {f"{key}.png": figure for key, figure in figures.items() if figure is not None}

    def _plot_mistakes(self) -> Figure:
        test = self.data.test
        predicted = self.probabilities.argmax(axis=1)
        confidence = self.probabilities.max(axis=1)
        wrong = np.flatnonzero(predicted != test.y)
        shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:_MAX_MISTAKES]
        mistakes = plots.Mistakes(test.x[shown], predicted[shown], test.y[shown], confidence[shown])
        title = f"{self.network.name}\nthe surest of {len(wrong):,} mistakes"
        return plots.plot_mistakes(mistakes, self.data.class_names, title)

    def csv(self) -> str:
        """Format the equivariance error of each stage, a line each."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["layer", "jump", *(f"{of}_{shift}px" for shift in self.errors for of in ("whole", "inner"))])
        columns = [values for both in self.errors.values() for values in both]
        for stage, *errors in zip(self.stages, *columns, strict=True):
            writer.writerow([stage.name, "x".join(map(str, stage.row.jump)), *errors])
        return text.getvalue()

    def __str__(self) -> str:
        return "\n".join([self.evaluation.format_table(self.data.class_names), "", *self._summary_lines()])

    def html(self, figures: Mapping[str, Figure]) -> str:
        """Render the page, with the figures inside it.

        Args:
            figures: mapping from file name to figure.
        """
        lines = [self.data.source, *_describe_loss(self.network.loss), *self._summary_lines()]
        return _render_run_page(self.network.name, lines, self.evaluation.format_table(self.data.class_names), figures)

    def _summary_lines(self) -> list[str]:
        robustness = self.shift_robustness
        rates = f"accuracy {robustness.accuracy.mean():.2%}, at worst {robustness.accuracy.min():.2%}"
        return [
            str(self.evaluation),
            f"calibration error (ECE) {self.calibration.ece:.2%}, "
            f"{'over' if self.calibration.overconfidence > 0 else 'under'}confident by "
            f"{abs(self.calibration.overconfidence):.2%}",
            f"shifted by up to {robustness.max_shift} pixels "
            f"({robustness.images:,} images, {robustness.border} border): {rates}, "
            f"consistency {robustness.consistency:.2%}, stability ±{robustness.stability:.3f}",
        ]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of a network for one image.

    Attributes:
        image: uint8, shape (height, width, channels).
        probabilities: of the classes, shape (classes,).
        class_names: in the order of the labels.
        title: of the figures.
    """

    image: np.ndarray
    probabilities: np.ndarray
    class_names: Sequence[str]
    title: str


class ImageReport:
    """The report of a network's prediction for one image.

    Args:
        title: of the page.
        network: the network.
        image: uint8, shape (height, width, channels).
        scores: of the image, shape (classes,).
        class_names: in the order of the labels.
    """

    def __init__(
        self, title: str, network: TrainedNetwork, image: np.ndarray, scores: np.ndarray, class_names: Sequence[str]
    ) -> None:
        self.network = network
        self.prediction = Prediction(image, softmax(np.asarray(scores, float)), class_names, title)

    def figures(self) -> dict[str, Figure]:
        """Draw the figures; returns a mapping from file name to figure."""
        model = self.network.model
        figures = single_image_figures(model, planning.plan_model(model), self.prediction)
        return {f"{key}.png": figure for key, figure in figures.items()}

    def request(self) -> str:
        """Return the image as a request to `mlflow models serve`."""
        return json.dumps({"inputs": [self.prediction.image.tolist()]})

    def html(self, figures: Mapping[str, Figure]) -> str:
        """Render the page, with the figures inside it.

        Args:
            figures: mapping from file name to figure.
        """
        return _render_run_page(self.prediction.title, list(_describe_loss(self.network.loss)), str(self), figures)

    def __str__(self) -> str:
        names, probabilities = self.prediction.class_names, self.prediction.probabilities
        top = np.argsort(-probabilities, kind="stable")[:_TOP_CLASSES]
        width = max(len(names[index]) for index in top)
        return "\n".join(f"{names[index]:<{width}}  {probabilities[index]:>7.2%}" for index in top)


def single_image_figures(model: keras.Model, plan: Plan, prediction: Prediction) -> dict[str, Figure]:
    """Draw the prediction for an image, and the outputs of inner layers.

    Args:
        model, plan: as for `evaluation.activations.compute_outputs`.
        prediction: the image and the network's prediction.

    Returns:
        Mapping from name, without a suffix, to figure.
    """
    image, title = prediction.image, prediction.title
    stages = activations.find_stages(plan, _MAX_STAGES)
    figures = {"said": plots.plot_prediction(image, prediction.probabilities, prediction.class_names, title)}
    if stages:
        rows = [stage.row for stage in stages]
        maps = [outputs[0] for outputs in activations.compute_outputs(model, plan, image[None], rows)]
        units = activations.find_strongest_units(model, plan, image, rows)
        figures["feature_maps"] = plots.plot_feature_maps(image, stages, maps, title)
        figures["receptive_field"] = plots.plot_receptive_fields(image, stages, units, title)
    return figures


def equivariance_errors(model: keras.Model, plan: Plan, stages: Sequence[Stage], images: np.ndarray) -> Errors:
    """Measure the equivariance error of each stage under circular shifts to the right.

    The shifts are 1 pixel and the largest distance between neighbouring cells of a map, up to a quarter of the image:
    by the latter all but coarser maps move a whole number of cells.

    Args:
        model, plan: as for `evaluation.activations.compute_outputs`.
        stages: of the network.
        images: uint8, shape (n, height, width, channels).

    Returns:
        Mapping from the shift in pixels to two lists with an `evaluation.equivariance.map_error` for each stage: of
        whole maps, and of the inner cells, those whose receptive field contains neither padding nor the seam of the
        shift; NaN where there are none.
    """
    rows = [stage.row for stage in stages]
    if not rows:
        return {}
    outputs = activations.compute_outputs(model, plan, images, rows)
    errors: Errors = {}
    for shift in sorted({1, max([row.jump[1] for row in rows if row.jump[1] <= images.shape[2] / 4], default=1)}):
        shifted_outputs = activations.compute_outputs(model, plan, np.roll(images, shift, axis=2), rows)
        whole: list[float] = []
        inner: list[float] = []
        for maps, shifted_maps, row in zip(outputs, shifted_outputs, rows, strict=True):
            cells, border = (0, shift / row.jump[1]), _count_border_cells(row, shift, images.shape[2])
            whole.append(map_error(maps, shifted_maps, cells))
            inner.append(np.nan if border is None else map_error(maps, shifted_maps, cells, (0, border)))
        errors[shift] = whole, inner
    return errors


def _count_border_cells(row: PlanRow, shift: int, width: int) -> int | None:
    """Count the cells at each side of a map whose receptive field contains padding or the seam of a shift.

    Returns:
        The number, or None if there are no other cells.
    """
    starts = np.arange(row.output_shape[1]) * row.jump[1] - row.padding[1]
    clean = np.flatnonzero((starts >= shift) & (starts + row.receptive_field[1] <= width))
    if not clean.size:
        return None
    border = max(clean[0], len(starts) - 1 - clean[-1])
    return int(border) if 2 * border < len(starts) else None


def _render_run_page(title: str, lines: Sequence[str], table: str, figures: Mapping[str, Figure]) -> str:
    """Render a page with a few lines, a table, and figures with their captions."""
    images = [
        {"name": name, "caption": CAPTIONS[name.removesuffix(".png")], "address": encode_image(figure)}
        for name, figure in figures.items()
    ]
    return render_page("run.html", title=title, lines=lines, table=table.splitlines(), images=images)


def _describe_loss(loss: str | None) -> Iterator[str]:
    """Warn of a loss other than cross-entropy, in a line."""
    if loss:
        yield f"trained by {loss}: the softmax of its scores, which confidence means here, was never asked to be one"


def _check_options(test: Split, options: ReportOptions) -> None:
    smallest, total = min(test.x.shape[1:3]), len(test.y)
    ranges = {"shift": (0, smallest - 1), "images": (1, math.inf), "image_index": (0, total - 1)}
    for key, (least, highest) in ranges.items():
        value = getattr(options, key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= highest:
            rule = f"at least {least}" if highest == math.inf else f"from {least} to {highest:,}"
            raise UserError(f"`{key}` must be an integer, {rule}. Received: {key}={value!r}")
    if options.border not in BORDER_MODES:
        raise UserError(f"`border` must be one of {', '.join(BORDER_MODES)}. Received: border={options.border!r}")
