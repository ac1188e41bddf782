"""The model card of a run, in Markdown: network, data, recipe, results, limits and origin.

Reference: Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv 1810.03993).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..evaluation.calibration import Calibration
from ..evaluation.exports import ExportCheck
from ..evaluation.metrics import Evaluation
from ..evaluation.shift import ShiftRobustness
from ..evaluation.statistics import accuracy_interval
from ..settings.text import printable
from ..tracking.results import RecordedSplit, Result

CODE_LICENSE = "Apache-2.0"
MISSING = "not recorded"
_MAX_LISTED_CLASSES = 20
_AXES = ("pooling", "stride", "dropout", "input_dropout")
_VIEWS = {"flip": "the mirror image", "views": "six views"}
_CHANNELS = {1: "one channel, grey", 3: "three channels, red, green and blue"}

# Characters that may begin a link, HTML, a code span, emphasis, a formula or another cell of a table.
_SYNTAX = {ord(each): f"&#{ord(each)};" for each in "\\`*[]|~$"} | {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
}
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # an underscore within a word is none
_AUTOLINK = re.compile(r"(?<=www)(?=\.)|(?=://)|(?=@)", re.IGNORECASE)
_ARXIV = re.compile(r"\d{4}\.\d{4,5}|[a-z-]+/\d{7}")
_ADDRESS = re.compile(r"https://[A-Za-z0-9.-]+(/[A-Za-z0-9._/-]*)?")
_NO_BREAK = "&#8288;"  # word joiner: it has no width, and no address has it


@dataclass(frozen=True)
class Paper:
    """The paper of a network, as its config states it.

    Attributes:
        title: of the paper, or None.
        year: of its publication, or None.
        link: its address, https only, or None.
    """

    title: str | None = None
    year: int | None = None
    link: str | None = None

    @classmethod
    def from_config(cls, title: str | None, year: int | None, arxiv: str | None, url: str | None) -> "Paper":
        """Return the paper that a config states, without a link that is no arXiv number or plain https address."""
        if arxiv is not None and _ARXIV.fullmatch(arxiv):
            return cls(title, year, f"https://arxiv.org/abs/{arxiv}")
        return cls(title, year, url if url is not None and _ADDRESS.fullmatch(url) else None)


@dataclass(frozen=True)
class TestData:
    """The images that the numbers of a card were measured on.

    Attributes:
        name: of the data set.
        source: a sentence that says where the images came from.
        class_names: in the order of the labels.
        digest: of the test images.
        image_shape: (height, width, channels).
        copy_kind: what the images are if they are not the published ones, such as "JPEG copy", or "".
        resize: how images of another size were resized: "squash", "crop" or "pad"; or None.
    """

    __test__ = False  # it is no class of tests

    name: str
    source: str
    class_names: Sequence[str]
    digest: str
    image_shape: Sequence[int]
    copy_kind: str = ""
    resize: str | None = None


@dataclass(frozen=True, eq=False)
class ModelCard:
    """The facts of a model card. `str(card)` is its text.

    Attributes:
        result: the record of the run.
        params: number of trainable parameters.
        macs: multiplications for one image.
        paper: of the network, or None.
        axes: values of the axes as the config states them; "paper" is the paper's.
        changes: settings of single layers that differ from the config of the network, or None if not recorded.
        data: the test images, and what the network expects of an image.
        splits: the parts of the data set that the run has recorded.
        fraction: share of the training images that were used, or None.
        command: the command that trains the network again, or None.
        evaluation: metrics on the test images.
        calibration: on the test images.
        robustness: metrics over shifts of test images.
        seed_accuracies: test accuracy by seed, of all finished runs of these settings, this one among them.
        input_dtype: of the images that the network takes.
        loss: name of the loss, or None if the scores are logits.
        export: an exported model, compared with this one, or None.
    """

    result: Result
    params: int
    macs: int
    data: TestData
    evaluation: Evaluation
    calibration: Calibration
    robustness: ShiftRobustness
    paper: Paper | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    changes: Sequence[str] | None = ()
    splits: Sequence[RecordedSplit] = ()
    fraction: float | None = None
    command: str | None = None
    seed_accuracies: Mapping[str, float] = field(default_factory=dict)
    input_dtype: str = "uint8"
    loss: str | None = None
    export: ExportCheck | None = None

    def __str__(self) -> str:
        sections = {
            "Data": self._data(),
            "Recipe": self._recipe(),
            "Results": self._results(),
            "Calibration": self._calibration(),
            "Robustness": self._robustness(),
            "Limits": self._limits(),
            "Code and environment": self._environment(),
            "Export": self._export(),
        }
        blocks = [*self._network()]
        for head, lines in sections.items():
            if text := list(lines):
                blocks += [f"## {head}", *text]
        return "\n\n".join(blocks) + "\n"

    @property
    def _name(self) -> str:
        return escape_markdown(self.result.params.get("model", MISSING))

    def _param(self, key: str) -> str:
        return escape_markdown(self.result.params.get(key, MISSING))

    def _network(self) -> Iterator[str]:
        paper = self.paper or Paper()
        yield f"# Model card: {self._name}"
        title = f"“{escape_markdown(paper.title)}”" if paper.title else f"a paper whose title is {MISSING}"
        year = "" if paper.year is None else f" ({paper.year})"
        yield (
            f"{self._name} is a neural network that assigns an image to one of {len(self.data.class_names):,} classes. "
            f"Its config cites {title}{year}."
        )
        changed = [f"{key}={self.axes[key]}" for key in _AXES if self.axes.get(key, "paper") != "paper"]
        yield _table(
            ("network", "value"),
            [
                ("paper", escape_markdown(paper.title) if paper.title else MISSING),
                ("year", MISSING if paper.year is None else str(paper.year)),
                ("link", f"<{paper.link}>" if paper.link else MISSING),
                (
                    "pooling, stride and dropout",
                    escape_markdown(", ".join(changed)) or ("the paper's" if self.axes else MISSING),
                ),
                (
                    "changes of single layers",
                    MISSING if self.changes is None else escape_markdown(", ".join(self.changes)) or "none",
                ),
                ("parameters", f"{self.params:,}"),
                ("multiplications (MACs) for one image", f"{self.macs:,}"),
            ],
        )

    def _data(self) -> Iterator[str]:
        names = self.data.class_names
        listed = ", ".join(map(escape_markdown, names[:_MAX_LISTED_CLASSES]))
        more = f" and {len(names) - _MAX_LISTED_CLASSES:,} more" if len(names) > _MAX_LISTED_CLASSES else ""
        kind = self.data.copy_kind
        rows = [
            ("data set", escape_markdown(self.data.name)),
            ("source", escape_markdown(self.data.source)),
            (f"classes ({len(names):,})", f"{listed}{more}"),
        ]
        if kind:
            rows.append(("test images", f"{escape_markdown(kind)}, not the published images"))
        if self.fraction is not None and self.fraction != 1:
            rows.append(("share of the training images that was used", f"{self.fraction:.2%}"))
        yield _table(("data", "value"), rows)
        splits = {split.name: split for split in self.splits}
        further = [name for name in splits if name not in ("train", "validation", "test")]
        table = []
        for name in ("train", "validation", "test", *further):
            split = splits.get(name)
            images = MISSING if split is None or split.images is None else f"{split.images:,}"
            table.append((escape_markdown(name), images, MISSING if split is None else escape_markdown(split.digest)))
        yield _table(("split", "images", "digest of images and labels"), table)

    def _recipe(self) -> Iterator[str]:
        seconds = self.result.metrics.get("training_seconds")
        rows = [
            ("recipe", self._param("recipe")),
            ("optimizer", self._part("optimizer")),
            ("learning rate", self._param("learning_rate")),
            ("schedule", self._part("schedule")),
            ("augmentation", self._part("augmentation")),
            ("label smoothing", self._param("label_smoothing")),
            ("epochs", self._param("epochs")),
            ("batch size", self._param("batch_size")),
            ("weights that were tested", self._param("select") + " epoch" * ("select" in self.result.params)),
            ("weights at the start", self._start_weights()),
            ("precision", self._param("precision")),
            ("seed", self._param("seed")),
            ("minutes of training", MISSING if seconds is None else f"{seconds / 60:.1f}"),
        ]
        yield _table(("recipe", "value"), rows)
        if self.command is None:
            yield f"The command that repeats the run: {MISSING}."
        else:
            yield "This command repeats the run:"
            yield f"```\n{printable(self.command)}\n```"

    def _part(self, part: str) -> str:
        """Format a part of the recipe with its arguments: `Muon (weight_decay=0.05)`."""
        params = self.result.params
        if part not in params:
            return MISSING
        prefix = f"recipe.{part}."
        arguments = ", ".join(f"{key.removeprefix(prefix)}={params[key]}" for key in params if key.startswith(prefix))
        return escape_markdown(f"{params[part]} ({arguments})" if arguments else params[part])

    def _start_weights(self) -> str:
        digest = self.result.params.get("weights")
        if digest is None:
            return "random" if "recipe" in self.result.params else MISSING
        return f"trained ones, digest {escape_markdown(digest)}"

    def _results(self) -> Iterator[str]:
        evaluation, metrics = self.evaluation, self.result.metrics
        total = evaluation.total
        rows = [_accuracy_row("test accuracy", evaluation.correct / total, total)]
        if evaluation.top5_accuracy is not None:
            rows.append(_accuracy_row("top-5 accuracy", evaluation.top5_accuracy, total))
        index, images, accuracy = _worst_class(evaluation)
        name = escape_markdown(self.data.class_names[index])
        rows.append(_accuracy_row(f"lowest accuracy of a class, {name}", accuracy, images))
        sizes = {split.name: split.images for split in self.splits}
        rows.append(_accuracy_row("as recorded, test accuracy", metrics.get("test_accuracy"), sizes.get("test")))
        for view, description in _VIEWS.items():
            value = metrics.get(f"test_{view}_accuracy")
            rows.append(_accuracy_row(f"as recorded, with {description} at test time", value, sizes.get("test")))
        for split in self.splits:
            if split.name.startswith("test_"):
                value, name = metrics.get(f"{split.name}_accuracy"), escape_markdown(split.name.removeprefix("test_"))
                rows.append(_accuracy_row(f"as recorded, on further test images {name}", value, split.images))
        yield _table(("result", "value", "95 % interval", "images"), rows)
        yield (
            "The interval is Wilson's, over samples of test images. It does not hold differences between seeds. The "
            "training command measured the rows “as recorded”. The others were measured for this card."
        )

    def _calibration(self) -> Iterator[str]:
        calibration = self.calibration
        bias = calibration.overconfidence
        yield _table(
            ("calibration", "value"),
            [
                ("expected calibration error (ECE)", f"{calibration.ece:.2%}"),
                ("bins of the confidence", str(len(calibration.counts))),
                (
                    "mean confidence minus accuracy",
                    f"{100 * bias:+.2f} points, {'over' if bias > 0 else 'under'}confident",
                ),
                ("mean cross-entropy, in nats", f"{self.evaluation.loss:.4f}"),
                ("test images", f"{self.evaluation.total:,}"),
            ],
        )
        yield "Confidence is the largest class probability, the softmax of the scores. No temperature was fitted."
        if self.loss:
            yield (
                f"The network was trained with {escape_markdown(self.loss)}, which does not make the softmax of its "
                "scores a probability."
            )

    def _robustness(self) -> Iterator[str]:
        robustness, metrics = self.robustness, self.result.metrics
        if robustness.max_shift:
            accuracy = robustness.accuracy
            yield _table(
                (f"shifts of up to {robustness.max_shift} pixel{'s' * (robustness.max_shift > 1)}", "value"),
                [
                    ("mean accuracy over all shifts", f"{accuracy.mean():.2%}"),
                    ("accuracy at the worst shift", f"{accuracy.min():.2%}"),
                    ("consistency: two shifts of an image get one class", f"{robustness.consistency:.2%}"),
                    ("stability: deviation of the true class's probability", f"±{robustness.stability:.3f}"),
                    ("test images", f"{robustness.images:,}"),
                    ("pixels that come in at the border", escape_markdown(robustness.border)),
                ],
            )
        else:
            command = f"python evaluate.py run={self.result.id} shift=4 card=true"
            yield f"Accuracy under shift: not measured. This command measures it:\n\n```\n{printable(command)}\n```"
        if "test_shift_accuracy" in metrics:
            consistency = metrics.get("test_shift_consistency")
            yield _table(
                ("two random shifts of each test image, as recorded after training", "value"),
                [
                    ("largest shift, in pixels", self._param("test_shift")),
                    ("accuracy", f"{metrics['test_shift_accuracy']:.2%}"),
                    ("consistency", MISSING if consistency is None else f"{consistency:.2%}"),
                ],
            )
        yield "Robustness against noise, blur, other cameras and attacks: not measured."

    def _limits(self) -> Iterator[str]:
        data = self.data
        height, width, channels = data.image_shape
        form = _CHANNELS.get(channels, f"{channels} channels")
        recorded = next((split.digest for split in self.splits if split.name == "test"), None)
        kind = f" ({escape_markdown(data.copy_kind)})" if data.copy_kind else ""
        tested = f"{self.evaluation.total:,} test images of {escape_markdown(data.name)}{kind}, digest {data.digest}"
        lines = [self._describe_seeds(), f"The results are those of {tested}. They say nothing about other data."]
        if recorded is None:
            lines.append("The run has not recorded which test images it used.")
        elif recorded != data.digest:
            lines.append(f"The run recorded **other** test images, digest {escape_markdown(recorded)}.")
        if self.result.not_learning:
            lines.append(f"The run counts as one that did not learn: {escape_markdown(self.result.not_learning)}")
        lines += [
            f"Input: images of {height}×{width} pixels with {form}, values 0 to 255 as `{self.input_dtype}`, in the "
            f"shape (images, {height}, {width}, {channels}). The network scales the values itself."
            + (f" Images of another size were resized by `{data.resize}`." if data.resize else ""),
            f"Output: {len(data.class_names):,} scores for each image, in the order of the classes above. "
            + (
                f"They are no logits, because the network was trained with {escape_markdown(self.loss)}."
                if self.loss
                else "They are logits. Their softmax gives probabilities."
            ),
            "Every image gets one of these classes, also an image that shows none of them.",
        ]
        yield "\n".join(f"- {line}" for line in lines)

    def _describe_seeds(self) -> str:
        """Describe how many runs of these settings there are, and the spread of their accuracies."""
        own = self._param("seed")
        values = self.seed_accuracies
        if len(values) < 2:
            return f"This is one run of one seed ({own}). How much another seed changes the results is not measured."
        seeds = ", ".join(escape_markdown(seed) for seed in values)
        mean = sum(values.values()) / len(values)
        return (
            f"This is the run with seed {own}. The same settings were trained with {len(values)} seeds ({seeds}): test "
            f"accuracy {min(values.values()):.2%} to {max(values.values()):.2%}, mean {mean:.2%}."
        )

    def _environment(self) -> Iterator[str]:
        environment = dict(self.result.environment)
        started = self.result.started
        first = {
            "code (digest of the sources)": environment.pop("code", None),
            "commit": environment.pop("commit", None),
            "backend": environment.pop("backend", None),
            "machine": environment.pop("machine", None),
        }
        rows = [(name, escape_markdown(value or MISSING)) for name, value in first.items()]
        rows += [(escape_markdown(name), escape_markdown(version)) for name, version in environment.items()]
        if not environment:
            rows.append(("package versions", MISSING))
        date = MISSING if started is None else str(datetime.fromtimestamp(started / 1000, UTC).date())
        rows += [
            ("date of the training (UTC)", date),
            ("MLflow run", escape_markdown(self.result.id or MISSING)),
            ("licence of the code", CODE_LICENSE),
            ("licence of the data", MISSING),
        ]
        yield _table(("origin", "value"), rows)

    def _export(self) -> Iterator[str]:
        check = self.export
        if check is None:
            return
        yield _table(
            ("export", "value"),
            [
                ("format", check.target),
                ("file", escape_markdown(check.path.name)),
                ("size, in bytes", f"{check.size:,}"),
                ("test images that were compared", f"{check.images:,}"),
                ("accuracy on them, of the export", f"{check.accuracy[0]:.2%}"),
                ("accuracy on them, of the model", f"{check.accuracy[1]:.2%}"),
                ("share that gets the same class", f"{check.agreement:.2%}"),
                ("largest difference of a score", f"{check.max_difference:.1e}"),
            ],
        )
        yield "The export computes in float32. The results above are the model's in Keras."


def escape_markdown(text: object) -> str:
    """Escape text from outside, so that it shows as it is in Markdown: no link, HTML, code, emphasis or table cell.

    Args:
        text: any object; its `str` is taken. Control characters are escaped as `settings.text.printable` does.

    Example:
        >>> escape_markdown("a|b <i>"), escape_markdown("load_digits")
        ('a&#124;b &lt;i&gt;', 'load_digits')
    """
    escaped = _EMPHASIS.sub("&#95;", printable(text).translate(_SYNTAX))
    return _AUTOLINK.sub(_NO_BREAK, escaped)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table of cells that are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _accuracy_row(name: str, accuracy: float | None, images: int | None) -> tuple[str, str, str, str]:
    """Format an accuracy with its Wilson interval; what is None is not recorded."""
    if accuracy is None or not 0 <= accuracy <= 1:
        return name, MISSING, "–", "–"
    if images is None:
        return name, f"{accuracy:.2%}", MISSING, MISSING
    low, high = accuracy_interval(round(accuracy * images), images)
    return name, f"{accuracy:.2%}", f"{low:.2%} to {high:.2%}", f"{images:,}"


def _worst_class(evaluation: Evaluation) -> tuple[int, int, float]:
    """Return index, number of images and accuracy of the class with the least accuracy, among those with images."""
    counts = evaluation.confusion.sum(axis=1)
    present = [index for index, count in enumerate(counts) if count]
    worst = min(present, key=lambda index: evaluation.confusion[index, index] / counts[index])
    return worst, int(counts[worst]), float(evaluation.confusion[worst, worst] / counts[worst])
