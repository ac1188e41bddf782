"""A run's model in MLflow's registry, from where `mlflow models serve` classifies images."""

import json
import secrets
import shlex
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pydantic

from .. import UserError
from ..settings.schema import Schema, parse
from ..settings.text import without_password
from .run import MODEL, RecordedRun
from .store import artifact_repository

_FACTS = "facts.json"
_FOLDER = "served_model"


class _Facts(Schema):
    """The class names and allowed layers of a registered model."""

    class_names: list[str] = pydantic.Field(min_length=2)
    allow: list[str] = pydantic.Field(default_factory=list)


def register_model(
    run: RecordedRun, name: str, class_names: Sequence[str], image_shape: Sequence[int], allow: Sequence[str] = ()
) -> str:
    """Register the model of a run as the next version of `name`.

    It takes uint8 images (n, height, width, channels) and returns for each its class, that class's probability, and
    the probabilities of all classes. convzoo must be installed where it is loaded.

    Args:
        run: a run that saved its model.
        name: in the registry; it is created if it does not exist.
        class_names: in the order of the labels.
        image_shape: (height, width, channels).
        allow: names of the user's own layer classes in it, as `package.module.Class`; loading imports them.

    Returns:
        The version, a number as text.

    Raises:
        UserError: the run has no model, or MLflow refuses the name.
    """
    import mlflow

    with run.download(MODEL) as path, tempfile.TemporaryDirectory() as folder:
        data_folder, model_folder = Path(folder) / "data", Path(folder) / "model"
        data_folder.mkdir()
        (data_folder / MODEL).write_bytes(Path(path).read_bytes())
        (data_folder / _FACTS).write_text(json.dumps({"class_names": list(class_names), "allow": list(allow)}))
        requirements = [f"{package}=={version(package)}" for package in ("keras", "mlflow", "numpy", _backend())]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of hints it misses and of an example that it would like
            mlflow.pyfunc.save_model(
                model_folder,
                loader_module=__name__,
                data_path=data_folder,
                signature=_signature(image_shape),
                pip_requirements=requirements,  # without the list, MLflow takes half a minute to find out
            )
        try:
            if not run.client.search_registered_models(f"name = '{name}'"):
                run.client.create_registered_model(name)
            artifact_folder = f"{_FOLDER}/{secrets.token_hex(4)}"  # each version's own: what it needs may differ
            artifact_repository(run.client, run.id).log_artifacts(str(model_folder), artifact_folder)
            source = f"{run.client.get_run(run.id).info.artifact_uri}/{artifact_folder}"
            return run.client.create_model_version(name, source, run.id, description=_describe(run)).version
        except mlflow.exceptions.MlflowException as error:
            raise UserError(f"`register={name}`: {error.message}") from error


def how_to_serve(uri: str, name: str, version: str, run: RecordedRun) -> str:
    """Return the commands that serve a registered model and classify an image with it."""
    store, model = shlex.quote(without_password(uri)), shlex.quote(f"models:/{name}/{version}")
    return "\n".join(
        [
            "to serve it:",
            f"  MLFLOW_TRACKING_URI={store} mlflow models serve -m {model} --env-manager local -p 5001",
            "to ask it what is on a picture:",
            f"  python evaluate.py run={run.id} image=PICTURE.png",
            "  curl -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations \\",
            f"    -d @reports/{run.id}/PICTURE/request.json",
        ]
    )


class Classifier:
    """Classifies images. MLflow calls `predict`.

    Args:
        model: a Keras model, from uint8 images to class scores.
        class_names: in the order of the labels.
    """

    def __init__(self, model: Any, class_names: Sequence[str]):
        self.model, self.class_names = model, class_names

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return for each image its `class`, the `probability` of that class, and the `probabilities` of all."""
        import numpy as np
        from keras import ops

        scores = self.model.predict(np.asarray(images, np.uint8), verbose=0)
        probabilities = ops.convert_to_numpy(ops.softmax(ops.cast(scores, "float32"))).tolist()
        by_class = [dict(zip(self.class_names, each, strict=True)) for each in probabilities]
        best = [max(each, key=each.__getitem__) for each in by_class]
        return [
            {"class": name, "probability": each[name], "probabilities": each}
            for name, each in zip(best, by_class, strict=True)
        ]


def _load_pyfunc(path: str) -> Classifier:
    """Load the classifier of a registered model. MLflow calls this function by its name."""
    from ..models import allowlist, loading

    facts = parse(_Facts, json.loads((Path(path) / _FACTS).read_text()), _FACTS)
    allowlist.allow_classes(facts.allow, [f"allow={facts.allow}"])  # typed by whoever registered it
    model, names = loading.load(Path(path) / MODEL), facts.class_names
    if model.output_shape != (None, len(names)):
        raise UserError(f"{_FACTS} must name each of the model's classes, {model.output_shape}. Received: {len(names)}")
    return Classifier(model, names)


def _describe(run: RecordedRun) -> str:
    loss = run.loss_class_name()
    return run.name + (
        f"; trained by {loss}, so its probabilities are no more than a softmax of scores" if loss else ""
    )


def _signature(image_shape: Sequence[int]) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Map, Schema, TensorSpec

    outputs: list[ColSpec | TensorSpec]
    outputs = [ColSpec("string", "class"), ColSpec("double", "probability"), ColSpec(Map("double"), "probabilities")]
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *image_shape))]),
        outputs=Schema(outputs),
    )


def _backend() -> str:
    import keras

    return keras.backend.backend()
