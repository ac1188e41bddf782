"""Measures one side of a comparison: `python probe.py PART REQUEST.json RESULT.json`; the parts are in `PARTS`.

`compare.py` runs it against the old commit and against the new tree, each in a process of its own. It uses only what
both sides share: `convzoo.models`, `train.py` and `evaluate.py`. `PLAN_FIELDS` is the one place for names that differ.
"""

import json
import os
import re
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

# What is compared of each layer of a plan, with the attribute names that it has on either side.
PLAN_FIELDS = {
    "kind": ("kind",),
    "name": ("name",),
    "output_shape": ("output_shape",),
    "params": ("params",),
    "macs": ("macs",),
    "other": ("other", "other_reads"),
    "connections": ("connections",),
    "weight_bytes": ("weight_bytes",),
    "activation_bytes": ("activation_bytes",),
    "receptive_field": ("receptive_field",),
    "jump": ("jump",),
    "padding": ("padding",),
    "gap": ("gap",),
    "activation": ("activation",),
    "reads_padding": ("reads_padding",),
}
PLAN_TOTALS = {
    **{name: (name,) for name in ("name", "image_shape", "precision", "params", "macs")},
    "kept_bytes": ("kept_bytes", "backward_bytes"),
}
COMMAND_SECONDS = 120
STEPS, IMAGE_SHAPE = 10, (32, 32, 3)  # of a training from equal weights


def find_package() -> Path:
    """The folder of the `convzoo` that Python imports here."""
    import convzoo

    return Path(convzoo.__file__).parent


def measure_plans(request: dict[str, Any]) -> dict[str, Any]:
    """Plans networks.

    Args:
        request: `names` of the networks and `settings`, a list of keyword arguments of `plan`.

    Returns:
        By `NAME SETTING`: the `totals` and the `layers` of a plan, or what `describe_error` says.
    """
    from convzoo import models

    results = {}
    for name in request["names"]:
        for setting in request["settings"]:
            key = " ".join([name, *(f"{axis}={value}" for axis, value in setting.items())])
            try:
                results[key] = read_plan(models.plan(name, **setting))
            except Exception as error:
                results[key] = describe_error(error)
    return results


def read_plan(plan: Any) -> dict[str, Any]:
    """The totals of a plan, and its layers in order without the blocks around them."""
    leaves = [row for row, _ in plan.walk() if not row.inside]
    return {
        "totals": {field: read_field(plan, names) for field, names in PLAN_TOTALS.items()},
        "layers": [{field: read_field(row, names) for field, names in PLAN_FIELDS.items()} for row in leaves],
    }


def read_field(row: Any, names: tuple[str, ...]) -> Any:
    """The first attribute that a row, or a plan, has of those named."""
    return getattr(row, next((name for name in names if hasattr(row, name)), names[0]))


def describe_error(error: Exception) -> dict[str, Any]:
    """`code` and `key` of a setting that was refused; the traceback of any other error, as `crash`."""
    from convzoo import UserError

    if isinstance(error, UserError):
        return {"code": 2, "key": find_key(str(error)), "text": str(error)}
    return {"crash": "".join(traceback.format_exception(error))[-2000:]}


def find_key(message: str) -> str | None:
    """The key that a message names: its first back-quoted word, without a value and a leading + or ~.

    >>> find_key("error: `stride=8`: `conv5` has a window of 3×3")
    'stride'
    """
    match = re.search(r"`[+~]*([^`=\s]+)[^`]*`", message)
    return match[1] if match else None


def measure_weights(request: dict[str, Any]) -> dict[str, Any]:
    """Trains networks by `train.py`, one after the other in this process, and writes their weights.

    Args:
        request: `trainings`, a mapping from a study's name to the words of its one run; `folder` for the arrays.

    Returns:
        By study: the `file` with the ordered arrays, and the training's `metrics`.
    """
    results: dict[str, Any] = {}
    folder = Path(request["folder"])
    folder.mkdir()
    for study, words in request["trainings"].items():
        sys.argv = [str(find_package() / "train.py"), *words, f"study={study}"]
        if code := run_program(sys.argv[0]):
            sys.stdout.flush()
            said = Path("output").read_text(errors="replace")[-1000:]  # where `compare.py` has this process print
            results[study] = {"crash": f"train.py {' '.join(words)} ended with {code}: {said}"}
            continue
        try:
            results[study] = read_trained_model(study, folder)
        except Exception as error:
            results[study] = {"crash": "".join(traceback.format_exception(error))[-2000:]}
    return results


def read_trained_model(study: str, folder: Path) -> dict[str, Any]:
    """Writes the weights of a study's one model into a folder; returns what `measure_weights` returns of it."""
    import mlflow

    from convzoo import models

    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name(study)
    (run,) = client.search_runs([experiment.experiment_id])
    (train,) = [each.dataset for each in run.inputs.dataset_inputs if each.tags[0].value == "train"]
    model = models.load(client.download_artifacts(run.info.run_id, "model.keras"))
    ordered = {f"{number:04d}": array for number, array in enumerate(model.get_weights())}
    names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
    return {
        "file": write_arrays(ordered, folder / f"{study}.npz"),
        "metrics": {name: run.data.metrics[name].hex() for name in names},
        "steps": int(run.data.params["epochs"])
        * (json.loads(train.profile)["images"] // int(run.data.params["batch_size"])),
    }


def measure_equal_weights(request: dict[str, Any]) -> dict[str, Any]:
    """Trains networks from given weights.

    Args:
        request: `networks`, a mapping from names to a file with initial weights, or to null where this side is to write
            them; `folder` for the arrays.

    Returns:
        By network: the `file` with the last weights by path, and `initial`, that with the first.
    """
    results: dict[str, Any] = {}
    folder = Path(request["folder"])
    folder.mkdir()
    for name, initial in request["networks"].items():
        try:
            results[name] = train_from_equal_weights(name, initial, folder)
        except Exception as error:
            results[name] = {"crash": "".join(traceback.format_exception(error))[-2000:]}
    return results


def train_from_equal_weights(name: str, initial: str | None, folder: Path) -> dict[str, Any]:
    """Trains the network of `convzoo.models.build` by Keras alone for ten steps, without dropout."""
    import keras
    import numpy as np

    from convzoo import models

    keras.utils.set_random_seed(0)
    model = models.build(name, image_shape=IMAGE_SHAPE, classes=10, dropout=0)
    variables = {variable.path: variable for variable in sorted(model.weights, key=lambda each: each.path)}
    if len(variables) != len(model.weights):
        raise ValueError("two weights have one path")
    if initial is None:
        initial = write_arrays(variables, folder / f"initial {name}.npz")
    else:
        with np.load(initial) as arrays:
            if unlike := sorted(set(arrays.files) ^ set(variables)):
                raise ValueError(f"weights of one side alone: {', '.join(unlike)}")
            for path, variable in variables.items():
                variable.assign(arrays[path])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        images = rng.normal(size=(8, *IMAGE_SHAPE)).astype("float32")
        model.train_on_batch(images, rng.integers(0, 10, 8))
    return {"initial": initial, "file": write_arrays(variables, folder / f"{name}.npz")}


def write_arrays(arrays: dict[str, Any], path: Path) -> str:
    """Writes arrays in their order; returns the file."""
    import keras
    import numpy as np

    np.savez(path, **{name: keras.ops.convert_to_numpy(array) for name, array in arrays.items()})
    return str(path)


def measure_commands(request: dict[str, Any]) -> dict[str, Any]:
    """Runs command lines, each in a fork of this process, whose libraries are loaded, and in a folder of its own.

    Args:
        request: `lines`, each `train` or `evaluate` and its words; `folder` for the folders.

    Returns:
        By line: the exit `code`, the `key` that the message names, and the `text` of the error stream.
    """
    import hydra  # noqa: F401
    import keras  # noqa: F401
    import pydantic  # noqa: F401

    results = {}
    for number, line in enumerate(request["lines"]):
        folder = Path(request["folder"]) / str(number)
        folder.mkdir(parents=True)
        results[line] = run_forked(line.split(" "), folder)
    return results


def run_forked(words: list[str], folder: Path) -> dict[str, Any]:
    """Runs one command in a fork; a command that does not end in time has the code of its signal."""
    program, *arguments = words
    files = folder.with_suffix(".out"), folder.with_suffix(".err")
    pid = os.fork()
    if not pid:
        code = 70  # what follows failed before the command began
        try:
            for number, file in enumerate(files, 1):
                os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY), number)
            os.chdir(folder)
            sys.argv = [str(find_package() / f"{program}.py"), *arguments]
            signal_after(COMMAND_SECONDS)
            code = run_program(sys.argv[0])
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = files[1].read_text(errors="replace")
    errors = [message for message in text.splitlines() if message.startswith("error: ")]
    return {"code": code, "key": find_key(" ".join(errors[:1])), "text": text[-1000:]}


def signal_after(seconds: int) -> None:
    """Ends this process by SIGALRM after some seconds."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)


def run_program(path: str) -> int:
    """Runs a file as Python would; returns its exit code."""
    sys.path[0] = str(Path(path).parent)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


PARTS = {
    "plans": measure_plans,
    "weights": measure_weights,
    "equal_weights": measure_equal_weights,
    "commands": measure_commands,
}


def main() -> None:
    """Measures what the command line names, and writes it with the folder of the package that was measured."""
    part, request, result = sys.argv[1:]
    results = PARTS[part](json.loads(Path(request).read_text()))
    Path(result).write_text(json.dumps({"package": str(find_package()), "results": results}))


if __name__ == "__main__":
    main()
