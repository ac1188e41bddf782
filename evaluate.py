"""Evaluates a recorded run once more, or reports a study: `python evaluate.py run=latest`, `… study=NAME`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

from convzoo.configs import command
from convzoo.configs.keys import check_keys


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
@command.job
def main(config):
    from convzoo import UserError

    check_keys(config, {"": ["run", "study", "data", "allow", "tracking"], "data": ["directory"], "tracking": ["uri"]})
    if (config.run is None) == (config.study is None):
        raise UserError("say which: `run=latest`, `run=ID` with the id that train.py or MLflow showed, or `study=NAME`")
    (evaluate_run if config.run is not None else report_study)(config)


def report_study(config):
    from convzoo.analysis.report import Report
    from convzoo.tracking import study
    from convzoo.tracking.run import how_to_open

    uri, name = config.tracking.uri, str(config.study)
    report = Report(name, study.results(uri, name), study.said(uri, name))
    figures = report.figures()
    files = {"report.html": report.html(figures), "report.txt": f"{report}\n", "runs.csv": report.csv(), **figures}
    folder = Path("reports") / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        content.savefig(folder / file) if file in figures else (folder / file).write_text(content)
    run = study.keep_report(uri, name, files)
    print(f"{report}\n\nwith its pictures: {folder / 'report.html'}")
    print(f"the same in MLflow: {how_to_open(uri, run.experiment_id, run.id)}")


def evaluate_run(config):
    from convzoo import UserError
    from convzoo.tracking.run import find, how_to_open

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
    print(f"\nthe confusion matrix is with the run: {how_to_open(config.tracking.uri, run.experiment_id, run.id)}")


if __name__ == "__main__":
    command.run(main, "evaluate")
