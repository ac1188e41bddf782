"""Speed of the augmentations on one core, as ratios to mirror images and shifts together.

Batches of 128 images of 32×32 pixels and three channels. The augmentations take turns of some batches each; a ratio is
the median over the turns, with its quartiles. Seconds are those of the processor, which other programs do not add to.
"""

import time

import numpy as np

from ..data import (
    Augmentation,
    ColorJitter,
    CutMix,
    Cutout,
    MixUp,
    RandAugment,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomTranslation,
    Split,
    TrivialAugment,
)
from ..data.batches import Batches
from ..tracking import environment
from . import command

BATCH_SIZE = 128
IMAGES = 12_800  # more than the caches of a processor hold
BATCHES = 5  # a turn
REFERENCE = "flip + translation"


def list_contestants() -> dict[str, list[Augmentation]]:
    """Return lists of augmentations by name, the reference first."""
    singles: list[Augmentation] = [
        RandomFlip(),
        RandomTranslation(2),
        RandomCrop(4),
        Cutout(8),
        RandomErasing(),
        MixUp(),
        CutMix(),
        ColorJitter(0.4, 0.4, 0.4, 0.1),
        RandomRotation(15),
        RandomResizedCrop(),
        RandAugment(),
        TrivialAugment(),
    ]
    return {
        REFERENCE: [RandomFlip(), RandomTranslation(2)],
        "none": [],
        **{type(each).__name__: [each] for each in singles},
    }


def measure(turns: int) -> dict[str, dict[str, float]]:
    """Return the speed of each contestant.

    Args:
        turns: number of turns.

    Returns:
        A mapping by name to `images_per_second`, `ratio` to the reference, and the quartiles `low` and `high` of the
        ratio.
    """
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (IMAGES, 32, 32, 3), np.uint8), rng.integers(0, 10, IMAGES).astype(np.int32))
    contestants = {
        name: Batches(split, BATCH_SIZE, 0, augmentations, 10) for name, augmentations in list_contestants().items()
    }
    for batches in contestants.values():
        batches.batch(0, 0)  # imports Pillow
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(turns):
        for name, batches in contestants.items():
            first_step = turn * BATCHES % (batches.steps - BATCHES)
            start = time.thread_time()
            for step in range(first_step, first_step + BATCHES):
                batches.batch(0, step)
            seconds[name].append(time.thread_time() - start)
    speeds = {name: BATCHES * BATCH_SIZE / np.array(values) for name, values in seconds.items()}
    rows = {}
    for name, speed in speeds.items():
        low, ratio, high = np.quantile(speed / speeds[REFERENCE], (0.25, 0.5, 0.75)).round(3).tolist()
        rows[name] = {"images_per_second": round(float(np.median(speed))), "ratio": ratio, "low": low, "high": high}
    return rows


def main() -> None:
    """Run the benchmark of the command line."""
    parser = command.make_parser(".augmentation", __doc__, turns=30)
    arguments = parser.parse_args()
    rows = measure(arguments.turns)
    print(environment.describe_machine())
    print(f"{'one core, batches of 128':26} images/s  ratio (quartiles)")
    for name, row in rows.items():
        print(f"{name:26} {row['images_per_second']:8,} {row['ratio']:6.3f} ({row['low']:.3f}-{row['high']:.3f})")
    command.write_results(arguments.output, turns=arguments.turns, rows=rows)


if __name__ == "__main__":
    main()
