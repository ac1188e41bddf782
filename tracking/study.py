"""The runs of a study: one MLflow experiment, whose runs are told apart by what decides their results."""

import contextlib
import hashlib
import json

from .. import UserError
from . import EVERYDAY, dashboard, environment, journal
from .result import of_journal, search, serves
from .run import Run, failure, run_name
from .store import AwayError, answering, experiment_of, how_to_open, open_store

SAID = "convzoo.study"  # the experiment's tag that holds its file, as it was when the study began


def results(uri, study, where=""):
    """All `Result`s of a study, newest first.

    Args:
        uri: the store.
        study: name of the experiment.
        where: MLflow's filter, if not all are wanted.

    Raises:
        UserError: there is no such study.
    """
    client, experiment = _study(uri, study)
    if experiment is None:
        raise UserError(f"there is no study {study!r} in {uri}")
    with answering(uri):
        return search(client, experiment.experiment_id, where)


def reusable(uri, study, identity, rerun=False, artifacts="light", trained=False):
    """The newest finished `Result` of an identity that this version of the code made, or None.

    Runs of the everyday study, which belong to no question, are made whenever they are asked for. One of another
    version is told and made again.

    Args:
        uri: the store.
        study: name of the experiment.
        identity: as `record` gives it.
        rerun: whether all are to be made again.
        artifacts: "full" where only one will do that kept its model.
        trained: whether checkpoints lie there to the last epoch. Where runs are made again, the newest is then the one
            that they are of: if it is finished, its process was killed as it closed it.
    """
    again = rerun or study == EVERYDAY
    if again and not trained:
        return None
    try:
        if _study(uri, study)[1] is None:
            return None
        found = results(uri, study, f"tags.identity = '{identity}'")
    except AwayError:
        found = [
            result for each in journal.waiting(uri) if each.begin["study"] == study for result in [of_journal(each)]
        ]
        found = [each for each in found if each.identity == identity]
        return next((each for each in found[: 1 if again else None] if serves(each, artifacts)), None)
    code = environment.code()
    if again:
        newest = [result for result in found if result.code == code][:1]
        return next((result for result in newest if serves(result, artifacts)), None)
    found = [result for result in found if result.status == "FINISHED"]
    if found and all(result.code != code for result in found):
        print(f"run {found[0].id} is of other code ({found[0].code[:7]}, not {code[:7]}) and is made again")
    found = [result for result in found if result.code == code]
    if artifacts == "full" and found and all(result.artifacts != "full" for result in found):
        print(f"run {found[0].id} kept no model and is made again")
    return next((result for result in found if serves(result, artifacts)), None)


def key(identity):
    """A word for an identity under this version of the code."""
    return f"{identity}-{hashlib.sha256(environment.code().encode()).hexdigest()[:8]}"


def said(uri, study):
    """What the study's file said when its first run began, as a mapping, or None."""
    _, experiment = _study(uri, study)
    text = experiment.tags.get(SAID) if experiment else None
    return json.loads(text) if text else None


def make(uri, study):
    """Makes a study's experiment, and the store, if they are not there."""
    experiment_of(open_store(uri), uri, study)


def begin(uri, study, swept, file=None):
    """Lays out a study's page in MLflow, and writes down what its file says unless that was done before.

    Args:
        uri: the store.
        study: name of the experiment, made if it is not there.
        swept: names of the params that it varies.
        file: a mapping, or None: its claims stand before the results.

    Returns:
        How to open its page.
    """
    client = open_store(uri)
    experiment = experiment_of(client, uri, study)
    if file and SAID not in client.get_experiment(experiment).tags:
        client.set_experiment_tag(experiment, SAID, json.dumps(file))
    dashboard.lay_out(client, experiment, swept)
    return how_to_open(uri, experiment)


def keep_report(uri, study, files):
    """Logs a report's files, a mapping from name to text or figure, as a run of the experiment "reports".

    Returns:
        The run, a `Recorded`.
    """
    with Run(uri, "reports", study, {}, {"study": study}) as run:
        for name, content in files.items():
            (run.text if isinstance(content, str) else run.figure)(content, name)
    return run


def keep_failure(uri, study, words, error, telling=None):
    """Records as a FAILED run, with the reason, what failed before a run of its own began.

    Args:
        uri: the store.
        study: name of the experiment.
        words: what was typed, as `key=value`.
        error: the exception.
        telling: those of the words that name the run; None is all of them.
    """
    if hasattr(error, "run_id"):
        return
    params = dict(word.lstrip("+").split("=", 1) for word in words if "=" in word and not word.startswith("launcher"))
    model = params.pop("model", "?").rpartition("/")[2]  # its own name is without its folder
    name = run_name(model, params.get("seed", 0), words if telling is None else telling)
    try:
        known = results(uri, study, "attributes.status = 'FAILED'") if _study(uri, study)[1] else []
    except AwayError:
        known = []
    if any((each.name, each.failure) == (name, failure(error)) for each in known):
        return
    with contextlib.suppress(type(error)), Run(uri, study, name, params, {}):
        raise error


def speeds(uri, precision, backend):
    """What training took on this machine: (MACs an image, images a second) of finished runs, the newest first.

    Args:
        uri: the store.
        precision: the dtype policy that they ran in.
        backend: Keras's backend.
    """
    client = open_store(uri)
    found = client.search_runs(
        [experiment.experiment_id for experiment in client.search_experiments()],
        f"attributes.status = 'FINISHED' and params.precision = '{precision}' and tags.backend = '{backend}'",
        max_results=1000,
        order_by=["attributes.start_time DESC"],
    )
    here = environment.machine()
    return [
        (int(run.data.params["macs"]), run.data.metrics["images_per_second"])
        for run in found
        if run.data.tags.get("machine") == here and "images_per_second" in run.data.metrics
    ]


def place(run):
    """Where a `Result` or a `Recorded` run is to be found: its `name`, `run` and `experiment`."""
    return {"name": run.name, "run": run.id, "experiment": run.experiment_id}


def _study(uri, study):
    client = open_store(uri)
    with answering(uri):
        return client, client.get_experiment_by_name(study)
