"""Who makes a run: the tags by which one process knows that another is at it, or is gone.

A process of this machine is looked up. One of another machine is there as long as its run's heartbeat is young, by the
clocks of the two: let them differ by less than a minute.
"""

import contextlib
import json
import os
import platform
import random
import secrets
import time
from pathlib import Path

from .. import UserError

BEAT, EXPIRY = 30, 180  # seconds between two heartbeats; after so many without one a process is gone
_TRIES = 20


class OwnedError(UserError):
    """Another process makes the run, or has just made it."""

    elsewhere = True  # a sweep leaves the run to it


def tags():
    """The lease of this process, as tags of a run."""
    return {"owner": owner(), "heartbeat": beat()}


def owner():
    """This process, so that no other one is taken for it: machine, number, when it was started."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid())}"


def beat():
    """What the tag `heartbeat` says now: seconds since 1970."""
    return f"{time.time():.0f}"


def is_live(tags, now=time.time):
    """Whether the process is there that wrote a lease; one that wrote none is not.

    Args:
        tags: of a run.
        now: seconds since 1970, for tests.
    """
    try:
        machine, pid, started = tags["owner"].split()
        if machine == _machine():
            return _started(pid) == started
        return abs(now() - float(tags["heartbeat"])) < EXPIRY
    except (KeyError, ValueError):
        return False


def is_running(pid):
    """Whether a process of this machine is there."""
    return bool(_started(pid))


@contextlib.contextmanager
def claimed(client, experiment_id, cell):
    """Lets one process at a time, of all that share a store, look whether a cell is made and begin to.

    Each writes its claim beside the others' and then reads them all; whoever sees another's takes its own away and
    tries again a little later. So of two at least one sees the other, whatever their clocks say.

    Args:
        client: MLflow's client.
        experiment_id: MLflow's, of the study.
        cell: a word for the run's identity and its code.

    Raises:
        OwnedError: the others do not come to an end.
    """
    prefix = f"convzoo.claim.{cell}."
    mine = f"{prefix}{secrets.token_hex(4)}"
    for _ in range(_TRIES):
        client.set_experiment_tag(experiment_id, mine, json.dumps(tags()))
        try:
            found = client.get_experiment(experiment_id).tags
            others = [key for key in found if key.startswith(prefix) and key != mine]
            if not any(is_live(json.loads(found[key])) for key in others):
                for key in others:
                    _forget(client, experiment_id, key)
                yield
                return
        finally:
            _forget(client, experiment_id, mine)
        time.sleep(random.uniform(0.05, 0.5))
    raise OwnedError("other processes are about to make this run")


def close_left(client, experiment_id):
    """Ends as KILLED the runs of an experiment whose process is gone; returns their names."""
    left = [
        run
        for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
        if "owner" in run.data.tags and not is_live(run.data.tags)
    ]
    for run in left:
        client.set_terminated(run.info.run_id, "KILLED", int(float(run.data.tags["heartbeat"]) * 1000))
    return [run.info.run_name for run in left]


def _forget(client, experiment_id, key):
    from .store import mlflow_error

    with contextlib.suppress(mlflow_error()):  # it is gone already, or gone is the store: the claim's owner will be too
        client.delete_experiment_tag(experiment_id, key)


def _machine():
    """Its name, with what tells apart a restart and a container under the same name."""
    boot, space = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        space = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return "-".join(filter(None, [platform.node() or "unknown", boot, space])).replace(" ", "_")


def _started(pid):
    """When a process was started, a word that a later one of the same number does not share; "" if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _answers(int(pid))


def _answers(pid):
    """Where there is no /proc."""
    if os.name == "nt":  # there a signal of 0 ends the process
        return "unknown"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "unknown"
