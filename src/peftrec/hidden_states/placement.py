"""Where a run keeps the states of its items: on the device, on the host, or on the disk, as they fit."""

from typing import Literal

import torch

from peftrec.devices import free_device_memory, free_host_memory
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
