"""Where a run keeps the states of its items: on the device, on the host, or on the disk, as they fit."""

import re
from pathlib import Path
from typing import Literal

import psutil
import torch

from peftrec.errors import StoreError
from peftrec.hidden_states.rows import RowsInMemory, RowsOnDisk, StateRows

Placement = Literal["device", "host", "disk"]
PlacementChoice = Literal["auto", "device", "host", "disk"]

_SHARE = 0.5
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
                "set hidden_states.placement=auto, or halve them by hidden_states.dtype=float16"
            )
        return choice
    places: tuple[Placement, ...] = ("device", "host") if device.type != "cpu" else ("host",)
    return next((found for found in places if num_bytes <= _SHARE * room[found]), "disk")


def place(rows: RowsOnDisk, placement: Placement, device: torch.device) -> StateRows:
    """Return the states in their place."""
    if placement == "disk":
        return rows
    loaded = rows.load()
    return RowsInMemory(loaded.states.to(device)) if placement == "device" else loaded


def free_device_memory(device: torch.device) -> int:
    """Return the bytes that are free on a device; a device without memory of its own has the host's."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_host_memory()


def free_host_memory() -> int:
    """Return the bytes that are free on the host, within the limit of this process's control group."""
    free = psutil.virtual_memory().available
    limit = _group_limit()
    return free if limit is None else min(free, max(0, limit - psutil.Process().memory_info().rss))


def _group_limit() -> int | None:
    """Return the memory limit that a batch system or container set (Linux control groups, version 2)."""
    membership = Path("/proc/self/cgroup")
    own = re.search(r"^0::/(.*)$", membership.read_text() if membership.exists() else "", re.MULTILINE)
    files = [Path("/sys/fs/cgroup", group, "memory.max") for group in ("", own[1] if own else "")]
    limits = [text for file in files if file.exists() and (text := file.read_text().strip()) != "max"]
    return min(map(int, limits), default=None)
