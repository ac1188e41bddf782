"""Compares an old commit with this checkout, in one job on one machine: `python tests/compat/compare.py`.

Plans, weights after ten steps and the answers to mistakes must be the same on both sides. The old commit is taken from
the repository's history, so no digest of weights is stored. `probe.py` measures a side. It exits with 1 if anything
differs or a probe fails, and with 2 if the old commit is not in the history.

What is meant to differ stands in the tables below, each entry with its reason.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
OLD_COMMIT = "085262a8b7ce0e16cd357f84a55d713309ec06b6"  # the last of the first edition
SECONDS = 3600  # after which a probe counts as failed

# Kinds and names of layers in plans that were renamed, from old to new.
KINDS: dict[str, str] = {}
NAMES: dict[str, str] = {}
# Keys that messages name otherwise, from old to new.
KEYS: dict[str, str] = {}
# Networks whose layers draw their initial weights in another order. Such a network is trained from the old side's
# initial weights, by `convzoo.models.build` and Keras alone, and its weights are compared by path. Of each network: the
# parts of the paths that were renamed, as regular expressions and what replaces them.
DRAWN_IN_ANOTHER_ORDER: dict[str, dict[str, str]] = {}

SETTINGS: list[dict[str, Any]] = [{}, {"pooling": "l2"}, {"stride": 1}, {"dropout": 0}]
TRAINED = "lenet nin allconv airbench capsnet googlenet_cifar resnet20 resnet50_cifar densenet_40_12".split()
STEPS = 10
_TRAINING = "data=digits data.fraction=0.0585 data.validation=0 precision=float32 tracking.artifacts=full".split()
_DEEP = ("googlenet_cifar", "resnet20", "resnet50_cifar", "densenet_40_12")  # on images of 16×16, a quarter of the time
# By study, the words of its run; 84 images. The last is trained by its paper's optimizer and augmentation.
TRAININGS = {
    **{
        name: [
            f"model={name}",
            "batch_size=8",
            "epochs=1",
            *_TRAINING,
            *["data.image_shape=[16,16,1]"] * (name in _DEEP),
        ]
        for name in TRAINED
    },
    "airbench_paper": ["model=airbench", "recipe=paper", "batch_size=16", "epochs=2", *_TRAINING],
}
# Mistakes, from `tests/commands/test_mistakes.py`: each is refused with 2.
COMMANDS = """
train foo=1 plan=true
train ~foo plan=true
train +seed=2 plan=true
train model=alcnn plan=true
train model=lenet,nin plan=true
train model=[1,2] plan=true
train ~model plan=true
train pooling=l3 plan=true
train data=imagenet plan=true
train recipe=slow plan=true
train ~model.layers.conv99 plan=true
train model.layers=3 plan=true
train model.layers.conv1=3 plan=true
train model.layers.conv1.filters=many plan=true
train +model.layers.x._target_=os.system plan=true
train model.layers.conv1._target_=keras.layers.Lambda plan=true
train stride=8 plan=true
train stride=0 plan=true
train dropout=1.5 plan=true
train model=nin input_dropout=0.1 plan=true
train epochs=0 plan=true
train epochs=abc plan=true
train batch_size=-1 plan=true
train learning_rate=0 plan=true
train seed=1.5 plan=true
train seed=4294967296 plan=true
train precision=int8 plan=true
train select=best data.validation=0 plan=true
train model.name=3 plan=true
train model=lenet model.layers.score.units=5 plan=true
train +model.foo=3 plan=true
train +model.layers.conv1.name=foo plan=true
train test_shift=32 plan=true
train data=digits test_flip=true plan=true
train on_stall=halt plan=true
train checkpoints.days=soon plan=true
train tracking.artifacts=none plan=true
train allow=[nowhere.Layer] plan=true
train plan=maybe
train data.fraction=0 plan=true
train data=digits data.fraction=0.1 tracking.uri=foo
train data=digits data.fraction=0.1 tracking.uri=http://127.0.0.1:9
train seed=[1 plan=true
train lr=0.1 plan=true
train image=cat.png plan=true
evaluate run=latest
evaluate rum=latest
evaluate run=latest +data.fraction=0.5
evaluate run=latest study=pooling_kinds
evaluate study=pooling_kinds image=cat.png
""".strip().splitlines()


@dataclass
class Side:
    """One of the two trees that are compared.

    Attributes:
        name: "old" or "new".
        folder: with the package in `package/convzoo`, and what probes write.
        package: the tree that must be measured.
    """

    name: str
    folder: Path
    package: Path

    def environment(self) -> dict[str, str]:
        """Of its processes. Nothing is in it that would share a compiled program or a setting with the other side."""
        shared = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "HYDRA_", "GIT_"))}
        return {
            **shared,
            "PYTHONPATH": str(self.folder / "package"),
            "KERAS_HOME": str(self.folder / "keras"),  # else a `keras.json` decides on one side
            "KERAS_BACKEND": shared.get("KERAS_BACKEND", "tensorflow"),
            "JAX_COMPILATION_CACHE_DIR": str(self.folder / "jax"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def probe(self, part: str, request: dict[str, Any]) -> dict[str, Any]:
        """Measures a part.

        Raises:
            ProbeError: the probe failed, or measured another tree.
        """
        folder = Path(tempfile.mkdtemp(prefix=f"{part}-", dir=self.folder))
        request = {**request, "folder": str(folder / "results")}
        (folder / "request.json").write_text(json.dumps(request))
        probe = Path(__file__).with_name("probe.py")
        command = [sys.executable, str(probe), part, "request.json", "result.json"]
        with (folder / "output").open("wb") as output:
            try:
                streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
                code = subprocess.run(
                    command, cwd=folder, env=self.environment(), timeout=SECONDS, **streams
                ).returncode
            except subprocess.TimeoutExpired:
                code = f"no exit code in {SECONDS} s"
        text = (folder / "output").read_text(errors="replace")
        if code != 0 or not (folder / "result.json").exists():
            raise ProbeError(f"{self.name}: the probe of {part} ended with {code}: {text[-2000:].strip()}")
        result = json.loads((folder / "result.json").read_text())
        if Path(result["package"]).resolve() != self.package.resolve():
            raise ProbeError(f"{self.name}: the probe of {part} measured {result['package']}, not {self.package}")
        return result["results"]


class ProbeError(Exception):
    """A side could not be measured."""


@dataclass
class Sides:
    """The old commit and the new tree, in a folder of theirs."""

    old: Side
    new: Side

    @classmethod
    def check_out(cls, folder: Path, commit: str = OLD_COMMIT, new: Path = ROOT) -> "Sides":
        """Lays both sides out in a folder: the old one from the history, the new one as a link to its tree.

        Raises:
            LookupError: the commit is not in the history.
        """
        old = Side("old", folder / "old", folder / "old" / "package" / "convzoo")
        extract_commit(commit, old.package)
        link = folder / "new" / "package" / "convzoo"
        link.parent.mkdir(parents=True)
        link.symlink_to(new.resolve())
        return cls(old, Side("new", folder / "new", new))

    def probe(self, part: str, request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What both sides measure of a part, at the same time."""
        with ThreadPoolExecutor(2) as pool:
            old, new = [pool.submit(side.probe, part, request) for side in (self.old, self.new)]
            return old.result(), new.result()

    def probe_equal_weights(self, networks: dict[str, dict[str, str]]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What both sides train from the old one's initial weights; the old one's paths become the new one's."""
        old = self.old.probe("equal_weights", {"networks": dict.fromkeys(networks)})
        for name in networks:
            for key in {"initial", "file"} & set(old[name]):
                rename_paths(Path(old[name][key]), networks[name])
        initial = {name: old[name].get("initial") for name in networks}
        return old, self.new.probe("equal_weights", {"networks": initial})


@dataclass
class Comparison:
    """What differs in one part, and of how much.

    Attributes:
        part: its name.
        compared: number of things that were compared.
        differences: a line each.
        seconds: that it took.
        note: what was left out.
    """

    part: str
    compared: int = 0
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0
    note: str = ""

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        head = f"{self.part}: {self.compared} compared{note}, {len(self.differences)} differ, {self.seconds:.0f} s"
        return "\n".join([head, *(f"  {line}" for line in self.differences)])


def extract_commit(commit: str, folder: Path) -> None:
    """Writes the tree of a commit into a new folder.

    Raises:
        LookupError: the repository of this file, if there is one, does not have it.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", commit]
    try:
        ended = subprocess.run(command, capture_output=True, env=environment)
    except FileNotFoundError as error:
        raise LookupError("git is not installed") from error
    if ended.returncode:
        raise LookupError(f"commit {commit} is not in the history of {ROOT}: {ended.stderr.decode().strip()}")
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(ended.stdout)) as archive:
        archive.extractall(folder, filter="data")


def rename_paths(file: Path, renamed: dict[str, str]) -> None:
    """Gives the arrays of a file their new paths."""
    with np.load(file) as arrays:
        held = {path: arrays[path] for path in arrays.files}
    for old, new in renamed.items():
        held = {re.sub(old, new, path): array for path, array in held.items()}
    np.savez(file, **dict(sorted(held.items())))


def compare_keys(old: dict[str, Any], new: dict[str, Any], wanted: Sequence[str]) -> list[str]:
    """What a side did not measure, or where it crashed. Nothing is alike because both sides failed."""
    lines = [] if old else ["nothing was measured"]
    for name, results in (("old", old), ("new", new)):
        lines += [
            f"{key}: not measured on the {name} side" for key in dict.fromkeys([*wanted, *old]) if key not in results
        ]
        lines += [f"{key}: {name}: {value['crash'].strip()}" for key, value in results.items() if "crash" in value]
    return lines


def find_pairs(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What both sides measured, as (key, old, new)."""
    return [(key, old[key], new[key]) for key in old if key in new and "crash" not in {**old[key], **new[key]}]


def compare_refusals(key: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Differs a code, or the key that the message names; the old side may name none."""
    lines = []
    if old["code"] != new["code"]:
        lines.append(f"{key}: exit code {old['code']} became {new['code']}: {new['text'].strip()}")
    if old["key"] is not None and KEYS.get(old["key"], old["key"]) != new["key"]:
        lines.append(f"{key}: key {old['key']!r} became {new['key']!r}: {new['text'].strip()}")
    return lines


def compare_plans(old: dict[str, Any], new: dict[str, Any], wanted: Sequence[str] = ()) -> list[str]:
    """Differences of what `probe.measure_plans` gives."""
    lines = compare_keys(old, new, wanted)
    for key, before, after in find_pairs(old, new):
        if "code" in before and "code" in after:
            lines += compare_refusals(key, before, after)
            if " " not in key:
                lines.append(f"{key}: the paper's own setting is refused: {before['text']}")
        elif "code" in before or "code" in after:
            side, refused = ("old", before) if "code" in before else ("new", after)
            lines.append(f"{key}: refused on the {side} side alone: {refused['text']}")
        else:
            lines += compare_plan(key, before, after)
    return lines


def compare_plan(key: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Differences of two plans: their totals, their number of layers, and the first layer that differs."""
    lines = [
        f"{key}: {name} {old['totals'][name]} became {new['totals'].get(name)}"
        for name in old["totals"]
        if old["totals"][name] != new["totals"].get(name)
    ]
    before, after = [rename_layer(layer) for layer in old["layers"]], new["layers"]
    if len(before) != len(after):
        lines.append(f"{key}: {len(before)} layers became {len(after)}")
    for number, (one, other) in enumerate(zip(before, after, strict=False)):
        if changed := [f"{name} {one[name]} became {other.get(name)}" for name in one if one[name] != other.get(name)]:
            return [*lines, f"{key}: layer {number}, {one['name']}: {', '.join(changed)}"]
    return lines


def rename_layer(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer of the old side with the names of the new one."""
    return {**layer, "kind": KINDS.get(layer["kind"], layer["kind"]), "name": NAMES.get(layer["name"], layer["name"])}


def compare_weights(old: dict[str, Any], new: dict[str, Any], wanted: Sequence[str] = ()) -> list[str]:
    """Differences of what `probe.measure_weights` or `probe.measure_equal_weights` gives."""
    lines = compare_keys(old, new, wanted)
    for key, before, after in find_pairs(old, new):
        lines += [
            f"{key}: {name} {before[name]} became {after.get(name)}"
            for name in ("metrics", "steps")
            if name in before and before[name] != after.get(name)
        ]
        with np.load(before["file"]) as one, np.load(after["file"]) as other:
            lines += [f"{key}: {line}" for line in compare_arrays(one, other)]
    return lines


def compare_arrays(old: Any, new: Any) -> list[str]:
    """The first difference of two files of arrays: names in their order, types, shapes and bytes."""
    if not old.files:
        return ["there are no weights"]
    if old.files != new.files:
        return [f"{len(old.files)} weights became {len(new.files)}: {sorted(set(old.files) ^ set(new.files))[:4]}"]
    for name in old.files:
        one, other = old[name], new[name]
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            return [f"weight {name}: {one.dtype} {one.shape} became {other.dtype} {other.shape}"]
        if one.tobytes() != other.tobytes():
            before, after = [np.frombuffer(each.tobytes(), np.uint8).reshape(each.size, -1) for each in (one, other)]
            count = np.sum((before != after).any(1))
            return [f"weight {name} {one.shape}: {count} values, by {np.abs(one - other).max():.3g}"]
    return []


def compare_commands(old: dict[str, Any], new: dict[str, Any], wanted: Sequence[str] = ()) -> list[str]:
    """Differences of what `probe.measure_commands` gives."""
    lines = compare_keys(old, new, wanted)
    for key, before, after in find_pairs(old, new):
        if before["code"] != 2:
            lines.append(
                f"{key}: not refused on the old side, but exit code {before['code']}: {before['text'].strip()}"
            )
        lines += compare_refusals(key, before, after)
    return lines


def draw_networks(names: list[str], today: datetime | None = None) -> tuple[list[str], str]:
    """A fifth of the networks, by the date, and in words which."""
    first = (today or datetime.now(UTC)).toordinal() % 5
    return names[first::5], f"networks {first}::5, drawn by the date; CONVZOO_TEST=all takes all"


def check_plans(sides: Sides, is_sample: bool) -> Comparison:
    """Plans the old side's networks with each of `SETTINGS` on both sides."""
    names = sorted(path.stem for path in (sides.old.package / "configs" / "model").glob("*.yaml"))
    drawn, note = draw_networks(names) if is_sample else (names, "all networks")
    old, new = sides.probe("plans", {"names": drawn, "settings": SETTINGS})
    return Comparison("plans", len(old), compare_plans(old, new, drawn), note=note)


def check_weights(sides: Sides, is_sample: bool) -> Comparison:
    """Trains networks for ten steps on both sides."""
    trainings = {
        study: words for study, words in TRAININGS.items() if study.partition("_paper")[0] not in DRAWN_IN_ANOTHER_ORDER
    }
    old, new = sides.probe("weights", {"trainings": trainings})
    lines = compare_weights(old, new, list(trainings))
    lines += [
        f"{key}: {each['steps']} steps, not {STEPS}" for key, each in old.items() if each.get("steps", STEPS) != STEPS
    ]
    if DRAWN_IN_ANOTHER_ORDER:
        equal = sides.probe_equal_weights(DRAWN_IN_ANOTHER_ORDER)
        lines += compare_weights(*equal, list(DRAWN_IN_ANOTHER_ORDER))
    return Comparison("weights", len(old) + len(DRAWN_IN_ANOTHER_ORDER), lines)


def check_commands(sides: Sides, is_sample: bool) -> Comparison:
    """Makes the mistakes of `COMMANDS` on both sides."""
    old, new = sides.probe("commands", {"lines": COMMANDS})
    return Comparison("commands", len(old), compare_commands(old, new, COMMANDS))


CHECKS: dict[str, Callable[[Sides, bool], Comparison]] = {
    "plans": check_plans,
    "weights": check_weights,
    "commands": check_commands,
}


def run_check(part: str, sides: Sides, is_sample: bool) -> Comparison:
    """One part, timed; a probe that failed is a difference."""
    start = time.monotonic()
    try:
        comparison = CHECKS[part](sides, is_sample)
    except ProbeError as error:
        comparison = Comparison(part, differences=[str(error)])
    comparison.seconds = time.monotonic() - start
    return comparison


def main() -> None:
    """Compares what the command line names."""
    parser = argparse.ArgumentParser(description="Compare an old commit with this checkout.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(CHECKS)}; all if none is named")
    parser.add_argument("--old", default=OLD_COMMIT, metavar="COMMIT", help=f"default: {OLD_COMMIT[:7]}")
    parser.add_argument("--new", default=ROOT, type=Path, metavar="FOLDER", help="default: this checkout")
    parser.add_argument("--sample", action="store_true", help="plan a fifth of the networks, by the date")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(CHECKS):
        parser.error(f"{unknown.pop()!r} is none of {', '.join(CHECKS)}")
    with tempfile.TemporaryDirectory(prefix="convzoo-compat-") as folder:
        try:
            sides = Sides.check_out(Path(folder), asked.old, asked.new)
        except LookupError as error:
            print(f"skipped: {error}")
            sys.exit(2)
        comparisons = []
        for part in asked.parts or CHECKS:
            comparisons.append(run_check(part, sides, asked.sample))
            print(comparisons[-1], flush=True)
    sys.exit(any(comparison.differences for comparison in comparisons))


if __name__ == "__main__":
    main()
