"""The devices of this machine: which one a run takes, what it is called, and how many there are."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import torch

from peftrec.errors import SettingsError

DEVICE_FILES = Path("/dev")


def resolve_device(accelerator: str) -> torch.device:
    """Return the device that `trainer.accelerator` means here; SettingsError where there is none."""
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps", 0)
    if accelerator in ("auto", "cpu"):
        return torch.device("cpu")
    raise SettingsError(f"trainer.accelerator: there is no {accelerator} here; set trainer.accelerator=cpu")


def device_name(device: torch.device) -> str:
    """Return the device's product name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"{platform.processor()} MPS"
    return _cpu_name()


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({os.cpu_count()} cores)"
    return f"{platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


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


def usable_processors() -> int:
    """Return how many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
