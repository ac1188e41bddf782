"""A run of a few seconds that has all that draws or keeps a state of its own, and `train.py` hit at a moment of it."""

import io
import sys
import zipfile

import h5py
from fault_processes import ROOT, Process, Store

from convzoo.tracking.charts import MEAN

NET = """
name: net
paper: {title: "", arxiv: null, year: 2026, image_shape: [32, 32, 1], classes: 10, params: null, error: {}}
layers:
  conv1: {_target_: keras.layers.Conv2D, filters: 8, kernel_size: 5, strides: 2}
  bn1:   {_target_: convzoo.layers.BatchNormalization}
  relu1: {_target_: keras.layers.ReLU}
  pool1: {_target_: convzoo.layers.StochasticPooling2D, pool_size: 2, strides: 2, padding: valid}
  drop1: {_target_: convzoo.layers.Dropout, rate: 0.3}
  score: {_target_: convzoo.layers.FullyConnected, units: "${data.classes}"}
"""
EPOCHS, STEPS = 6, 40
CALL = 4  # steps that go to the backend at once in a run that is aimed at
WORDS = (
    "--config-dir=mine",
    "model=net",
    "data=digits",
    f"epochs={EPOCHS}",
    "batch_size=32",
    "learning_rate=0.02",
    "optimizer=sgd",
    "recipe.lookahead.rate=0.9",
    "checkpoints.seconds=0",
    "tracking.artifacts=full",
)
BEGUN = "parameters, .* MACs an image"  # what the first line says
KEPT = ("config.yaml", "learning_curves.png", "model.keras", "plan.txt", "rows.yaml")
TIMES = {"images_per_second", "steps_per_execution", "epoch_seconds", "training_seconds"}

# The last of several signals comes while the call lasts and lasts.
AIMED = """if True:
    import functools, importlib, os, pathlib, runpy, signal, sys, threading, time
    names, when, what, count, steps, program, *words = sys.argv[1:]
    numbers = [getattr(signal, f"SIG{name}") for name in names.split("+")]
    left = [int(count)]
    for number, handler in {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}.items():
        signal.signal(number, handler)  # what runs in the background may ignore them

    def reached():
        left[0] -= 1
        return left[0] == 0

    def hit():
        print("hit", time.time(), flush=True)
        os.kill(os.getpid(), numbers[0])
        if numbers[1:]:
            threading.Timer(0.5, os.kill, (os.getpid(), numbers[1])).start()
            time.sleep(60)

    class Half:
        def __init__(self, file):
            self.file = file
        def __enter__(self):
            return self
        def __exit__(self, *error):
            self.file.close()
        def write(self, data):
            self.file.write(data[: len(data) // 2])
            self.file.flush()
            hit()

    def half(open):
        def opened(path, *args, **kwargs):
            file = open(path, *args, **kwargs)
            return Half(file) if path.name == what and file.writable() and reached() else file
        return opened

    def around(function):
        @functools.wraps(function)
        def called(*args, **kwargs):
            now = reached()
            if now and when == "before":
                hit()
            result = function(*args, **kwargs)
            if now and when == "after":
                hit()
            return result
        return called

    if when == "half":
        pathlib.Path.open = half(pathlib.Path.open)
    else:
        from convzoo.tracking import store  # sets what MLflow reads as it is imported
        from convzoo.training import backend
        module, _, path = what.partition(":")
        *above, last = path.split(".")
        if module.startswith(("keras", "convzoo.training")):
            backend.start("auto")
        from convzoo.training.steps_per_execution import AdaptiveStepsPerExecution
        AdaptiveStepsPerExecution.steps = property(lambda self: int(steps), lambda self, value: None)
        place = functools.reduce(getattr, above, importlib.import_module(module))
        setattr(place, last, around(getattr(place, last)))
    sys.argv = [program, *words]
    runpy.run_path(program, run_name="__main__")
"""


class Aimed(Process):
    """`train.py`, which sends itself a signal at a moment.

    Args:
        folder: where it is started.
        signals: "KILL", or "INT+INT" for two.
        moment: "before" or "after" a function `module:name`, or "half" of what is written into a file; what; at which
            call of it.
        words: of its command.
    """

    def __init__(self, folder, signals, moment, *words):
        hit = signals, *map(str, moment)
        super().__init__(folder, sys.executable, "-c", AIMED, *hit, str(CALL), ROOT / "train.py", *words)


def lay(folder):
    """Lays the network where `WORDS` look for it."""
    (folder / "mine" / "model").mkdir(parents=True)
    (folder / "mine" / "model" / "net.yaml").write_text(NET)


def found(uri, study):
    """Weights and metrics of the one run of a study, which is FINISHED; each metric is there once."""
    store = Store(uri)
    (run,) = store.runs(study)
    store.assert_whole(run, EPOCHS, KEPT)
    metrics = {}
    for key in run.data.metrics.keys() - {MEAN}:  # the page of the study writes that one
        points = store.client.get_metric_history(run.info.run_id, key)
        at_the_end = key.startswith("test_") or key == "training_seconds"
        assert [point.step for point in points] == ([EPOCHS] if at_the_end else list(range(1, EPOCHS + 1))), key
        metrics[key] = [point.value for point in points if key not in TIMES]
    file = store.client.download_artifacts(run.info.run_id, "model.keras")
    weights = {}
    with zipfile.ZipFile(file) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as held:
        held.visititems(lambda name, part: weights.update({name: part[()].tobytes()} if hasattr(part, "shape") else {}))
    assert len(weights) > 8
    return weights, metrics


def assert_nothing_was_lost(folder, uri, study, whole):
    """The run ended as the `whole` one, and of what serves to go on nothing is left."""
    weights, metrics = found(uri, study)
    assert metrics == whole[1]
    assert weights == whole[0]
    assert not (folder / "checkpoints").exists()
    assert not (folder / "spool").exists()
