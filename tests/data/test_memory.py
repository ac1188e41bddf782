"""The memory of the machine and of its containers, from files as Linux writes them."""

from types import SimpleNamespace

import psutil
import pytest

from convzoo.data import memory

GB = 10**9


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 64 GB, 40 of them free, and the folder of its control groups."""
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GB, available=40 * GB))
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=0))
    return tmp_path


def limit(folder, names, limit, usage, stat):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip([*names, "memory.stat"], [limit, usage, stat], strict=True):
        (folder / name).write_text(f"{content}\n")


V1 = "memory.limit_in_bytes", "memory.usage_in_bytes"
V2 = "memory.max", "memory.current"


def test_memory_without_a_container_is_the_machine_s(machine):
    assert (memory.total_memory(), memory.free_memory()) == (64 * GB, 40 * GB)
    limit(machine, V2, "max", 60 * GB, "anon 1")
    assert (memory.total_memory(), memory.free_memory()) == (64 * GB, 40 * GB)


def test_memory_of_a_container_is_its_limit(machine):
    """Of 5 GB in use, 2 are copies of files."""
    limit(machine, V2, 8 * GB, 5 * GB, f"anon {3 * GB}\ninactive_file {GB}\nactive_file {GB}\nslab 7")
    assert (memory.total_memory(), memory.free_memory()) == (8 * GB, 5 * GB)


def test_memory_of_a_slurm_job_is_the_least_of_its_groups(machine):
    (machine / "own").write_text("1:cpu:/elsewhere\n0::/slurm/job_7/step_0\n")
    limit(machine / "slurm", V2, 32 * GB, 30 * GB, "inactive_file 0")
    limit(machine / "slurm/job_7", V2, 4 * GB, GB, "inactive_file 0")
    limit(machine / "slurm/job_7/step_0", V2, "max", GB, "inactive_file 0")
    limit(machine / "elsewhere", V2, GB, 0, "inactive_file 0")
    assert (memory.total_memory(), memory.free_memory()) == (4 * GB, 2 * GB)


def test_memory_of_version_1_groups_is_read(machine):
    (machine / "own").write_text("9:name=systemd:/\n4:memory:/docker/abc\n0::/\n")
    limit(machine / "memory/docker/abc", V1, 3 * GB, 2 * GB, f"inactive_file 5\ntotal_inactive_file {GB}")
    assert (memory.total_memory(), memory.free_memory()) == (3 * GB, 2 * GB)


def test_memory_in_use_beyond_the_limit_leaves_nothing(machine):
    limit(machine, V2, GB, 2 * GB, "inactive_file 0")
    assert memory.free_memory() == 0


def test_free_swap_counts_as_free(machine, monkeypatch):
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=6 * GB))
    assert memory.free_memory() == 46 * GB
