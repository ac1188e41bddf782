"""The page of a study in MLflow: the answer so far, written when a run has come in, and a report when a sweep ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..tracking import DEFAULT_EXPERIMENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..reporting.study_report import StudyReport
    from ..tracking.results import Result
    from ..tracking.run import Run
    from ..tracking.study_page import StudyPage

ACCURACY_PAGE = "accuracy.html"  # the interactive page in the report of a study


def read_report(uri: str, study: str, runs: Sequence[Result] | None = None) -> StudyReport:
    """Return the report of a study.

    Args:
        uri: address of the store.
        study: name of the experiment.
        runs: of the study, newest first; None reads them.

    Raises:
        UserError: there is no such study.
    """
    from ..reporting.study_report import StudyReport
    from ..tracking import study_runs

    return StudyReport(
        study,
        study_runs.find_results(uri, study) if runs is None else runs,
        study_runs.recorded_spec(uri, study),
        study_runs.recorded_grids(uri, study),
    )


def update_page(uri: str, study: str) -> None:
    """Write the answer so far: the description, the means of the cells, the colours of the networks.

    A page that another process writes now is left to it, and one of a large study is not written after every run. Where
    the store does not answer, nothing is written: the next update reads all runs again.

    Args:
        uri: address of the store.
        study: name of the experiment.
    """
    _write(uri, study, is_final=False)


def finish_page(uri: str, study: str) -> None:
    """Write the answer, and record the report as the run that stands first; see `update_page`."""
    _write(uri, study, is_final=True)


def log_report(uri: str, study: str, report: StudyReport, files: dict[str, Any]) -> Run:
    """Record a report as the run that stands first, with its interactive page, and write the description.

    Args:
        uri: address of the store.
        study: name of the experiment.
        report: of the study.
        files: mapping from name to text or figure.

    Returns:
        The run that has the report.
    """
    from ..tracking import study_page

    with study_page.lock_page(uri, study) as page:
        assert page is not None  # the report was read from it
        return _write_report(page, report, page.read_results(), files)


def _write(uri: str, study: str, is_final: bool) -> None:
    from ..tracking import study_page
    from ..tracking.errors import one_line
    from ..tracking.outbox import worker

    if study == DEFAULT_EXPERIMENT or worker.get_worker(uri).is_offline:
        return
    from ..reporting import accuracy_panels, study_description  # noqa: F401  before the page's time is taken

    try:
        with study_page.lock_page(uri, study, only_if_due=not is_final) as page:
            if page is None:
                return
            runs = page.read_results()
            report = read_report(uri, study, runs)
            if is_final and report.cells:
                _write_report(page, report, runs, {"report.html": report.html({}), "runs.csv": report.csv()})
            else:
                _describe(page, report, runs)
    except Exception as error:  # the runs are safe, and the next update writes the page
        worker.print_line(f"warning: the page of {study} in MLflow was not written: {one_line(error)}")


def _write_report(page: StudyPage, report: StudyReport, runs: Sequence[Result], files: dict[str, Any]) -> Run:
    from ..reporting.accuracy_panels import render_accuracy
    from ..reporting.study_description import describe_answer

    accuracy = render_accuracy(page.study, report.cells, report.axes)
    files = ({ACCURACY_PAGE: accuracy} if accuracy else {}) | files
    run = page.log_report(files, describe_answer(report, max_length=8000))
    _describe(page, report, runs)
    return run


def _describe(page: StudyPage, report: StudyReport, runs: Sequence[Result]) -> None:
    from ..reporting.study_description import describe_answer

    page.mark_runs(runs)
    page.describe(describe_answer(report, page.report_address(ACCURACY_PAGE)))
