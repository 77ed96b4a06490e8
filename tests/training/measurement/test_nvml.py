"""The driver's library is asked by the names, the order and the units of nvml.h; a library made up here answers."""

# ruff: noqa: N802 (the names are the library's)

import ctypes
from typing import Any

import pytest

from peftrec.training.measurement.nvml import open_device

NOT_SUPPORTED = 3


class MadeUp:
    """One device, `GPU-1`."""

    counts_energy = True

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        handle._obj.value = 77
        return 0 if uuid == b"GPU-1" else 6

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, energy: Any) -> int:
        assert handle.value == 77
        energy._obj.value = 12_500
        return 0 if self.counts_energy else NOT_SUPPORTED

    def nvmlDeviceGetViolationStatus(self, handle: Any, policy: int, time: Any) -> int:
        time._obj.violation_time = {0: 2_000_000_000, 1: 500_000_000}[policy]
        return 0

    def nvmlDeviceGetMaxClockInfo(self, handle: Any, kind: int, clock: Any) -> int:
        clock._obj.value = {1: 1980, 2: 3201}[kind]
        return 0

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, limit: Any) -> int:
        limit._obj.value = 700_000
        return 0


def test_a_device_is_read_in_joules_seconds_megahertz_and_watts() -> None:
    device = open_device("1", MadeUp())
    assert device is not None
    assert device.joules() == pytest.approx(12.5)
    assert device.throttled_seconds() == pytest.approx(2.0)
    assert device.limits() == {"sm_megahertz": 1980, "memory_megahertz": 3201, "watts": 700}


def test_what_is_not_supported_or_not_there_is_null() -> None:
    library = MadeUp()
    library.counts_energy = False
    device = open_device("GPU-1", library)
    assert device is not None
    assert device.joules() is None
    assert open_device("2", library) is None


def test_without_the_driver_there_is_no_device() -> None:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        assert open_device("1") is None
    else:
        pytest.skip("a driver is here")
