"""Evaluation of recorded runs and studies: `evaluate`, which evaluate.py calls."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import UserError
from ..settings import overrides
from ..settings.evaluation import EvaluateSettings
from ..settings.terminal import print_folded
from ..settings.text import printable, printable_lines, without_password
from ..tracking.addresses import explain_store_choice

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

    from ..data import Dataset
    from ..evaluation.exports import ExportCheck
    from ..reporting.run_report import RunReport
    from ..reporting.study_report import StudyReport
    from ..reporting.table_formats import TableFormat
    from ..tracking.run import RecordedRun

CARD = "model_card.md"


def evaluate(settings: EvaluateSettings, words: Sequence[str] = ()) -> None:
    """Evaluate a recorded run, classify an image with it, export or register its model, or report a study.

    Args:
        settings: the checked settings.
        words: overrides of the command line, `key=value`; `allow` counts only if it is one of them.

    Raises:
        UserError: the run or the study does not exist, or its data cannot be read.
    """
    from ..tracking.tables import check_recorded

    check_recorded(settings.tracking.uri, settings.run)
    for study in settings.studies:
        check_recorded(settings.tracking.uri, study=study)
    announce(settings)
    if settings.studies:
        report_study(settings.tracking.uri, settings.studies, settings.table)
    else:
        evaluate_run(settings, words)


def announce(settings: EvaluateSettings) -> None:
    """Print what is about to happen, before anything that takes long."""
    from ..training import backend

    uri = without_password(printable(settings.tracking.uri))
    if settings.run is not None:
        line = f"run {settings.run} of {uri}{backend.describe_loading()}"
    else:
        line = f"study {printable(' and '.join(settings.studies))} of {uri}: reading its runs …"
    stream = sys.stderr if settings.table else sys.stdout  # the table may go into a file
    print_folded("\n".join([line, *explain_store_choice(settings.tracking.uri)]), stream)


def report_study(uri: str, names: Sequence[str], table: TableFormat | None = None) -> None:
    """Write the report of a study, or of a comparison of studies, to `reports/` and to MLflow.

    Args:
        uri: address of the store.
        names: of the studies.
        table: format in which its table of means and intervals is printed; then nothing is written.
    """
    from ..reporting.html import write_files
    from ..reporting.table_formats import format_table
    from ..settings.paths import path_below
    from ..tracking.addresses import how_to_open
    from ..tracking.heartbeat import OwnedError
    from ..tracking.study_runs import log_comparison
    from .study_page import log_report

    report = _read_report(uri, names)
    if table:
        content = report.interval_table()
        print(format_table(content.heads, content.rows, table), end="")
        return
    name = report.study
    figures = report.figures()
    files: dict[str, str | Figure] = dict(figures)
    files |= {"report.html": report.html(figures), "report.txt": f"{report}\n", "runs.csv": report.csv()}
    folder = write_files(path_below(Path("reports"), name), files)
    print(f"{report}\n\nReport: {folder / 'report.html'}", flush=True)
    try:
        run = log_comparison(uri, name, files) if len(names) > 1 else log_report(uri, name, report, files)
    except OwnedError as error:
        print(f"warning: the report is not in MLflow: {printable(str(error))}; repeat the command later")
        return
    print(f"MLflow: {how_to_open(uri, run.experiment_id, run.id)}")


def _read_report(uri: str, names: Sequence[str]) -> StudyReport:
    from ..reporting.study_report import compare_studies
    from ..tracking import study_runs
    from .study_page import read_report

    if len(names) > 1:
        return compare_studies({name: study_runs.find_results(uri, name) for name in names})
    return read_report(uri, names[0])


def evaluate_run(settings: EvaluateSettings, words: Sequence[str]) -> None:
    """Load the model of a run; test it again, classify an image, write features, export it, or register it.

    Raises:
        UserError: the run was not recorded by train.py, or its data cannot be read.
    """
    from .. import data
    from ..evaluation.export_targets import check_runtime
    from ..tracking.run import find_run

    run = find_run(settings.tracking.uri, str(settings.run))
    recorded = run.read_settings()
    if recorded.get("data") is None:
        raise UserError(f"run {run.id} was not recorded by train.py: its config has no `data`")
    data_config = dict(recorded["data"])
    reads_images = settings.is_tested or settings.features is not None or settings.export is not None
    if settings.export is not None:
        check_runtime(settings.export)
    if reads_images:
        data_config["directory"] = choose_data_directory(run, data_config, settings.data.directory)
        data_config |= {"extra_tests": [], "mirror": None}  # other places that a store names are not read
        data.check_config(data_config)

    from ..training import backend

    backend.start("auto")  # the model's own precision is in its file

    from ..models import allowlist, loading

    allow = list(settings.allow or [])
    allowlist.allow_classes(allow, list(words))
    print(f"{printable(run.name)} ({run.id})")
    with run.download("model.keras") as path:
        model = loading.load(path)
    check_model(run, model, data_config)
    if reads_images:
        images = load_images(run, data_config)
        export = None
        report = measure_again(settings, run, model, images) if settings.is_tested else None
        if settings.features is not None:
            write_features(settings, model, images)
        if settings.export is not None:
            export = export_model(settings, run, model, images)
        if settings.card and report is not None:
            write_card(run, recorded, report, export)
    if settings.image is not None:
        classify_image(settings.image, run, model, data_config)
    if settings.register_as is not None:
        register_model(settings, run, data_config)


def choose_data_directory(run: RecordedRun, data_config: dict[str, Any], typed: str | None) -> str | None:
    """Return the folder to read images from.

    A store may come from someone else, so a folder that it names is read only if the command names it too.

    Args:
        run: the recorded run.
        data_config: the `data` of its config.
        typed: `data.directory` of this command, or None.

    Raises:
        UserError: the run's images lay in a folder of its own, and the command states none.
    """
    recorded = data_config.get("directory")
    if typed is None and (recorded is not None or data_config["source"] == "files"):
        where = "a folder that it does not name" if recorded is None else printable(recorded)
        setting = "data.directory=…" if recorded is None else overrides.show_quoted("data.directory", recorded)
        raise UserError(f"run {run.id} was trained on images in {where}. State the folder to read them from: {setting}")
    return typed


def check_model(run: RecordedRun, model: keras.Model, data_config: dict[str, Any]) -> None:
    """Refuse a recorded config that describes other images or other classes than the model has.

    Raises:
        UserError: naming the run and the key.
    """
    shape, names = data_config["image_shape"], data_config["class_names"]
    input_shape, output_shape = (getattr(model, name, None) for name in ("input_shape", "output_shape"))
    if input_shape != (None, *shape):
        raise UserError(
            f"run {run.id}: config.yaml: `data.image_shape` must be that of the model's images, {input_shape}. "
            f"Received: {shape}"
        )
    if output_shape != (None, len(names)):
        raise UserError(
            f"run {run.id}: config.yaml: `data.class_names` must name each of the model's classes, {output_shape}. "
            f"Received: {len(names)} names"
        )


def load_images(run: RecordedRun, data_config: dict[str, Any]) -> Dataset:
    """Load the data set of a run, and say so if its test images are not those that the run recorded."""
    from ..data import load

    data = load(data_config)
    print(printable(data.source), printable_lines(data.summary), sep="\n")
    if not run.is_test_data(data.test):
        print("warning: these are not the test images that the run recorded", flush=True)
    return data


def measure_again(settings: EvaluateSettings, run: RecordedRun, model: keras.Model, data: Dataset) -> RunReport:
    """Test a model on its test images; the report goes to `reports/` and to the run, and is returned."""
    from ..reporting.html import write_files
    from ..reporting.run_report import ReportOptions, RunReport, TrainedNetwork
    from ..settings.paths import path_below
    from ..tracking.addresses import how_to_open
    from ..training.predictor import Predictor

    options = ReportOptions(settings.shift, settings.images, settings.border, settings.image_index)
    network = TrainedNetwork(run.name, model, Predictor(model), run.loss_class_name())
    report = RunReport.compute(network, data, options)
    figures = report.figures()
    files: dict[str, str | Figure] = dict(figures)
    files |= {"report.html": report.html(figures), "report.txt": f"{report}\n", "equivariance.csv": report.csv()}
    folder = write_files(path_below(Path("reports"), run.id), files)
    print(f"\n{report}\n\nReport: {folder / 'report.html'}")
    run.log_metrics({f"evaluate_{metric}": value for metric, value in report.metrics.items()})
    run.log_files([folder / file for file in files], "evaluation")
    print(f"MLflow: {how_to_open(settings.tracking.uri, run.experiment_id, run.id)}")
    return report


def write_card(
    run: RecordedRun, recorded: Mapping[str, Any], report: RunReport, export: ExportCheck | None = None
) -> None:
    """Write the model card of a run to its folder in `reports/`, where exported files are too, and to the run.

    Args:
        run: the recorded run.
        recorded: its config.
        report: of its network.
        export: what was exported, or None, the default.
    """
    from ..reporting.html import write_files
    from ..settings.paths import path_below
    from .card_facts import gather_facts

    card = gather_facts(run, recorded, report, export)
    path = write_files(path_below(Path("reports"), run.id), {CARD: str(card)}) / CARD
    run.log_files([path], "evaluation")
    print(f"Model card: {path}")


def write_features(settings: EvaluateSettings, model: keras.Model, data: Dataset) -> None:
    """Write the outputs of rows for all images of a split.

    Raises:
        UserError: a name fits no row, there is no such split, or the file cannot be written.
    """
    from ..evaluation import feature_files

    path, name = Path(str(settings.features)), settings.feature_split
    split = getattr(data, name)
    if split is None:
        raise UserError(f"`split={name}`: this run set no images aside for it")
    rows = settings.rows or [model.layers[-2].name]
    try:
        shapes = feature_files.write_features(model, split, rows, path, data.class_names)
    except OSError as error:
        raise UserError(f"`features`: {path} cannot be written to: {error.strerror or error}") from error
    print(f"{name}: {len(split):,} images")
    for row, shape in shapes.items():
        print(printable(f"{row}: {'×'.join(map(str, shape))}"))
    print(f"Features: {path}")


def export_model(settings: EvaluateSettings, run: RecordedRun, model: keras.Model, data: Dataset) -> ExportCheck:
    """Export a model to `reports/`, and compare what was exported with it on test images.

    Returns:
        The comparison.

    Raises:
        UserError: Keras cannot export it so, or the scores of the two differ.
    """
    from ..data import Split
    from ..evaluation import exports
    from ..settings.paths import path_below
    from ..training import backend
    from ..training.predictor import Predictor

    target = str(settings.export)
    folder = path_below(Path("reports"), run.id)
    folder.mkdir(parents=True, exist_ok=True)
    with backend.filter_error_stream():
        test = Split(data.test.x[: settings.images], data.test.y[: settings.images])
        check = exports.export(model, Predictor(model).predict_on_batch, test, folder, target)
    print(check)
    run.log_metrics(check.metrics)
    return check


def classify_image(file: str, run: RecordedRun, model: keras.Model, data_config: dict[str, Any]) -> None:
    """Classify one image; the report goes to `reports/`."""
    from ..data.images import read_image
    from ..reporting.html import write_files
    from ..reporting.run_report import ImageReport, TrainedNetwork
    from ..settings.paths import path_below
    from ..training.predictor import Predictor

    names = data_config["class_names"]
    listed = ", ".join(names) if len(names) < 4 else f"{names[0]} … {names[-1]}"
    print(f"trained on {printable(data_config['name'])}: {printable(listed)}")
    image = read_image(file, data_config["image_shape"], data_config.get("resize"))
    network = TrainedNetwork(run.name, model, Predictor(model), run.loss_class_name())
    report = ImageReport(f"{run.name}: {file}", network, image, network.predict(image[None])[0], names)
    figures = report.figures()
    files: dict[str, str | Figure] = dict(figures)
    files |= {"report.html": report.html(figures), "request.json": report.request()}
    name = Path(file).stem.strip(".") or Path(file).name
    folder = write_files(path_below(path_below(Path("reports"), run.id), name), files)
    print(f"\n{report}\n\nReport: {folder / 'report.html'}")


def register_model(settings: EvaluateSettings, run: RecordedRun, data_config: dict[str, Any]) -> None:
    """Put the model of a run into MLflow's model registry."""
    from ..tracking import model_registry

    name = str(settings.register_as)
    version = model_registry.register_model(
        run, name, data_config["class_names"], data_config["image_shape"], settings.allow or []
    )
    print(
        f"registered as {name}, version {version}",
        model_registry.how_to_serve(settings.tracking.uri, name, version, run),
        sep="\n",
    )
