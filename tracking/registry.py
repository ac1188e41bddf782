"""A run's model in MLflow's registry, from where `mlflow models serve` answers a picture with a class."""

import json
import secrets
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

from .. import UserError
from .run import MODEL
from .store import repository

_FACTS = "facts.json"
_FOLDER = "served_model"


def register(run, name, class_names, image_shape, allow=()):
    """Puts the model of a `Recorded` run into the registry, as the next version of `name`.

    It takes uint8 pictures (n, height, width, channels) and gives for each its class, that class's probability, and
    those of all classes. It needs convzoo where it is loaded.

    Args:
        run: it has kept its model.
        name: in the registry, made if it is not there.
        class_names: in the order of the labels.
        image_shape: (height, width, channels).
        allow: names of the user's own layer classes in it, as `package.module.Class`; loading imports them.

    Returns:
        The version, a word.

    Raises:
        UserError: the run kept no model, or MLflow does not take the name.
    """
    import mlflow

    with run.artifact(MODEL) as path, tempfile.TemporaryDirectory() as folder:
        data, made = Path(folder) / "data", Path(folder) / "model"
        data.mkdir()
        (data / MODEL).write_bytes(Path(path).read_bytes())
        (data / _FACTS).write_text(json.dumps({"class_names": list(class_names), "allow": list(allow)}))
        needed = [f"{package}=={version(package)}" for package in ("keras", "mlflow", "numpy", _backend())]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of hints it misses and of an example that it would like
            mlflow.pyfunc.save_model(
                made,
                loader_module=__name__,
                data_path=data,
                signature=_signature(image_shape),
                pip_requirements=needed,  # without the list, MLflow takes half a minute to find out
            )
        try:
            if not run.client.search_registered_models(f"name = '{name}'"):
                run.client.create_registered_model(name)
            place = f"{_FOLDER}/{secrets.token_hex(4)}"  # each version's own: what it needs may differ
            repository(run.client, run.id).log_artifacts(str(made), place)
            source = f"{run.client.get_run(run.id).info.artifact_uri}/{place}"
            return run.client.create_model_version(name, source, run.id, description=_about(run)).version
        except mlflow.exceptions.MlflowException as error:
            raise UserError(f"`register={name}`: {error.message}") from error


def how_to_serve(uri, name, version, run):
    """How to serve a registered model, and how to ask it."""
    return "\n".join(
        [
            "to serve it:",
            f"  MLFLOW_TRACKING_URI={uri} mlflow models serve -m models:/{name}/{version} --env-manager local -p 5001",
            "to ask it what is on a picture:",
            f"  python evaluate.py run={run.id} image=PICTURE.png",
            "  curl -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations \\",
            f"    -d @reports/{run.id}/PICTURE/request.json",
        ]
    )


class Classifier:
    """Answers pictures with classes. MLflow calls `predict`.

    Args:
        model: uint8 pictures to class scores.
        class_names: in the order of the labels.
    """

    def __init__(self, model, class_names):
        self.model, self.class_names = model, class_names

    def predict(self, pictures, params=None):
        """A mapping for each picture: its `class`, the `probability` of that, and the `probabilities` of all."""
        import numpy as np
        from keras import ops

        scores = self.model.predict(np.asarray(pictures, np.uint8), verbose=0)
        shares = ops.convert_to_numpy(ops.softmax(ops.cast(scores, "float32"))).tolist()
        answers = [dict(zip(self.class_names, each, strict=True)) for each in shares]
        best = [max(each, key=each.get) for each in answers]
        return [
            {"class": name, "probability": each[name], "probabilities": each}
            for name, each in zip(best, answers, strict=True)
        ]


def _load_pyfunc(path):
    """The `Classifier` of a registered model's data. MLflow calls it, by this name."""
    from ..models import saved, targets

    facts = json.loads((Path(path) / _FACTS).read_text())
    targets.allow(facts["allow"], [f"allow={facts['allow']}"])  # typed by whoever registered it
    return Classifier(saved.load(Path(path) / MODEL), facts["class_names"])


def _about(run):
    loss = run.own_loss()
    return run.name + (
        f"; trained by {loss}, so its probabilities are no more than a softmax of scores" if loss else ""
    )


def _signature(image_shape):
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Map, Schema, TensorSpec

    answer = [ColSpec("string", "class"), ColSpec("double", "probability"), ColSpec(Map("double"), "probabilities")]
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *image_shape))]),
        outputs=Schema(answer),
    )


def _backend():
    import keras

    return keras.backend.backend()
