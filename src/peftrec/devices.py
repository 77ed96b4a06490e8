"""The devices of this machine: which one a run takes, what it is called, how many there are, what memory is free, and
how threads wait."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peftrec.errors import SettingsError

if TYPE_CHECKING:
    import torch

DEVICE_FILES = Path("/dev")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")

SPINS = 2_000
"""How often a thread of GNU's OpenMP looks whether there is work before it sleeps. The library's own 300,000 are some
milliseconds: beside another program that computes, a thread that is waited for has then lost its processor to one that
waits, at each of the hundreds of products of a step. See BENCHMARKS, "Beside a neighbour"."""
_SPIN_MILLISECONDS = "0"
WAITING = {"GOMP_SPINCOUNT": str(SPINS), "KMP_BLOCKTIME": _SPIN_MILLISECONDS}
"""The same for GNU's and for Intel's OpenMP; both read it once, when torch is imported."""
_CHOICES = ("OMP_WAIT_POLICY", *WAITING)
THREADS = "OMP_NUM_THREADS"
SETTLED = "PEFTREC_SETTLED_THREADS"
"""Beside a number of threads that is nobody's choice but `settle_threads`'s: processes that share the processors take
their part of them, where a number that the user chose is taken as it is."""


def settle_threads(environment: MutableMapping[str, str]) -> None:
    """Say in an environment how threads wait and how many there are, where its owner has not said so.

    It must happen before torch is imported.
    """
    if not any(name in environment for name in _CHOICES):
        environment.update(WAITING)
    if THREADS not in environment:
        environment[THREADS] = environment[SETTLED] = str(usable_processors())


def are_threads_chosen(environment: Mapping[str, str]) -> bool:
    """Say whether an environment's owner has said how many threads there are."""
    return THREADS in environment and environment[THREADS] != environment.get(SETTLED)


def thread_conditions() -> dict[str, Any]:
    """Return how many threads compute here and how they wait: costs of other values do not compare."""
    import torch

    waiting = {name: os.environ[name] for name in _CHOICES if name in os.environ}
    return {"threads": torch.get_num_threads(), "waiting": waiting}


def usable_processors() -> int:
    """Return how many processors this process may keep busy, by its affinity and by its control groups' quota."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota()
    return bound if quota is None else max(1, min(bound, int(quota)))


def processor_quota(root: Path = CONTROL_GROUPS, membership: Path = _MEMBERSHIP) -> float | None:
    """Return the smallest share of processors that a control group above this process allows, in processors; None
    where none is set."""
    quotas = (
        _first_version_quota(group) if version == 1 else _second_version_quota(group)
        for group, version in _control_groups("cpu", root, membership)
    )
    return min((quota for quota in quotas if quota is not None), default=None)


def _second_version_quota(group: Path) -> float | None:
    file = group / "cpu.max"
    if not file.exists():
        return None
    quota, period = file.read_text(encoding="utf-8").split()
    return None if quota == "max" else int(quota) / int(period)


def _first_version_quota(group: Path) -> float | None:
    file = group / "cpu.cfs_quota_us"
    if not file.exists() or (quota := int(file.read_text(encoding="utf-8"))) <= 0:
        return None
    return quota / int((group / "cpu.cfs_period_us").read_text(encoding="utf-8"))


def free_device_memory(device: "torch.device") -> int:
    """Return the bytes that are free on a device; a device without memory of its own has the host's."""
    import torch

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_host_memory()


def free_host_memory() -> int:
    """Return the bytes that are free on the host, within the limit of this process's control groups."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit = memory_limit()
    return free if limit is None else min(free, max(0, limit - psutil.Process().memory_info().rss))


def memory_limit(root: Path = CONTROL_GROUPS, membership: Path = _MEMBERSHIP) -> int | None:
    """Return the memory limit that a batch system or container set; Slurm, for one, limits jobs and not the tasks in
    them."""
    names = {1: "memory.limit_in_bytes", 2: "memory.max"}
    files = (group / names[version] for group, version in _control_groups("memory", root, membership))
    found = (file.read_text(encoding="utf-8").strip() for file in files if file.exists())
    return min((int(text) for text in found if text != "max"), default=None)


def _control_groups(controller: str, root: Path, membership: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folders of this process's control groups that a controller rules, and of all above them, with their
    version: a group is held to the limits of all above it."""
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.exists() else []
    for _, controllers, place in (line.split(":", 2) for line in lines):
        if controllers and controller not in controllers.split(","):
            continue
        top, version = (root / controller, 1) if controllers else (root, 2)
        below = top / place.lstrip("/")
        yield from ((group, version) for group in (below, *below.parents) if group.is_relative_to(top))


def resolve_device(accelerator: str) -> "torch.device":
    """Return the device that `trainer.accelerator` means here; SettingsError where there is none."""
    import torch

    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps", 0)
    if accelerator in ("auto", "cpu"):
        return torch.device("cpu")
    raise SettingsError(f"trainer.accelerator: there is no {accelerator} here; set trainer.accelerator=cpu")


def device_name(device: "torch.device") -> str:
    """Return the device's product name."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{platform.processor()} MPS"
    return _cpu_name()


def visible_devices() -> list[str]:
    """Name the CUDA devices that jobs may use, without importing torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in map(str.strip, chosen.split(",")) if name and name != "-1"]
    if shutil.which("nvidia-smi") is None:  # as in many containers
        return [str(index) for index in range(len(list(DEVICE_FILES.glob("nvidia[0-9]*"))))]
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=False)
    found = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(found))]


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({os.cpu_count()} cores)"
    return f"{platform.processor() or platform.machine()} ({os.cpu_count()} cores)"
