"""What costs depend on besides devices and versions, each with what it is: as the run's record holds it.

A condition that says nothing about a run is null: runs that read no store have no placement, and strategies whose
towers are frozen have nothing to checkpoint. So what the defaults do for one strategy and not for another is no
difference between their conditions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from peftrec.config.roles import Role
from peftrec.devices import thread_conditions
from peftrec.hidden_states.store import HiddenStateStore
from peftrec.settings.run import Settings
from peftrec.training.measurement.nvml import open_device

ENVIRONMENT = "environment"
"""The role of a condition that no key decides."""
PRECISION = "trainer.precision"
PLACEMENT = "hidden_states.placement"
_FREQUENCIES = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_KILOHERTZ_A_MEGAHERTZ = 1000


def conditions_of(settings: Settings, costs: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return the conditions of a run that begins; `costs` are its keys whose role is cost."""
    found = {**costs, PRECISION: settings.trainer.precision, **thread_conditions(), "clocks": clock_limits(device)}
    strategy = settings.strategy
    if not strategy.reads_content or strategy.states != "store":
        found[PLACEMENT] = None
    if not strategy.reads_content or strategy.keeps_towers_frozen:
        found["trainer.gradient_checkpointing"] = None
    if not strategy.reads_content or strategy.states == "store":
        found["trainer.decoded_image_bytes"] = None
    return found


def placement_of(store: HiddenStateStore | None) -> dict[str, Any]:
    """Return where a run's store lies, under the store's own name: what `auto` chose for another store, of another
    size, is no other condition."""
    return {} if store is None else {f"placement of {store.manifest.key.folder_name()}": store.placement}


def roles_of_conditions(conditions: Mapping[str, Any], costs: Mapping[str, Any]) -> dict[str, str]:
    """Return what each condition is."""
    known = {PRECISION: Role.RESULT.value, **dict.fromkeys(costs, Role.COST.value)}
    return {key: known.get(key, ENVIRONMENT) for key in conditions}


def clock_limits(device: torch.device, *, frequencies: Path = _FREQUENCIES) -> dict[str, Any] | None:
    """Return what bounds the device's speed, as it is set: clocks in megahertz, watts, a processor's governor; null
    where nothing says so, as in most virtual machines."""
    if device.type == "cuda":
        found = open_device(str(torch.cuda.get_device_properties(device).uuid))
        return None if found is None else found.limits() or None
    limits: dict[str, Any] = {}
    governor, largest = frequencies / "scaling_governor", frequencies / "scaling_max_freq"
    if governor.exists():
        limits["governor"] = governor.read_text(encoding="utf-8").strip()
    if largest.exists():
        limits["megahertz"] = int(largest.read_text(encoding="utf-8")) // _KILOHERTZ_A_MEGAHERTZ
    return limits or None
