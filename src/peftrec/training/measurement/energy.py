"""Joules by a counter of the hardware: a GPU's by its driver, a processor's by RAPL. Where neither is there, nothing.

RAPL's files are root's alone on most machines since Linux 5.10 (CVE-2020-8694); who may read them is asked for nothing.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch

from peftrec.results.costs import EnergySource, MachineUse
from peftrec.training.measurement.nvml import open_device

_MICROJOULES = 1e-6


@runtime_checkable
class Meter(Protocol):
    """A counter that only grows."""

    source: EnergySource | None

    def joules(self) -> float | None:
        """Return what the device has taken up to now; null where it does not count."""

    def throttled_seconds(self) -> float | None:
        """Return how long it has been slowed down for power or heat up to now."""


class ProcessorEnergy:
    """All processor packages of the machine, whoever uses them. Their counters begin anew when they are full."""

    source: EnergySource | None = "rapl"

    def __init__(self, packages: Sequence[Path]) -> None:
        self.packages = packages
        self._ranges = [int((package / "max_energy_range_uj").read_text(encoding="utf-8")) for package in packages]
        self._last = self._read()
        self._full = [0] * len(packages)

    def joules(self) -> float:
        """Return what the packages have taken; read it at least once in the minutes in which a counter fills."""
        now = self._read()
        for place, (value, last) in enumerate(zip(now, self._last, strict=True)):
            if value < last:
                self._full[place] += self._ranges[place]
        self._last = now
        return (sum(now) + sum(self._full)) * _MICROJOULES

    def throttled_seconds(self) -> None:
        return None

    def _read(self) -> list[int]:
        return [int((package / "energy_uj").read_text(encoding="utf-8")) for package in self.packages]


def find_meter(device: torch.device | None, *, root: Path, is_first: bool) -> Meter | None:
    """Return what counts the energy of a device; null where nothing does. The processors of a machine are counted by
    the first of its processes alone."""
    if device is None:
        return None
    if device.type == "cuda":
        return open_device(str(torch.cuda.get_device_properties(device).uuid))
    packages = sorted((root / "sys/class/powercap").glob("intel-rapl:[0-9]"))
    if device.type != "cpu" or not is_first or not packages or not all(map(_is_readable, packages)):
        return None
    return ProcessorEnergy(packages)


def _is_readable(package: Path) -> bool:
    try:
        (package / "energy_uj").read_text(encoding="utf-8")
        (package / "max_energy_range_uj").read_text(encoding="utf-8")
    except OSError:
        return False
    return True


def energy_of(uses: Sequence[MachineUse]) -> tuple[float | None, EnergySource | None]:
    """Return the median joules of epochs and what counted them; null unless one counter saw them all."""
    joules = [use.joules for use in uses if use.joules is not None]
    sources = {use.energy_source for use in uses}
    if not joules or len(joules) < len(uses) or len(sources) > 1:
        return None, None
    return statistics.median(joules), next(iter(sources))
