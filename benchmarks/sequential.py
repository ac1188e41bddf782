"""Simulated studies that are looked at after every seed: how often they declare a difference that is not there.

`python -m convzoo.benchmarks.sequential` writes `results/sequential.json`, and prints the tables of docs/sequential.md.
The intervals are those of `evaluation.sequential`, which assume normal differences; here they also meet others.
"""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from ..evaluation.sequential import half_widths

RESULTS = Path(__file__).parents[1] / "results" / "sequential.json"
FIRST, LAST = 3, 40  # numbers of seeds
STUDIES = 10_000
CONFIDENCE = 0.95
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]  # differences with mean 0, one row a study


def _draw_dead_runs(share: float, sides: int) -> Draw:
    """Return a generator of differences with deviation 1 of which a share is 40 larger: that of a run which died.

    Args:
        share: of the pairs with a dead run.
        sides: 2 if either run of a pair may have died, 1 if it is always the same one.
    """

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        signs = rng.choice([-1, 1], shape) if sides == 2 else np.ones(shape)
        mean = 0.0 if sides == 2 else 40 * share
        return rng.normal(size=shape) + 40 * signs * (rng.random(shape) < share) - mean

    return draw


DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "uniform": lambda rng, shape: rng.uniform(-1, 1, shape),
    "skewed: exponential": lambda rng, shape: rng.exponential(size=shape) - 1,
    "skewed: lognormal (σ = 1)": lambda rng, shape: rng.lognormal(size=shape) - math.exp(0.5),
    "heavy tails: Student, 3 degrees": lambda rng, shape: rng.standard_t(3, shape),
    "heavy tails: Student, 2 degrees": lambda rng, shape: rng.standard_t(2, shape),
    "dead runs, 5 %, on either side": _draw_dead_runs(0.05, 2),
    "dead runs, 20 %, on either side": _draw_dead_runs(0.2, 2),
    "dead runs, 5 %, on one side": _draw_dead_runs(0.05, 1),
    "dead runs, 20 %, on one side": _draw_dead_runs(0.2, 1),
    "steps: one of -1, 0, 1 points": lambda rng, shape: rng.integers(-1, 2, shape).astype(float),
}


@dataclass(frozen=True)
class FalseDeclarations:
    """Shares of studies without a difference that exclude zero.

    Attributes:
        differences: name of their distribution; its mean is zero.
        anytime: share of studies that do so at one of the looks, by anytime-valid intervals.
        student_looks: the same by Student's intervals.
        student_once: by Student's interval at the last number of seeds alone.
    """

    differences: str
    anytime: float
    student_looks: float
    student_once: float


@dataclass(frozen=True)
class SeedsNeeded:
    """The seeds that it takes to decide that a difference is above the margin.

    Attributes:
        effect: distance of the mean from the margin, in standard deviations of the differences.
        median: number of seeds at which half of the studies have decided; None if fewer do so by `LAST`.
        eighty: the same of 80 % of the studies.
        decided: share of studies that have decided by `LAST`.
        fixed: number of seeds, chosen before, with which Student's interval decides in 80 % of studies.
    """

    effect: float
    median: int | None
    eighty: int | None
    decided: float
    fixed: int


def simulate_false_declarations(name: str, studies: int = STUDIES, seed: int = 0) -> FalseDeclarations:
    """Simulate studies without a difference.

    Args:
        name: of one of `DISTRIBUTIONS`.
        studies: how many.
        seed: of the random numbers.
    """
    means, deviations, n = _running_moments(DISTRIBUTIONS[name](np.random.default_rng(seed), (studies, LAST)))
    deviations = np.where(deviations > 0, deviations, np.inf)  # equal differences decide nothing, as in `evaluation`
    anytime = np.abs(means) > half_widths(n, CONFIDENCE) * deviations
    student = np.abs(means) > stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) / np.sqrt(n) * deviations
    rates = anytime.any(axis=1).mean(), student.any(axis=1).mean(), student[:, -1].mean()
    return FalseDeclarations(name, *map(float, rates))


def simulate_seeds(effect: float, studies: int = STUDIES, seed: int = 0) -> SeedsNeeded:
    """Simulate studies with normal differences whose mean lies above the margin.

    Args:
        effect: distance of the mean from the margin, in standard deviations.
        studies: how many.
        seed: of the random numbers.
    """
    draws = effect + np.random.default_rng(seed).normal(size=(studies, LAST))
    means, deviations, n = _running_moments(draws)
    decides = means - half_widths(n, CONFIDENCE) * deviations > 0
    decided = float(decides.any(axis=1).mean())
    at = np.where(decides.any(axis=1), n[decides.argmax(axis=1)], np.inf)
    quantiles = [float(np.quantile(at, share, method="inverted_cdf")) for share in (0.5, 0.8)]
    median, eighty = (int(each) if math.isfinite(each) else None for each in quantiles)
    return SeedsNeeded(effect, median, eighty, decided, count_fixed_seeds(effect))


def count_fixed_seeds(effect: float, power: float = 0.8) -> int:
    """Compute the number of seeds with which Student's interval excludes the margin with a given probability.

    Args:
        effect: distance of the mean from the margin, in standard deviations.
        power: the probability.
    """
    n = np.arange(FIRST, 2000)
    critical = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return int(n[(stats.nct.sf(critical, n - 1, effect * np.sqrt(n)) >= power).argmax()])


def _running_moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean and the deviation of the first n differences of each study, for each n from `FIRST` on, and n."""
    n = np.arange(1, values.shape[1] + 1)
    means = values.cumsum(axis=1) / n
    squares = (values**2).cumsum(axis=1) - n * means**2
    squares[squares < 1e-9 * (values**2).cumsum(axis=1)] = 0
    chosen = slice(FIRST - 1, None)
    return means[:, chosen], np.sqrt(squares[:, chosen] / (n[chosen] - 1)), n[chosen]


# Claims of the studies of docs/chapter.md: the distance of the mean from the margin, in deviations of the differences.
EFFECTS = {
    "a 1×1 convolution over channels or their maximum (equivalent)": 0.44,
    "max or average pooling": 0.74,
    "maximum or average over channels": 1.24,
    "strided convolution or max pooling": 1.84,
    "stride 1 or 2": 2.45,
    "zeros around the image": 2.9,
    "a blur before max pooling (consistency)": 3.1,
    "dropout of a quarter": 11.5,
}


def format_tables(rates: list[FalseDeclarations], seeds: dict[str, SeedsNeeded]) -> str:
    """Format the results as Markdown.

    Args:
        rates: of the distributions.
        seeds: mapping from the name of an effect to its numbers.
    """
    lines = [
        "| differences without a mean | anytime-valid, a look after each seed | Student, a look after each seed "
        f"| Student, one look at {LAST} |",
        "|---|---|---|---|",
    ]
    for rate in rates:
        mark = " **above 5 %**" if rate.anytime > 1 - CONFIDENCE else ""
        shares = f"{rate.anytime:.1%}{mark} | {rate.student_looks:.1%} | {rate.student_once:.1%}"
        lines.append(f"| {rate.differences} | {shares} |")
    lines += [
        "",
        "| effect, in deviations | of the size of | seeds until half of the studies have decided | until 80 % have "
        f"| decided by {LAST} seeds | fixed n with which 80 % decide |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in seeds.items():
        half, most = (f"more than {LAST}" if n is None else n for n in (each.median, each.eighty))
        lines.append(f"| {each.effect:g} | {name} | {half} | {most} | {each.decided:.0%} | {each.fixed} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Simulate, write the results and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m convzoo.benchmarks.sequential")
    parser.add_argument("--studies", type=int, default=STUDIES, help="simulated studies of each kind")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the file of the results")
    options = parser.parse_args(arguments)
    rates = [simulate_false_declarations(name, options.studies) for name in DISTRIBUTIONS]
    seeds = {name: simulate_seeds(effect, options.studies) for name, effect in EFFECTS.items()}
    content = {
        "studies": options.studies,
        "first": FIRST,
        "last": LAST,
        "confidence": CONFIDENCE,
        "false_declarations": [asdict(rate) for rate in rates],
        "seeds": {name: asdict(each) for name, each in seeds.items()},
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(format_tables(rates, seeds))


if __name__ == "__main__":
    main()
