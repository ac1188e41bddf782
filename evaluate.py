"""Evaluates a recorded run, answers a picture, or reports a study: `python evaluate.py run=latest`, `… study=NAME`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from convzoo.analysis import asked
from convzoo.configs import command
from convzoo.tracking.store import check_recorded


@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
@command.job
def main(config):
    asked.check(OmegaConf.to_container(config, resolve=True))
    check_recorded(config.tracking.uri)
    (evaluate_run if config.run is not None else report_study)(config)


def report_study(config):
    from convzoo.analysis.page import write
    from convzoo.analysis.report import Report
    from convzoo.tracking import study
    from convzoo.tracking.store import how_to_open

    uri, name = config.tracking.uri, config.study
    report = Report(name, study.results(uri, name), study.said(uri, name))
    figures = report.figures()
    files = {"report.html": report.html(figures), "report.txt": f"{report}\n", "runs.csv": report.csv(), **figures}
    folder = write(Path("reports") / name, files)
    run = study.keep_report(uri, name, files)
    print(f"{report}\n\nwith its pictures: {folder / 'report.html'}")
    print(f"the same in MLflow: {how_to_open(uri, run.experiment_id, run.id)}")


def evaluate_run(config):
    from convzoo import UserError
    from convzoo.tracking.run import find

    run = find(config.tracking.uri, config.run)
    settings = run.settings()
    if "data" not in settings:
        raise UserError(f"run {run.id} is none of train.py's")
    if config.data.directory is not None:
        settings["data"]["directory"] = config.data.directory

    from convzoo.training import backend

    backend.start("auto")  # the model's own precision is in its file

    from convzoo.models import saved, targets

    targets.allow(list(config.allow or []), HydraConfig.get().overrides.task)
    print(f"{run.name} ({run.id})")
    with run.artifact("model.keras") as path:
        model = saved.load(path)
    if config.image is None and config.register is None:
        test_again(config, run, model, settings["data"])
    if config.image is not None:
        answer(str(config.image), run, model, settings["data"])
    if config.register is not None:
        register(config, run, settings["data"])


def test_again(config, run, model, data_config):
    from convzoo.analysis.page import write
    from convzoo.analysis.run_report import RunReport
    from convzoo.data import load
    from convzoo.tracking.store import how_to_open
    from convzoo.training.scores import Scores

    data = load(data_config)
    print(data.source)
    if not run.tested_on(data.test):
        print("warning: these test images are not the ones that the run recorded", flush=True)
    options = {key: config[key] for key in ("shift", "images", "border", "image_index")}
    report = RunReport(run.name, data, model, Scores(model), loss=run.own_loss(), **options)
    figures = report.figures()
    files = {"report.html": report.html(figures), "report.txt": f"{report}\n", "equivariance.csv": report.csv()}
    folder = write(Path("reports") / run.id, files | figures)
    print(f"\n{report}\n\nwith its pictures: {folder / 'report.html'}")
    run.metrics({f"evaluate_{metric}": value for metric, value in report.metrics.items()})
    run.files([folder / file for file in files | figures], "evaluation")
    print(f"the same in MLflow: {how_to_open(config.tracking.uri, run.experiment_id, run.id)}")


def answer(file, run, model, data_config):
    from convzoo.analysis.page import write
    from convzoo.analysis.run_report import Answer
    from convzoo.data import files
    from convzoo.training.scores import Scores

    image = files.picture(file, data_config["image_shape"])
    scores = Scores(model)(image[None])[0]
    found = Answer(f"{run.name}: {file}", model, image, scores, data_config["class_names"], run.own_loss())
    figures = found.figures()
    made = {"report.html": found.html(figures), "request.json": found.request(), **figures}
    folder = write(Path("reports") / run.id / Path(file).stem, made)
    print(f"\n{found}\n\nwith its pictures: {folder / 'report.html'}")


def register(config, run, data_config):
    from convzoo.tracking import registry

    name, facts = str(config.register), (data_config["class_names"], data_config["image_shape"], config.allow or [])
    version = registry.register(run, name, *facts)
    print(f"registered as {name}, version {version}\n{registry.how_to_serve(config.tracking.uri, name, version, run)}")


if __name__ == "__main__":
    command.run(main, "evaluate")
