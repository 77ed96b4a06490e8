"""Layers of the peft library in a tower: exactly those that are named, in every block, or an error."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import PeftType

from peftrec.errors import SettingsError
from peftrec.models.towers.tower import Tower

ADAPTER = "default"
"""peft's name for the only adapter there is."""

_BUTTERFLY = "Setting boft_n_butterfly_factor to 1.*"
_NO_NEWS = (
    ".*Unsupported layer type .*(LayerNorm|RMSNorm).*",  # of LN-tuning, whose layers these are
    "Failed to load the CUDA extension.*",  # of BOFT, which computes the same without it
    "Sparse invariant checks are implicitly disabled.*",
)
_IGNORES = (".*did not match any targeted module.*", _BUTTERFLY)


_PEFTS_REFUSALS = (ValueError, TypeError, ArithmeticError, AssertionError, RuntimeError, Warning)
"""What peft raises for arguments that it does not check, or that do not fit the layers."""


def inject(tower: Tower, config: PeftConfig) -> BaseTuner:
    """Put the layers of `config` into the tower and freeze all else; `config.target_modules` are full paths.

    The result drives the layers (see peftrec.models.peft.adalora); the tower works without it.
    Raises SettingsError where peft refuses the layers, or would adapt others than the named ones.
    """
    tuner_class = PEFT_TYPE_TO_TUNER_MAPPING[PeftType(config.peft_type)]
    targets: set[str] = set(config.target_modules)  # type: ignore[attr-defined]  # every config of layers has it
    try:
        # On the CPU also where shapes alone are asked for: some methods draw numbers and look at them.
        with _peft_speaks(config), _environment_kept(), torch.device("cpu"):
            tuner = tuner_class(tower.encoder, config, ADAPTER)
    except _PEFTS_REFUSALS as error:
        raise SettingsError(_explain(error, tower, config)) from error
    tower.dense.requires_grad_(False)  # as peft freezes what it is given
    adapted = {name for name, module in tower.encoder.named_modules() if isinstance(module, BaseTunerLayer)}
    if adapted != targets:
        missed, besides = sorted(targets - adapted), sorted(adapted - targets)
        raise SettingsError(
            f"strategy.sites: peft adapted {len(adapted)} layers of the {tower.name} tower, missed "
            f"{', '.join(missed) or 'none'} and took {', '.join(besides) or 'none'} besides"
        )
    return tuner


def _explain(error: Exception, tower: Tower, config: PeftConfig) -> str:
    method = PeftType(config.peft_type).value
    if isinstance(error, RuntimeError) and next(tower.parameters()).device.type == "meta":
        return (
            f"strategy: {method} reads the values of the weights that it adapts, and a plan has none; run it, or plan "
            "another method"
        )
    return f"strategy: peft cannot put {method} into the {tower.name} tower: {error}"


@contextmanager
def _peft_speaks(config: PeftConfig) -> Iterator[None]:
    """Turn peft's word that it ignores something into an error, and leave out what a user need not know."""
    with warnings.catch_warnings():
        for message in _IGNORES:
            warnings.filterwarnings("error", message=message)
        for message in _NO_NEWS:
            warnings.filterwarnings("ignore", message=message)
        if getattr(config, "boft_n_butterfly_factor", None) == 1:  # it is what was asked for
            warnings.filterwarnings("ignore", message=_BUTTERFLY)
        yield


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Leave variables as they were: BOFT names a compiler of C for its kernels, and where there are none it stays, and
    what torch.compile builds from then on, here and in every process that is started, lacks the C++ library."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
