"""The effects of leaving out parts of a recipe, in the report of a study: a table, bars, and lines."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ..evaluation.ablation import compute_ablation
from ..evaluation.comparison import Difference, GridCell
from ..settings.metrics import METRIC
from ..tracking.run_names import short_setting
from .plots.ablation import draw_ablation
from .table_formats import format_p_value, format_share_interval

TITLE = "What leaving out a part of the recipe does, all else the same"
NOTE = (
    "A part is left out alone, and all else stays as the full recipe has it, the learning rate too. The difference is "
    "the recipe without the part minus the full recipe, within a seed. p-values of parts are of paired t-tests, "
    "adjusted after Holm for all parts of the table that have the same metric; intervals are not adjusted."
)
_LONGEST_PART = 60  # characters


class Ablation:
    """The effects of leaving out parts of a recipe.

    Args:
        cells: of a study.
        metrics: those of which the effects are computed, shares.
        has_marked: whether some runs did not learn.

    Attributes:
        effects: a difference for each metric and part, of each metric the largest loss first; none in other studies.
        learning_effects: mapping from metric and part to the difference without runs that did not learn.
    """

    def __init__(self, cells: Sequence[GridCell], metrics: Sequence[str], has_marked: bool) -> None:
        self.effects = [each for metric in metrics for each in compute_ablation(cells, metric)]
        self.learning_effects: dict[tuple[str, str], Difference] = {}
        if has_marked and self.effects:
            for metric in metrics:
                for each in compute_ablation(cells, metric, learning_only=True):
                    self.learning_effects[metric, each.first] = each

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the heads and the rows of the table."""
        has_metrics = len({each.metric for each in self.effects}) > 1
        heads = ["left out", *["metric"] * has_metrics, "difference, points", "95 % interval, points", "seeds"]
        heads += ["p after Holm", *["without runs that did not learn"] * bool(self.learning_effects)]
        return heads, [self._row(each, has_metrics) for each in self.effects]

    def draw(self, study: str) -> Figure:
        """Draw the effects on accuracy as bars, the largest loss at the top."""
        shown = [each for each in self.effects if each.metric == METRIC]
        learning = {part: each for (metric, part), each in self.learning_effects.items() if metric == METRIC}
        return draw_ablation(f"{study}: the recipe without a part, minus the full recipe", shown, learning)

    def lines(self) -> list[str]:
        """Return a line for each part: its effect on accuracy."""
        lines = []
        for each in self.effects:
            if each.metric == METRIC:
                p = f", p after Holm {format_p_value(each.p)}" if each.p is not None else ""
                lines.append(f"{self.describe(each)}{p}, n = {each.spread.n} seeds")
        return lines

    @staticmethod
    def describe(effect: Difference) -> str:
        """Describe an effect: `no augmentation.flip: -1.20 points (-1.52 to -0.88)`."""
        interval = format_share_interval(effect.spread, -1)
        in_brackets = f" ({interval})" if effect.spread.low is not None else ""
        return f"{short_setting(effect.axis, effect.first)}: {100 * effect.spread.mean:+.2f} points{in_brackets}"

    def _row(self, each: Difference, has_metrics: bool) -> list[str]:
        row = [each.first[:_LONGEST_PART], *[each.metric.removeprefix("test_").replace("_", " ")] * has_metrics]
        row += [f"{100 * each.spread.mean:+.2f}", format_share_interval(each.spread, -1), str(each.spread.n)]
        row.append(format_p_value(each.p))
        if self.learning_effects:
            learning = self.learning_effects.get((each.metric, each.first))
            row.append(f"{100 * learning.spread.mean:+.2f}, n = {learning.spread.n}" if learning else "no pair")
        return row
