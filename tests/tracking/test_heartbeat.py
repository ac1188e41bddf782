"""Which process makes a run, told by its tags."""

import os
import subprocess
import sys

import pytest

from convzoo.tracking import heartbeat

NOW = 1_800_000_000


def tags(owner, age=0):
    return {"owner": owner, "heartbeat": str(NOW - age)}


def is_live(tags):
    return heartbeat.is_live(tags, now=lambda: NOW)


@pytest.mark.parametrize(
    ("age", "live"),
    [(0, True), (179, True), (181, False), (-60, True), (86_400, False)],  # clocks may differ by a minute
)
def test_remote_process_lives_while_its_heartbeat_is_young(age, live):
    assert is_live(tags("elsewhere 1 1", age)) == live


def test_a_process_of_this_machine_lives_as_long_as_it_is_there():
    machine, pid, started = heartbeat.owner().split()
    assert int(pid) == os.getpid()
    assert is_live(tags(heartbeat.owner(), age=86_400))
    assert not is_live(tags(f"{machine} {pid} {started}1"))  # another one had that number
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert not is_live(tags(f"{machine} {gone.pid} {started}"))


@pytest.mark.parametrize(
    "broken", [{}, {"owner": "elsewhere 1 1"}, tags("x"), {**tags("elsewhere 1 1"), "heartbeat": "x"}]
)
def test_without_a_lease_no_process_is_known(broken):
    assert not is_live(broken)
