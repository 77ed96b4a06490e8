"""Which device is planned for: the one that the run asks for, whether it is here or not."""

from pathlib import Path

import pytest
import torch

from peftrec.errors import SettingsError
from peftrec.planning.target import find_target
from small_plans import settings_of


@pytest.mark.parametrize(
    ("accelerator", "precision", "kernels", "meant"),
    [
        ("cpu", "auto", "cpu", "32-true"),
        ("cpu", "bf16-mixed", "cpu", "bf16-mixed"),
        ("gpu", "32-true", "cuda", "32-true"),
        ("gpu", "bf16-true", "cuda", "bf16-true"),
    ],
)
def test_kernels_and_precision(accelerator: str, precision: str, kernels: str, meant: str, tmp_path: Path) -> None:
    target = find_target(settings_of(tmp_path, trainer={"accelerator": accelerator, "precision": precision}))
    assert (target.kernels, target.precision) == (kernels, meant)
    assert target.parameter_dtype == (torch.bfloat16 if meant == "bf16-true" else torch.float32)


def test_a_plan_refuses_what_the_run_would(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"16-mixed: a CPU"):
        find_target(settings_of(tmp_path, trainer={"accelerator": "cpu", "precision": "16-mixed"}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device here answers for itself")
def test_without_a_device_cuda_is_planned_in_bfloat16(tmp_path: Path) -> None:
    target = find_target(settings_of(tmp_path, trainer={"accelerator": "gpu", "precision": "auto"}))
    assert target.precision == "bf16-mixed"
    assert find_target(settings_of(tmp_path, trainer={"accelerator": "auto"})).kernels == "cpu"


@pytest.mark.parametrize("several", [{"devices": 2}, {"devices": "auto"}, {"num_nodes": 2}])
def test_several_devices_are_refused(several: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"trainer\.devices: a plan is for one device"):
        find_target(settings_of(tmp_path, trainer=several))


def test_arithmetic_leaves_no_trace(tmp_path: Path) -> None:
    target = find_target(settings_of(tmp_path, trainer={"accelerator": "gpu", "precision": "bf16-true"}))
    with target.arithmetic():
        assert torch.get_default_dtype() == torch.bfloat16
    assert torch.get_default_dtype() == torch.float32
    mixed = find_target(settings_of(tmp_path, trainer={"accelerator": "cpu", "precision": "bf16-mixed"}))
    with mixed.arithmetic():
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")
