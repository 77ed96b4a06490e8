"""`trainer.precision`: what it means on a device, and which ones a device does not compute in, or not fast."""

import sys
from dataclasses import replace
from typing import Any

import torch

from peftrec.errors import SettingsError
from peftrec.settings.run import TrainerSettings


def with_precision(settings: TrainerSettings, device: torch.device) -> TrainerSettings:
    """Replace `precision: auto` by what it means on the device. Raises SettingsError as `refuse_float16`."""
    refuse_float16(settings.precision, device.type)
    if settings.precision != "auto":
        return settings
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    precision: Any = "bf16-mixed" if has_bfloat16 else "32-true"
    return replace(settings, precision=precision)


def refuse_float16(precision: str, device_type: str) -> None:
    """Raise SettingsError for float16 on a CPU, where Lightning would compute in bfloat16 under its name."""
    if precision == "16-mixed" and device_type == "cpu":
        raise SettingsError(
            "trainer.precision=16-mixed: a CPU does not train in float16; set trainer.precision=bf16-mixed, or 32-true "
            "for speed"
        )


def explain_slow_precision(precision: str, device: torch.device, *, is_told: bool = True) -> None:
    """Say so where a CPU must emulate the chosen arithmetic: a step of cached IISAN took 12 to 16 times as long."""
    if is_told and device.type == "cpu" and precision.startswith("bf16") and not has_bfloat16_products():
        print(
            f"trainer.precision={precision}: this CPU has no bfloat16 products and emulates them, many times slower "
            "than float32; trainer.precision=32-true is the fast one here",
            file=sys.stderr,
        )


def has_bfloat16_products() -> bool:
    """Whether oneDNN multiplies in bfloat16 on this CPU; torch says so to its compiler alone."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def parameter_dtype(precision: str) -> torch.dtype:
    """Return the type that Lightning gives the parameters."""
    return torch.bfloat16 if precision == "bf16-true" else torch.float32
