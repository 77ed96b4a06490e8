"""The devices of this machine: which one a run takes, what it is called, how many there are, and how threads wait."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping, MutableMapping
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
    where none is set. Both versions of control groups are read."""
    if not membership.exists():
        return None
    quotas: list[float] = []
    for line in membership.read_text(encoding="utf-8").splitlines():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            folder, read = root, _second_version_quota
        elif "cpu" in controllers.split(","):
            folder, read = root / "cpu", _first_version_quota
        else:
            continue
        below = folder / place.lstrip("/")
        for group in (below, *below.parents):
            if not group.is_relative_to(folder):
                break
            if (quota := read(group)) is not None:
                quotas.append(quota)
    return min(quotas, default=None)


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
