"""NVIDIA's management library, asked directly: it comes with the driver, and so is there wherever a GPU is.

Names and numbers are those of nvml.h (NVML API reference). An answer that a device or a driver does not give is null.
"""

import ctypes
from typing import Any

from peftrec.results.costs import EnergySource

_LIBRARY = "libnvidia-ml.so.1"
_SUCCESS = 0
_STREAMING_MULTIPROCESSORS, _MEMORY = 1, 2  # nvmlClockType_t: NVML_CLOCK_SM, NVML_CLOCK_MEM
_POWER, _THERMAL = 0, 1  # nvmlPerfPolicyType_t: NVML_PERF_POLICY_POWER, NVML_PERF_POLICY_THERMAL
_MILLI, _NANO = 1e-3, 1e-9


class _ViolationTime(ctypes.Structure):
    """nvmlViolationTime_t: microseconds of the reference, nanoseconds of the violation."""

    _fields_ = (("reference_time", ctypes.c_ulonglong), ("violation_time", ctypes.c_ulonglong))


class NvidiaDevice:
    """One GPU, by its handle."""

    source: EnergySource | None = "nvml"

    def __init__(self, library: Any, handle: Any) -> None:
        self.library = library
        self.handle = handle

    def joules(self) -> float | None:
        """Return the energy since the driver was loaded, of the whole device (Volta and later)."""
        energy = ctypes.c_ulonglong()
        answer = self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle, ctypes.byref(energy))
        return energy.value * _MILLI if answer == _SUCCESS else None

    def throttled_seconds(self) -> float | None:
        """Return how long its clocks have been held down by its power limit or its temperature."""
        found = []
        for policy in (_POWER, _THERMAL):
            time = _ViolationTime()
            if self.library.nvmlDeviceGetViolationStatus(self.handle, policy, ctypes.byref(time)) == _SUCCESS:
                found.append(time.violation_time * _NANO)
        return max(found, default=None)

    def limits(self) -> dict[str, float]:
        """Return what bounds its speed: clocks in megahertz, power in watts."""
        limits: dict[str, float] = {}
        value = ctypes.c_uint()
        for name, kind in (("sm_megahertz", _STREAMING_MULTIPROCESSORS), ("memory_megahertz", _MEMORY)):
            if self.library.nvmlDeviceGetMaxClockInfo(self.handle, kind, ctypes.byref(value)) == _SUCCESS:
                limits[name] = float(value.value)
        if self.library.nvmlDeviceGetEnforcedPowerLimit(self.handle, ctypes.byref(value)) == _SUCCESS:
            limits["watts"] = value.value * _MILLI
        return limits


def open_device(uuid: str, library: Any = None) -> NvidiaDevice | None:
    """Return the device of this uuid, as torch gives it; null where there is no library or it knows no such device."""
    if library is None:
        try:
            library = ctypes.CDLL(_LIBRARY)
        except OSError:
            return None
    if library.nvmlInit_v2() != _SUCCESS:
        return None
    handle = ctypes.c_void_p()
    name = uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
    if library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle)) != _SUCCESS:
        return None
    return NvidiaDevice(library, handle)
