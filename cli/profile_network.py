"""`python -m convzoo.models profile NAME`: the latency of a network by batch size, beside its multiplications."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .. import UserError
from ..evaluation.latency import Latency, measure_latency
from ..training import backend
from .words import parse_setting

_COLUMNS = "{:>6}{:>12}{:>12}{:>12}{:>12}{:>8}"
_HEAD = ("batch", "median, ms", "p95, ms", "images/s", "GMACs/s", "calls")
_BATCH_SIZES = (1, 8, 32, 128)


@dataclass(frozen=True)
class Profile:
    """The latency of a network for batches of one size.

    Attributes:
        batch_size: images a call.
        macs: multiplications of one image.
        latency: of a call.
    """

    batch_size: int
    macs: int
    latency: Latency

    @property
    def images_per_second(self) -> float:
        """Images in a second, by the median."""
        return 1000 * self.batch_size / self.latency.median_ms

    def cells(self) -> tuple[str, ...]:
        """Return the cells of `_HEAD`."""
        numbers = (
            f"{self.latency.median_ms:,.2f}",
            f"{self.latency.p95_ms:,.2f}",
            f"{self.images_per_second:,.0f}",
            f"{self.macs * self.images_per_second / 1e9:,.2f}",
        )
        return str(self.batch_size), *numbers, f"{self.latency.calls:,}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    parser.add_argument("name", help="name of the network")
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="as `build` takes them: pooling=l2, image_shape=[64,64,3], …"
    )
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=list(_BATCH_SIZES), metavar="N", help="default: 1 8 32 128"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to measure each; default 1")
    parser.add_argument("--precision", choices=backend.PRECISIONS[1:], default="float32", help="default: float32")


def run(options: argparse.Namespace) -> None:
    """Print the profile.

    Raises:
        UserError: an option is out of its range, or the network cannot be built.
    """
    if min(options.batch_sizes) < 1:
        raise UserError(f"`--batch-sizes` must be positive integers. Received: {min(options.batch_sizes)}")
    if not options.seconds > 0:
        raise UserError(f"`--seconds` must be above 0. Received: {options.seconds:g}")
    settings = dict(map(parse_setting, options.settings))
    print(f"{options.name}{backend.describe_loading()}", flush=True)
    backend.start(options.precision)

    from ..models import build, plan

    counts = plan(options.name, **settings)
    model = build(options.name, **settings)
    shape = "×".join(map(str, counts.image_shape))
    device = backend.describe_device()
    threads = f", {device['threads']} threads" if "threads" in device else ""
    print(
        f"{counts.name} on {shape}: {counts.params:,} parameters, {counts.macs:,} MACs an image; "
        f"{counts.precision} on {device['device']}{threads}"
    )
    print(_COLUMNS.format(*_HEAD))
    for profile in profile_model(model, counts.macs, options.batch_sizes, options.seconds):
        print(_COLUMNS.format(*profile.cells()), flush=True)


def profile_model(model: Any, macs: int, batch_sizes: Sequence[int], seconds: float = 1.0) -> Iterator[Profile]:
    """Measure the inference of a model, with the images copied to the device and the scores back.

    Args:
        model: a `keras.Model` from images to class scores.
        macs: multiplications of one image.
        batch_sizes: images a call.
        seconds: how long to measure each.
    """
    import numpy as np

    from ..training.predictor import Predictor

    predictor = Predictor(model)
    generator = np.random.default_rng(0)
    for size in batch_sizes:
        images = generator.normal(size=(size, *model.input_shape[1:])).astype("float32")
        yield Profile(size, macs, measure_latency(partial(predictor.predict_on_batch, images), seconds))
