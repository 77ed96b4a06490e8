"""The device that a plan is for: its kernels and casts, and where it finds stored states."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from peftrec.devices import resolve_device
from peftrec.errors import SettingsError
from peftrec.planning.cuda import CudaKernels
from peftrec.settings.run import Settings
from peftrec.training.precision import parameter_dtype, refuse_float16, with_precision

_CUDA = torch.device("cuda")
_CASTS = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One device."""

    on_cuda: bool
    precision: str
    """As the trainer's, never `auto`."""
    holds_store: bool
    """Whether a hidden-state store lies in the memory that is planned."""
    is_store_read_by_loader: bool
    """Whether stored states come with each batch, from the host or the disk to the device."""

    @property
    def kernels(self) -> str:
        """Name whose attention and casts are planned."""
        return "cuda" if self.on_cuda else "cpu"

    @property
    def parameter_dtype(self) -> torch.dtype:
        """What weights are kept in."""
        return parameter_dtype(self.precision)

    def attention(self) -> AbstractContextManager[object]:
        """Take the device's kernels."""
        return CudaKernels(reduced=_CASTS.get(self.precision)) if self.on_cuda else nullcontext()

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Do what Lightning's precision does around a forward pass, and take the device's kernels."""
        casts: AbstractContextManager[object] = nullcontext()
        if reduced := _CASTS.get(self.precision):
            casts = torch.autocast("cpu", dtype=reduced, cache_enabled=False)  # Lightning keeps no casts either
        former = torch.get_default_dtype()
        torch.set_default_dtype(self.parameter_dtype)
        try:
            with casts, self.attention():
                yield
        finally:
            torch.set_default_dtype(former)


def find_target(settings: Settings) -> Target:
    """Return the device that the run asks for, whether it is here or not; `auto` takes what is here.

    Without a CUDA device, `precision: auto` is planned as one that computes in bfloat16, and a store as fitting it.
    Raises SettingsError for several devices.
    """
    trainer = settings.trainer
    if trainer.devices != 1 or trainer.num_nodes != 1:
        raise SettingsError(
            "trainer.devices: a plan is for one device; set trainer.devices=1 trainer.num_nodes=1 and batch_size to "
            "one device's share"
        )
    here = resolve_device("auto").type == "cuda"
    on_cuda = trainer.accelerator == "gpu" or (trainer.accelerator == "auto" and here)
    placement = settings.hidden_states.placement
    places = ("auto", "device") if on_cuda else ("auto", "device", "host")
    return Target(
        on_cuda=on_cuda,
        precision=_precision(settings, on_cuda=on_cuda),
        holds_store=placement in places,
        is_store_read_by_loader=on_cuda and placement not in places,
    )


def _precision(settings: Settings, *, on_cuda: bool) -> str:
    precision = settings.trainer.precision
    if precision == "auto":
        if on_cuda and torch.cuda.is_available():
            return with_precision(settings.trainer, _CUDA).precision
        return "bf16-mixed" if on_cuda else "32-true"
    if not on_cuda:
        refuse_float16(precision, "cpu")
    return precision
