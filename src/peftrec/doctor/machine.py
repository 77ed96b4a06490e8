"""What this machine has: devices, threads, memory, room on disks, variables and cache folders."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil

from peftrec.devices import THREADS, WAITING, are_threads_chosen, device_name, usable_processors, visible_devices

VARIABLES = (
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "MKL_NUM_THREADS"),
    *("CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE"),
    *("WANDB_MODE", "WANDB_DIR", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL", "MLFLOW_TRACKING_URI"),
    *("TORCHINDUCTOR_CACHE_DIR", "XDG_CACHE_HOME", "TMPDIR", "HTTPS_PROXY", "SLURM_JOB_ID"),
)
"""Variables that change what a run does, what it costs, or where it finds and leaves things."""
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables of which only is said whether they are set."""
SET = "set, not shown"
GIBIBYTE = 2**30


@dataclass(frozen=True, kw_only=True)
class Device:
    """What training can run on."""

    kind: str
    """As `trainer.accelerator` calls it."""
    name: str
    memory_bytes: int | None
    """Null of a CPU, whose memory is the machine's."""
    computes_bfloat16: bool | None
    """Null where that is not known."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder, and the room on its disk."""

    what: str
    folder: str
    is_writable: bool
    free_bytes: int | None
    """Null where nothing can be asked."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """This machine, as this process sees it."""

    devices: tuple[Device, ...]
    processors: int
    """Those that this process may keep busy."""
    threads: int
    """Those that torch computes with."""
    threads_are_chosen: bool
    """Whether OMP_NUM_THREADS says so."""
    memory_bytes: int
    available_bytes: int
    places: tuple[Place, ...]
    variables: dict[str, str]


def this_machine(environment: Mapping[str, str] = os.environ) -> Machine:
    """Look at everything. Imports torch."""
    import torch

    memory = psutil.virtual_memory()
    return Machine(
        devices=devices(),
        processors=usable_processors(),
        threads=torch.get_num_threads(),
        threads_are_chosen=are_threads_chosen(environment),
        memory_bytes=memory.total,
        available_bytes=memory.available,
        places=places(environment),
        variables=variables(environment),
    )


def devices() -> tuple[Device, ...]:
    """Return what there is, what `trainer.accelerator=auto` takes first."""
    import torch

    found = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            found.append(
                Device(
                    kind="gpu",
                    name=properties.name,
                    memory_bytes=properties.total_memory,
                    computes_bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
                )
            )
    if torch.backends.mps.is_available():
        found.append(Device(kind="mps", name="MPS", memory_bytes=None, computes_bfloat16=None))
    cpu = Device(kind="cpu", name=device_name(torch.device("cpu")), memory_bytes=None, computes_bfloat16=None)
    return (*found, cpu)


def unused_devices() -> int:
    """Return how many NVIDIA devices are there that this torch cannot use."""
    import torch

    return 0 if torch.cuda.is_available() else len(visible_devices())


def places(environment: Mapping[str, str]) -> tuple[Place, ...]:
    """Return the folders in which runs, temporary files and downloads go."""
    from huggingface_hub.constants import HF_HUB_CACHE

    caches = Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return (
        place("runs (runs_dir=DIR)", Path.cwd()),
        place("temporary files (TMPDIR)", Path(tempfile.gettempdir())),
        place("models from the hub (HF_HOME)", Path(HF_HUB_CACHE)),
        place("checked images (XDG_CACHE_HOME)", caches / "peftrec"),
    )


def place(what: str, folder: Path) -> Place:
    """Look at a folder; one that is not there yet is made in the nearest one that is."""
    nearest = next((each for each in (folder, *folder.parents) if each.exists()), None)
    is_folder = nearest is not None and nearest.is_dir()
    return Place(
        what=what,
        folder=str(folder),
        is_writable=is_folder and os.access(str(nearest), os.W_OK | os.X_OK),
        free_bytes=shutil.disk_usage(str(nearest)).free if is_folder else None,
    )


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those of the variables that matter and are set, but for what this program settled itself; of secrets, and
    of names and passwords in an address, only that they are there."""
    settled = dict(WAITING) if are_threads_chosen(environment) else {**WAITING, THREADS: environment.get(THREADS)}
    said = {name: environment[name] for name in VARIABLES if name in environment}
    shown = {name: without_credentials(value) for name, value in said.items() if value != settled.get(name)}
    return shown | {name: SET for name in SECRETS if environment.get(name)}


def without_credentials(value: str) -> str:
    """Return an address without the user and the password that it may hold, and other text as it is."""
    if "@" not in value:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        return SET
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"***@{host}")) if parts.netloc and "@" in parts.netloc else SET


def size(number: int | None) -> str:
    """Return bytes for reading."""
    return "unknown" if number is None else f"{number / GIBIBYTE:,.1f} GiB"
