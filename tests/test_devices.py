"""Which devices and processors a run may take, and how its threads wait."""

from pathlib import Path

import pytest

from peftrec import devices


@pytest.mark.parametrize(("chosen", "found"), [("0,1", ["0", "1"]), ("", []), ("-1", []), ("GPU-a1", ["GPU-a1"])])
def test_chosen_devices(chosen: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert devices.visible_devices() == found


def test_devices_are_counted_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: A (UUID: GPU-2)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.visible_devices() == ["0", "1"]
    program.unlink()
    monkeypatch.setattr(devices, "DEVICE_FILES", tmp_path)
    assert devices.visible_devices() == []
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert devices.visible_devices() == ["0", "1"]


def test_how_threads_wait_is_chosen_where_nobody_has() -> None:
    chosen: dict[str, str] = {}
    devices.settle_threads(chosen)
    number = str(devices.usable_processors())
    assert chosen == {**devices.WAITING, "OMP_NUM_THREADS": number, "PEFTREC_SETTLED_THREADS": number}
    assert not devices.are_threads_chosen(chosen)
    assert not devices.are_threads_chosen({})
    assert devices.are_threads_chosen({**chosen, "OMP_NUM_THREADS": "17"})
    for own in ({"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "5"}, {"KMP_BLOCKTIME": "200"}):
        environment = {**own, "OMP_NUM_THREADS": "7"}
        devices.settle_threads(environment)
        assert environment == {**own, "OMP_NUM_THREADS": "7"}, "what the user chose stays, and nothing is mixed with it"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/job/step\n", {"job/step/cpu.max": "max 100000", "job/cpu.max": "150000 100000"}, 1.5),
        ("0::/job\n", {"job/cpu.max": "max 100000"}, None),
        ("0::/\n", {"cpu.max": "400000 100000"}, 4.0),
        (
            "4:cpu,cpuacct:/pod\n3:memory:/pod\n",
            {"cpu/pod/cpu.cfs_quota_us": "250000", "cpu/pod/cpu.cfs_period_us": "100000", "cpu/cpu.cfs_quota_us": "-1"},
            2.5,
        ),
        ("", {}, None),
    ],
)
def test_quotas_of_control_groups_count(
    membership: str, files: dict[str, str], expected: float | None, tmp_path: Path
) -> None:
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    (tmp_path / "membership").write_text(membership)
    assert devices.processor_quota(tmp_path / "groups", tmp_path / "membership") == expected
    assert devices.processor_quota(tmp_path / "groups", tmp_path / "none") is None


def test_the_host_has_some_memory() -> None:
    assert 2**20 < devices.free_host_memory() < 2**50


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        ("0::/slurm/job_1/task_0", {"memory.max": "max", "slurm/job_1/memory.max": "700"}, 700),  # as Slurm has it
        ("0::/a/b", {"a/memory.max": "900", "a/b/memory.max": "800", "memory.max": "max"}, 800),
        ("0::/", {"memory.max": "600"}, 600),  # a container's own view
        ("0::/a", {"a/memory.max": "max", "b/memory.max": "5"}, None),
        (
            "3:cpu:/a\n4:memory:/a",
            {"memory/a/memory.limit_in_bytes": "500", "memory/memory.limit_in_bytes": "9223"},
            500,
        ),
        ("", {"memory.max": "600"}, None),
    ],
)
def test_memory_limits_of_all_groups_above_hold(
    tmp_path: Path, membership: str, limits: dict[str, str], expected: int | None
) -> None:
    for name, text in limits.items():
        (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / name).write_text(f"{text}\n")
    (tmp_path / "cgroup").write_text(membership)
    assert devices.memory_limit(tmp_path / "mount", tmp_path / "cgroup") == expected
    assert devices.memory_limit(tmp_path / "mount", tmp_path / "no Linux") is None


def test_processors_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: {1, 3, 5})
    for quota, expected in ((None, 3), (2.9, 2), (0.5, 1), (8.0, 3)):
        monkeypatch.setattr(devices, "processor_quota", lambda quota=quota: quota)
        assert devices.usable_processors() == expected
