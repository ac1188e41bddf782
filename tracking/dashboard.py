"""The page of charts that a study's experiment opens with in MLflow.

MLflow keeps a shared view of an experiment in a tag, in a form that it does not document: a change of MLflow's version
asks for a look at the page, which a browser test takes.
"""

import base64
import json
import time
import zlib

METRIC, SHIFTED = "test_accuracy", "test_shift_consistency"
AXES = ("stride", "pooling", "dropout")
# By key, as the address has it, what the page's menu calls the view.
VIEWS = {"convzoo-runs": "each run", "convzoo-cells": "averaged over seeds"}


def query(view):
    """What stands behind the address of an experiment's runs to open a view of `VIEWS`."""
    return f"?viewStateShareKey={view}&compareRunsMode=CHART"


def lay_out(client, experiment_id, swept=()):
    """Gives an experiment its views, unless it has them.

    Args:
        client: MLflow's client.
        experiment_id: MLflow's.
        swept: names of the params that the study varies, `seed` apart.
    """
    swept = [key for key in swept if key != "seed"]
    tags = client.get_experiment(experiment_id).tags
    for key, name in VIEWS.items():
        tag, state = f"mlflow.sharedViewState.{key}", _packed(_view(swept, cells=key == "convzoo-cells"))
        if tag not in tags or json.loads(tags[tag])["state"] != state:
            at = int(time.time() * 1000)
            view = {"name": name, "createdAt": at, "updatedAt": at, "state": state}
            client.set_experiment_tag(experiment_id, tag, json.dumps(view))


def _packed(view):
    return "deflate;" + base64.b64encode(zlib.compress(json.dumps(view, separators=(",", ":")).encode())).decode()


def _view(swept, cells):
    """A view of all runs, or of cells: of those MLflow shows neither parallel coordinates nor words along an axis."""
    axes = list(dict.fromkeys([*AXES, *swept]))
    accuracy, first, second = {"key": METRIC, "type": "METRIC"}, *[*swept, *(k for k in AXES if k not in swept)][:2]
    cost = ("cost", "SCATTER", "test accuracy against multiplications", dict(xaxis=_param("macs"), yaxis=accuracy))
    curves = [("curves", "LINE", key, _line(key)) for key in ("val_accuracy", "train_loss")]
    bars = [
        ("axes", "BAR", "test accuracy", dict(metricKey=METRIC)),
        ("axes", "BAR", "consistency under shifts", dict(metricKey=SHIFTED)),  # hidden where no run measured it
    ]
    over = dict(xaxis=_param(first), yaxis=_param(second), zaxis=accuracy)
    parallel = ("axes", "PARALLEL", "what moved test accuracy", dict(selectedParams=axes, selectedMetrics=[METRIC]))
    against = [
        ("axes", "SCATTER", f"test accuracy against {key}", dict(xaxis=_param(key), yaxis=accuracy))
        for key in swept or axes
    ]
    contour = ("axes", "CONTOUR", f"test accuracy over {first} and {second}", over)
    charts = [*bars, *curves, cost] if cells else [parallel, *against, contour, *bars, *curves, cost]
    sections = {"axes": "What moves accuracy", "curves": "Learning curves", "cost": "What it costs"}
    return {
        "searchFilter": f"metrics.{METRIC} >= 0",
        "orderByKey": f"metrics.`{METRIC}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [*(f"params.`{key}`" for key in axes), f"metrics.`{METRIC}`"],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOWALL",
        "compareRunCharts": [
            {
                "uuid": f"{section}{number}",
                "type": kind,
                "metricSectionId": section,
                "displayName": title,
                "runsCountToCompare": 300,
                "deleted": False,
                "isGenerated": False,
                "showAllRuns": False,
                **more,
            }
            for number, (section, kind, title, more) in enumerate(charts)
        ],
        "compareRunSections": [
            {"uuid": key, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
            for key, name in sections.items()
        ],
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": key} for key in swept],
        }
        if cells and swept
        else None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _param(key):
    return {"key": key, "type": "PARAM"}


def _line(key):
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
