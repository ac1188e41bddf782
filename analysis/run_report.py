"""The report of a run: what the trained network does on the test split, and what goes on inside it."""

import csv
import html
import io
import json
import math
import time
from functools import partial

import numpy as np
from scipy.special import softmax

from .. import UserError
from ..models import planning
from . import inside, pictures
from .calibration import calibration
from .evaluation import evaluate
from .page import PAGE, picture
from .properties import map_error
from .shift import BORDERS, chosen, under_shift

_MOVED = 32  # images whose maps are compared with those of the moved pictures
_MISTAKES = 18
_STAGES = 7
_BEST = 5
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


class RunReport:
    """What a trained network does.

    Args:
        name: of the run.
        data: `convzoo.data.Dataset`: its `test` split, its `class_names` and its `source` count.
        model: the network, uint8 pictures to class scores.
        scores: callable, pictures to its class scores (n, classes), in batches.
        loss: name of the loss, where the scores are no logits.
        shift: the largest shift, in pixels.
        images: how many test images are shifted, drawn at random and the same every time.
        border: what comes in, as `convzoo.analysis.shift` says.
        image_index: of the test image that is followed through the network.
        say: called with a line before what takes long; None prints it.

    Raises:
        UserError: `shift`, `images`, `border` or `image_index` cannot be.
    """

    def __init__(
        self, name, data, model, scores, *, loss=None, shift=4, images=500, border="circular", image_index=0, say=None
    ):
        test, say = data.test, say or partial(print, flush=True)
        _check(test, shift, images, border, image_index)
        self.name, self.model, self.test, self.class_names = name, model, test, data.class_names
        self.index, self.about = image_index, [data.source, *_no_logits(loss)]
        began = time.perf_counter()
        found = scores(test.x)
        seconds = (time.perf_counter() - began) / len(test.y)
        self.evaluation, self.probabilities = evaluate(found, test.y), softmax(found, axis=1)
        self.calibration = calibration(self.probabilities, test.y)
        some = chosen(len(test.y), images)
        offsets = (2 * shift + 1) ** 2
        say(f"{len(some):,} images at {offsets} offsets: about {1 + offsets * len(some) * seconds:,.0f} s")
        self.under_shift = under_shift(scores, test.x[some], test.y[some], shift, border)
        self.plan = planning.of(model)
        self.stages = inside.stages(self.plan)
        self.errors = equivariance_errors(model, self.plan, self.stages, test.x[some[:_MOVED]])

    @property
    def metrics(self):
        """The numbers by name."""
        by_class = zip(self.class_names, self.evaluation.per_class, strict=True)
        return {
            **self.evaluation.metrics,
            **{f"accuracy/{name}": value for name, value in by_class},
            "ece": self.calibration.ece,
            "shift_accuracy": self.under_shift.accuracy.mean(),
            "shift_consistency": self.under_shift.consistency,
            "shift_stability": self.under_shift.stability,
        }

    def figures(self):
        """Mapping from file name to matplotlib figure."""
        right = self.probabilities.argmax(axis=1) == self.test.y
        sure = self.probabilities.max(axis=1)
        wrong = np.flatnonzero(~right)
        wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:_MISTAKES]
        answers = self.probabilities.argmax(axis=1)[wrong]
        kernel = inside.first_kernel(self.model)
        made = {
            "confusion_matrix": pictures.confusion_matrix(self.evaluation.confusion, self.class_names, self.name),
            "mistakes": pictures.mistakes(
                self.test.x[wrong],
                answers,
                self.test.y[wrong],
                sure[wrong],
                self.class_names,
                f"{self.name}\nthe surest of {(~right).sum():,} mistakes",
            ),
            "reliability": pictures.reliability(self.calibration, self.name),
            "accuracy_under_shift": pictures.accuracy_under_shift(self.under_shift, self.name),
            "equivariance": pictures.equivariance(self.stages, self.errors, self.name) if self.errors else None,
            "filters": None if kernel is None else pictures.filters(kernel, self.name),
        }
        image, true = self.test.x[self.index], self.class_names[self.test.y[self.index]]
        title = f"{self.name}\ntest image {self.index}: {true}"
        made |= followed(self.model, self.plan, image, self.probabilities[self.index], self.class_names, title)
        return {f"{key}.png": figure for key, figure in made.items() if figure is not None}

    def csv(self):
        """The equivariance error of each stage, a line each."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["layer", "jump", *(f"{of}_{shift}px" for shift in self.errors for of in ("whole", "inner"))])
        columns = [values for both in self.errors.values() for values in both]
        for stage, *errors in zip(self.stages, *columns, strict=True):
            writer.writerow([stage.name, "x".join(map(str, stage.row.jump)), *errors])
        return text.getvalue()

    def __str__(self):
        return "\n".join([self.evaluation.table(self.class_names), "", *self._numbers()])

    def html(self, figures):
        """The page, with the pictures inside it."""
        return page(self.name, [*self.about, *self._numbers()], self.evaluation.table(self.class_names), figures)

    def _numbers(self):
        moved = self.under_shift
        rates = f"accuracy {moved.accuracy.mean():.2%}, at worst {moved.accuracy.min():.2%}"
        return [
            str(self.evaluation),
            f"calibration error (ECE) {self.calibration.ece:.2%}, "
            f"{'over' if self.calibration.overconfidence > 0 else 'under'}confident by "
            f"{abs(self.calibration.overconfidence):.2%}",
            f"shifted by up to {moved.most} pixels ({moved.images:,} images, {moved.border} border): {rates}, "
            f"consistency {moved.consistency:.2%}, stability ±{moved.stability:.3f}",
        ]


class Answer:
    """What a network says of one picture.

    Args:
        title: what stands above.
        model: the network, uint8 pictures to class scores.
        image: uint8, shape (height, width, channels).
        scores: of the picture, shape (classes,).
        class_names: in the order of the labels.
        loss: name of the loss, where the scores are no logits.
    """

    def __init__(self, title, model, image, scores, class_names, loss=None):
        self.about = list(_no_logits(loss))
        self.title, self.model, self.image, self.class_names = title, model, image, class_names
        self.probabilities = softmax(np.asarray(scores, float))

    def figures(self):
        """Mapping from file name to matplotlib figure."""
        plan = planning.of(self.model)
        made = followed(self.model, plan, self.image, self.probabilities, self.class_names, self.title)
        return {f"{key}.png": figure for key, figure in made.items()}

    def request(self):
        """The picture as `mlflow models serve` takes it."""
        return json.dumps({"inputs": [self.image.tolist()]})

    def html(self, figures):
        """The page, with the pictures inside it."""
        return page(self.title, self.about, str(self), figures)

    def __str__(self):
        best = np.argsort(-self.probabilities, kind="stable")[:_BEST]
        width = max(len(self.class_names[each]) for each in best)
        return "\n".join(f"{self.class_names[each]:<{width}}  {self.probabilities[each]:>7.2%}" for each in best)


def followed(model, plan, image, probabilities, class_names, title):
    """Figures of one picture on its way through a network, by name without a suffix.

    Args:
        model, plan: as for `inside.outputs`.
        image: uint8, shape (height, width, channels).
        probabilities: of the classes, shape (classes,).
        class_names: in the order of the labels.
        title: what stands above.
    """
    stages = inside.stages(plan, _STAGES)
    made = {"said": pictures.said(image, probabilities, class_names, title)}
    if stages:
        rows = [stage.row for stage in stages]
        maps = [each[0] for each in inside.outputs(model, plan, image[None], rows)]
        units = inside.strongest_units(model, plan, image, rows)
        made["feature_maps"] = pictures.feature_maps(image, stages, maps, title)
        made["receptive_field"] = pictures.receptive_fields(image, stages, units, title)
    return made


def equivariance_errors(model, plan, stages, images):
    """Equivariance error of each stage, `convzoo.analysis.properties.map_error`, under circular shifts to the right.

    Returns:
        Mapping from the shift in pixels to two lists, one value a stage: of whole maps, and of the cells alone that saw
        neither padding nor the seam of the shift, NaN where there are none. The shifts are 1 pixel, and the largest
        distance between neighbours of a map within a quarter of the picture: by it all maps but coarser ones move a
        whole number of cells.
    """
    rows = [stage.row for stage in stages]
    if not rows:
        return {}
    before, errors = inside.outputs(model, plan, images, rows), {}
    for shift in sorted({1, max([row.jump[1] for row in rows if row.jump[1] <= images.shape[2] / 4], default=1)}):
        after = inside.outputs(model, plan, np.roll(images, shift, axis=2), rows)
        whole, inner = [], []
        for one, other, row in zip(before, after, rows, strict=True):
            cells, border = (0, shift / row.jump[1]), _border(row, shift, images.shape[2])
            whole.append(map_error(one, other, cells))
            inner.append(np.nan if border is None else map_error(one, other, cells, (0, border)))
        errors[shift] = whole, inner
    return errors


def _border(row, shift, width):
    """Cells at the left and right of a map that saw what is no part of a picture moved by `shift`; None if all did."""
    starts = np.arange(row.output_shape[1]) * row.jump[1] - row.padding[1]
    clean = np.flatnonzero((starts >= shift) & (starts + row.receptive_field[1] <= width))
    if not clean.size:
        return None
    border = max(clean[0], len(starts) - 1 - clean[-1])
    return int(border) if 2 * border < len(starts) else None


def page(title, lines, table, figures):
    """A page with a few lines, a table as text, and pictures with what `CAPTIONS` says of them."""
    body = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(line)}</p>" for line in lines)]
    body += [f"<pre>{html.escape(table)}</pre>"]
    for name, figure in figures.items():
        body += [f"<p>{html.escape(CAPTIONS[name.removesuffix('.png')])}</p>", picture(name, figure)]
    return PAGE.format(title=html.escape(title), body="\n".join(body))


def _no_logits(loss):
    """What has to be said of a network that was trained by another loss than cross-entropy, as lines."""
    if loss:
        yield f"trained by {loss}: the softmax of its scores, which confidence means here, was never asked to be one"


def _check(test, shift, images, border, index):
    smallest, total = min(test.x.shape[1:3]), len(test.y)
    ranges = {"shift": (shift, 0, smallest - 1), "images": (images, 1, math.inf), "image_index": (index, 0, total - 1)}
    for key, (value, least, most) in ranges.items():
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            rule = f"at least {least}" if most == math.inf else f"from {least} to {most:,}"
            raise UserError(f"`{key}` must be an integer, {rule}. Received: {key}={value!r}")
    if border not in BORDERS:
        raise UserError(f"`border` must be one of {', '.join(BORDERS)}. Received: border={border!r}")
