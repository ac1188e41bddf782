"""Evaluates a recorded run on the test split once more: `python evaluate.py run=latest`."""

import hydra
from hydra.core.hydra_config import HydraConfig

from convzoo.configs import command
from convzoo.configs.keys import check_keys


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
@command.job
def main(config):
    from convzoo import UserError
    from convzoo.tracking.run import find

    if config.get("run") is None:
        raise UserError("which run? `run=latest`, or `run=ID` with the id that train.py or MLflow showed")
    check_keys(config, {"": ["run", "data", "allow", "tracking"], "data": ["directory"], "tracking": ["uri"]})
    run = find(config.tracking.uri, config.run)
    settings = run.settings()
    if "data" not in settings:
        raise UserError(f"run {run.id} is none of train.py's")
    data_config = settings["data"]
    if config.data.directory is not None:
        data_config["directory"] = config.data.directory

    from convzoo.training import backend

    backend.start("auto")  # the model's own precision is in its file

    from convzoo.analysis import evaluation, pictures
    from convzoo.data import load
    from convzoo.models import saved, targets
    from convzoo.training import fit

    targets.allow(list(config.allow or []), HydraConfig.get().overrides.task)
    data = load(data_config)
    print(f"{run.name} ({run.id})\n{data.source}")
    if not run.tested_on(data.test):
        print("warning: these test images are not the ones that the run recorded", flush=True)
    with run.artifact("model.keras") as path:
        model = saved.load(path)
    result = evaluation.evaluate(fit.scores(model, data.test.x), data.test.y)
    table = result.table(data.class_names)
    print(f"\n{table}\n\n{result}")

    run.metrics({f"evaluate_{metric}": value for metric, value in result.metrics.items()})
    run.metrics(
        {f"evaluate_accuracy/{name}": value for name, value in zip(data.class_names, result.per_class, strict=True)}
    )
    run.text(f"{table}\n\n{result}\n", "evaluation/per_class.txt")
    picture = pictures.confusion_matrix(result.confusion, data.class_names, run.name)
    run.figure(picture, "evaluation/confusion_matrix.png")
    print(f"\nthe confusion matrix is with the run: {run.how_to_open()}")


if __name__ == "__main__":
    command.run(main, "evaluate")
