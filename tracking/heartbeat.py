"""The lease of a run: tags that name its owner, the process that makes it, and show whether that process is alive.

A process of this machine is looked up. One of another machine is judged by its heartbeat, which changes every
`HEARTBEAT_INTERVAL_S` seconds. It counts as gone when the heartbeat is older than `EXPIRY_S` by both wall clocks, and
this process has seen the heartbeat unchanged for two intervals by its own clock. A wall clock that is wrong or steps
can delay a takeover, and never cause one.
"""

import contextlib
import json
import math
import os
import platform
import random
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .. import UserError

HEARTBEAT_INTERVAL_S = 30  # between two heartbeats
EXPIRY_S = 180  # after so long without a heartbeat a process counts as gone
MAX_CLAIM_ATTEMPTS = 20  # about three a second
# By the owner of a lease: its heartbeat, and the time by `clock` since which this process has seen that heartbeat.
_heartbeats_seen: dict[str, tuple[Any, float]] = {}


class Lease(NamedTuple):
    """The owner of a run, as its tags name it, and its last sign of life.

    Attributes:
        machine: id of its machine, see `_machine_id`.
        pid: number of its process.
        start_time: when the process was started, see `_start_time`.
        heartbeat: seconds since 1970.
    """

    machine: str
    pid: str
    start_time: str
    heartbeat: float


class OwnedError(UserError):
    """Another process makes the run, or has just made it."""

    elsewhere = True  # a sweep leaves the run to it


def clock() -> float:
    """Return seconds of a clock for durations: it never steps, and it counts the time that a machine is suspended.

    `time.monotonic` stops during a suspend on Linux.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def lease_tags() -> dict[str, str]:
    """Return the lease of this process, as tags of a run."""
    return {"owner": owner(), "heartbeat": heartbeat_now()}


def owner() -> str:
    """Return the identity of this process, which no other process shares: machine, number, start time."""
    return f"{_machine_id()} {os.getpid()} {_start_time(os.getpid())}"


def heartbeat_now() -> str:
    """Return the value of the tag `heartbeat` now: seconds since 1970, different each time."""
    return f"{time.time():.3f}"


def is_live(tags: Mapping[str, str], now: Callable[[], float] | None = None) -> bool:
    """Return whether the process that wrote a lease is alive; False if there is no lease.

    A heartbeat of the future counts as young, until this process has seen it unchanged for `EXPIRY_S`.

    Args:
        tags: of a run.
        now: returns seconds since 1970, for tests; None is `time.time`.
    """
    lease = _parse_lease(tags)
    if lease is None:
        return False
    if lease.machine == _machine_id():
        return _start_time(lease.pid) == lease.start_time
    return (now or time.time)() - lease.heartbeat < EXPIRY_S and _seconds_unchanged(tags) < EXPIRY_S


def is_owner_gone(tags: Mapping[str, str]) -> bool:
    """Return whether the process that wrote a lease is known to be gone, so that its run may be taken over.

    Args:
        tags: of a run, as they are now.

    Returns:
        True for a process of this machine that is gone, and for one of another machine whose heartbeat is old and did
        not change for two intervals while this process watched.
    """
    lease = _parse_lease(tags)
    if lease is None:
        return True
    return not is_live(tags) and (
        lease.machine == _machine_id() or _seconds_unchanged(tags) >= 2 * HEARTBEAT_INTERVAL_S
    )


def wait_until_owner_gone(read_tags: Callable[[], Mapping[str, str]]) -> bool:
    """Watch a lease that looks dead until it is known to be (`is_owner_gone`) or comes to life again.

    Args:
        read_tags: returns the tags of the run as they are now.

    Returns:
        Whether the process is gone.
    """
    tags = read_tags()
    while not is_owner_gone(tags):
        if is_live(tags):
            return False
        time.sleep(HEARTBEAT_INTERVAL_S / 10)
        before, tags = tags, read_tags()
        if any(tags.get(key) != before.get(key) for key in ("owner", "heartbeat")):
            return False
    return True


def is_running(pid: int) -> bool:
    """Return whether a process of this machine is there."""
    return bool(_start_time(pid))


@contextlib.contextmanager
def claim_cell(client: Any, experiment_id: str, cell: str, max_attempts: float = MAX_CLAIM_ATTEMPTS) -> Iterator[None]:
    """Let one process at a time, of all that share a store, check whether a run exists and create it.

    Each process writes its claim and then reads all claims. A process that sees another's claim deletes its own and
    tries again a little later. So of two processes at least one sees the other, whatever their clocks say. A claim
    whose process is gone is ignored: at once if it is of this machine; if it is of another machine, once it looks old
    by the wall clock and this process has seen it for three intervals.

    Args:
        client: an `mlflow.MlflowClient`.
        experiment_id: MLflow's id of the study's experiment.
        cell: a word for the run's identity and its code.
        max_attempts: number of attempts before it gives up; it also gives up after two minutes.

    Raises:
        OwnedError: other processes hold their claims for too long.
    """
    prefix = f"convzoo.claim.{cell}."
    own_key = f"{prefix}{secrets.token_hex(4)}"
    start, attempts = clock(), 0
    while attempts < max_attempts and clock() - start < 4 * HEARTBEAT_INTERVAL_S:
        client.set_experiment_tag(experiment_id, own_key, json.dumps(lease_tags()))
        try:
            claims = client.get_experiment(experiment_id).tags
            others = [key for key in claims if key.startswith(prefix) and key != own_key]
            live = [key for key in others if not _is_abandoned(key, claims[key])]
            if not live:
                for key in others:
                    _delete_claim(client, experiment_id, key)
                yield
                return
        finally:
            _delete_claim(client, experiment_id, own_key)
        attempts += any(not _looks_old(claims[key]) for key in live)
        time.sleep(random.uniform(0.05, 0.5))
    raise OwnedError("other processes are about to make this run")


def reap_stale_runs(client: Any, experiment_id: str) -> list[str]:
    """End as KILLED the runs of an experiment whose process is known to be gone, and return their names."""
    stale = [
        run
        for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
        if "owner" in run.data.tags and is_owner_gone(run.data.tags)
    ]
    for run in stale:
        lease = _parse_lease(run.data.tags)
        client.set_terminated(run.info.run_id, "KILLED", lease and int(lease.heartbeat * 1000))
    return [run.info.run_name for run in stale]


def _delete_claim(client: Any, experiment_id: str, key: str) -> None:
    from .errors import mlflow_error

    with contextlib.suppress(mlflow_error()):  # the claim is gone already, or the store does not answer
        client.delete_experiment_tag(experiment_id, key)


def _is_abandoned(key: str, claim: str) -> bool:
    """Return whether the process that wrote a claim is known to be gone.

    A claim lasts a moment, and its heartbeat does not change.

    Args:
        key: name of the experiment's tag.
        claim: value of the tag.
    """
    lease = _parse_claim(claim)
    if lease is None:
        return True
    if lease.machine == _machine_id():
        return _start_time(lease.pid) != lease.start_time
    return (
        _looks_old(claim)
        and _seconds_unchanged({"owner": key, "heartbeat": lease.heartbeat}) >= 3 * HEARTBEAT_INTERVAL_S
    )


def _looks_old(claim: str) -> bool:
    """Return whether a claim is older than a lease may be, or of the future, by the wall clocks of two processes."""
    lease = _parse_claim(claim)
    return lease is not None and abs(time.time() - lease.heartbeat) >= EXPIRY_S


def _parse_claim(claim: str) -> Lease | None:
    """Return the lease in the value of a claim; None if there is none."""
    try:
        tags = json.loads(claim)
    except (ValueError, RecursionError):
        return None
    return _parse_lease(tags) if isinstance(tags, dict) else None


def _parse_lease(tags: Mapping[str, str]) -> Lease | None:
    """Return the lease in the tags of a run; None if there is none."""
    try:
        machine, pid, start_time = tags["owner"].split()
        heartbeat = float(tags["heartbeat"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    is_time = math.isfinite(heartbeat) and 0 <= heartbeat < 1e11
    return Lease(machine, pid, start_time, heartbeat) if is_time and pid.isdecimal() else None


def _seconds_unchanged(tags: Mapping[str, Any]) -> float:
    """Return how long this process has seen the same heartbeat of a lease, by `clock`."""
    owner, heartbeat = tags["owner"], tags["heartbeat"]
    if _heartbeats_seen.get(owner, (None,))[0] != heartbeat:
        _heartbeats_seen[owner] = heartbeat, clock()
    return clock() - _heartbeats_seen[owner][1]


def _machine_id() -> str:
    """Return the name of this machine, with the ids of its boot and of the container, which may share the name."""
    boot_id, namespace = "", ""
    with contextlib.suppress(OSError):
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    return "-".join(filter(None, [platform.node() or "unknown", boot_id, namespace])).replace(" ", "_")


def _start_time(pid: int | str) -> str:
    """Return the start time of a process, which a later process of the same number does not share; "" if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except OSError:
        return "" if Path("/proc/self/stat").exists() else _start_time_without_proc(int(pid))


def _start_time_without_proc(pid: int) -> str:
    """Return "unknown" for a process that is there, on a system without /proc; "" if it is gone."""
    if os.name == "nt":  # there a signal of 0 ends the process
        return "unknown"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "unknown"
