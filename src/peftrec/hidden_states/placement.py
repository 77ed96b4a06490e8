"""Where a run keeps the states of its items: on the device, on the host, or on the disk, as they fit."""

from pathlib import Path
from typing import Literal

import psutil
import torch

from peftrec.errors import StoreError
from peftrec.hidden_states.rows import RowsInMemory, RowsOnDisk
from peftrec.hidden_states.token_rows import TokensInMemory, TokensOnDisk

RowsInFile = RowsOnDisk | TokensOnDisk
StateRows = RowsInMemory | TokensInMemory | RowsInFile

Placement = Literal["device", "host", "disk"]
PlacementChoice = Literal["auto", "device", "host", "disk"]

AUTO_SHARE = 0.5
"""Part of the free memory that `auto` gives to states; model, activations and the page cache need the rest."""


def choose_placement(choice: PlacementChoice, num_bytes: int, device: torch.device, *, sharing: int = 1) -> Placement:
    """Return where states go. `auto` takes the fastest memory that they leave half of free.

    On a CPU, host and device are one memory, and `auto` calls it host. `sharing` processes of this machine, each with
    a device of its own, hold the same states. Raises StoreError where a chosen memory is too small.
    """
    room = {"device": free_device_memory(device), "host": free_host_memory() // sharing}
    if choice == "disk":
        return "disk"
    if choice != "auto":
        if num_bytes > room[choice]:
            raise StoreError(
                f"hidden_states.placement={choice}: the states need {num_bytes:,} bytes and {room[choice]:,} are free; "
                "set hidden_states.placement=auto, or make them smaller by hidden_states.dtype=float16, or int8"
            )
        return choice
    places: tuple[Placement, ...] = ("device", "host") if device.type != "cpu" else ("host",)
    return next((found for found in places if num_bytes <= AUTO_SHARE * room[found]), "disk")


def place(rows: RowsInFile, placement: Placement, device: torch.device) -> StateRows:
    """Return the states in their place."""
    if placement == "disk":
        return rows
    loaded = rows.load()
    return loaded.to(device) if placement == "device" else loaded


def free_device_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device; a device without memory of its own has the host's."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_host_memory()


def free_host_memory() -> int:
    """Return the bytes that are free on the host, within the limit of this process's control group."""
    free = psutil.virtual_memory().available
    limit = group_limit()
    return free if limit is None else min(free, max(0, limit - psutil.Process().memory_info().rss))


def group_limit(membership: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the memory limit that a batch system or container set, by Linux control groups of either version.

    A group is held to the limits of all groups above it: Slurm, for one, limits jobs and not the tasks in them.
    """
    lines = membership.read_text(encoding="utf-8").splitlines() if membership.exists() else []
    limits: list[int] = []
    for _, controllers, group in (line.split(":", maxsplit=2) for line in lines):
        if not controllers:
            top, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = top / group.lstrip("/")
        files = (folder / name for folder in (own, *own.parents) if folder.is_relative_to(top))
        found = (file.read_text(encoding="utf-8").strip() for file in files if file.exists())
        limits += [int(text) for text in found if text != "max"]
    return min(limits, default=None)
