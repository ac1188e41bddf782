"""The page of charts that a study's experiment opens with in MLflow.

MLflow keeps a shared view of an experiment in a tag, in a form that it does not document: a change of MLflow's version
asks for a look at the page, which a browser test takes.

What MLflow 3.17 draws decides the form of the page. A scatter plot has an axis of words for single runs alone, not for
groups of runs. So each run has the mean of its cell as a metric, and the colour of its network as a tag
(`study_page`): the runs of a cell then lie on one point. Learning curves can be averaged, in a view of groups.
"""

import base64
import json
import time
import zlib
from collections.abc import Sequence
from typing import Any

from .run_names import SETTING_TAG

METRIC, SHIFTED = "test_accuracy", "test_shift_consistency"
MEAN = "mean_test_accuracy"  # of a run: the mean of `METRIC` over the seeds of its cell
AXES = ("stride", "pooling", "dropout")
# Titles of the views in the page's menu, by their keys in the address.
VIEWS = {"convzoo-runs": "what moves accuracy", "convzoo-cells": "curves by cell"}
_MAX_PARALLEL_AXES = 6  # whose labels do not overlap
_CARD_HEIGHT = 420  # pixels


def view_query(view: str) -> str:
    """Return the query that opens a view, a key of `VIEWS`, at the end of an experiment's address.

    It opens MLflow's pages for model training, whatever a browser opened last.
    """
    return f"?viewStateShareKey={view}&compareRunsMode=CHART&workflowType=machine_learning"


def create_views(client: Any, experiment_id: str, swept: Sequence[str] = ()) -> None:
    """Create the views of an experiment, or update those that differ.

    Args:
        client: an `mlflow.MlflowClient`.
        experiment_id: MLflow's id of the experiment.
        swept: names of the params that the study varies; `seed` is ignored.
    """
    swept = [key for key in swept if key != "seed"]
    tags = client.get_experiment(experiment_id).tags
    for key, name in VIEWS.items():
        tag = f"mlflow.sharedViewState.{key}"
        state = _compress(_cell_view() if key == "convzoo-cells" else _run_view(swept))
        if tag not in tags or json.loads(tags[tag])["state"] != state:
            now_ms = int(time.time() * 1000)
            view = {"name": name, "createdAt": now_ms, "updatedAt": now_ms, "state": state}
            client.set_experiment_tag(experiment_id, tag, json.dumps(view))


def _compress(view: dict) -> str:
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(view, separators=(",", ":")).encode())).decode()


def _run_view(swept: Sequence[str]) -> dict[str, Any]:
    """Return the state of the view with a point for each cell, in the colour of its network."""
    swept = [*(key for key in AXES if key in swept), *(key for key in swept if key not in AXES)]
    axes = [key for key in swept if key != "model"] or ["model"]
    mean, consistency = {"key": MEAN, "type": "METRIC"}, {"key": SHIFTED, "type": "METRIC"}
    parallel = {"selectedParams": swept[:_MAX_PARALLEL_AXES] or list(AXES), "selectedMetrics": [METRIC]}
    charts: list[tuple[str, str, dict[str, Any]]] = [
        *(("axes", "SCATTER", {"xaxis": _param(key), "yaxis": mean}) for key in axes),
        ("axes", "PARALLEL", parallel),
        ("axes", "SCATTER", {"xaxis": _param(axes[0]), "yaxis": consistency}),  # hidden where no run measured it
        ("cost", "SCATTER", {"xaxis": _param("macs"), "yaxis": mean}),
        *(("curves", "LINE", _line(key)) for key in ("val_accuracy", "train_loss")),
    ]
    sections = {
        "axes": "What moves accuracy",
        "cost": "What it costs",
        "curves": "Learning curves",
    }
    columns = [*(f"params.`{key}`" for key in dict.fromkeys([*swept, *AXES])), f"metrics.`{METRIC}`"]
    return _view(charts, sections) | {"selectedColumns": columns}


def _cell_view() -> dict[str, Any]:
    """Return the state of the view of learning curves, averaged over the seeds of each cell."""
    charts = [("curves", "LINE", _line(key)) for key in ("val_accuracy", "train_loss")]
    groups = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": SETTING_TAG}]}
    return _view(charts, {"curves": "Learning curves by cell"}) | {"groupBy": groups}


def _view(charts: Sequence[tuple[str, str, dict[str, Any]]], sections: dict[str, str]) -> dict[str, Any]:
    """Return the state of a view: one column of charts, without the list of runs.

    Args:
        charts: for each its section, its kind and its options.
        sections: mapping from section to title.
    """
    return {
        "searchFilter": f"metrics.{METRIC} >= 0",
        "orderByKey": f"metrics.`{METRIC}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [f"metrics.`{METRIC}`"],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOWALL",
        "compareRunCharts": [
            {
                "uuid": f"{section}{number}",
                "type": kind,
                "metricSectionId": section,
                "runsCountToCompare": 300,
                "deleted": False,
                "isGenerated": False,
                "showAllRuns": False,
                **options,
            }
            for number, (section, kind, options) in enumerate(charts)
        ],
        "compareRunSections": [
            {
                "uuid": key,
                "name": name,
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
                "columns": 1,
                "cardHeight": _CARD_HEIGHT,
            }
            for key, name in sections.items()
        ],
        "viewMaximized": False,
        "runListHidden": True,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _param(key: str) -> dict[str, str]:
    return {"key": key, "type": "PARAM"}


def _line(key: str) -> dict[str, Any]:
    return {
        "metricKey": key,
        "selectedMetricKeys": [key],
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
