"""The effect of each part of a recipe: the recipe without the part, compared with the full recipe."""

from collections.abc import Sequence
from dataclasses import replace

from ..settings.ablation import ABLATE, NOTHING
from ..settings.metrics import METRIC
from .comparison import Difference, GridCell, paired_differences
from .statistics import adjust_holm, compute_p_value


def has_ablation(cells: Sequence[GridCell]) -> bool:
    """Return whether cells are of a recipe with and without parts."""
    values = {cell.values.get(ABLATE, "") for cell in cells}
    return NOTHING in values and len(values) > 1


def compute_ablation(cells: Sequence[GridCell], metric: str = METRIC, learning_only: bool = False) -> list[Difference]:
    """Compute the effect of leaving out each part of a recipe.

    Args:
        cells: of a study. Those without a part are compared with those of the full recipe, all else the same.
        metric: larger values of it are better.
        learning_only: True leaves out pairs with a run that did not learn.

    Returns:
        A difference for each part that has a seed in common with the full recipe: the metric without the part minus
        that with it. The largest loss is the first. p-values are adjusted after Holm for all these parts.
    """
    if not has_ablation(cells):
        return []
    parts = dict.fromkeys(cell.values[ABLATE] for cell in cells if cell.values[ABLATE] != NOTHING)
    effects = []
    for part in parts:
        by_seed = paired_differences(cells, {ABLATE: part}, {ABLATE: NOTHING}, metric, learning_only)
        if by_seed:
            effects.append(Difference(ABLATE, part, NOTHING, metric, by_seed, compute_p_value(by_seed)))
    adjusted = iter(adjust_holm([each.p for each in effects if each.p is not None]))
    effects = [each if each.p is None else replace(each, p=next(adjusted)) for each in effects]
    return sorted(effects, key=lambda each: each.spread.mean)
