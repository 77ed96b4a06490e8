"""AdaLoRA's budget (Zhang et al., ICLR 2023, arXiv:2303.10512): ranks go to the matrices that need them.

An update is P diag(e) Q. After every step the importance of each triplet is smoothed, and the e of the least important
ones become zero, so that as many are left as the budget of that step says; the budget falls from the initial rank to
the final one. P and Q are kept near orthogonality by a term of the loss (their eq. 4). peft does the allocation; that
it happens, and the term, peft leaves to the training loop.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from jaxtyping import Float
from peft import AdaLoraConfig, AdaLoraModel
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.models.adaptation_schedule import AdaptationSchedule
from peftrec.models.peft.injection import ADAPTER
from peftrec.models.towers.names import TowerName

_SMOOTHED = ("exp_avg_ipt", "exp_avg_unc")  # the allocator's memory, by parameter; `ipt` is computed anew in each step
_PATTERN = "rank_pattern"


class RankAllocation(AdaptationSchedule):
    """Allocates each tower's own budget among its matrices."""

    def __init__(self, tuners: Mapping[TowerName, AdaLoraModel]) -> None:
        self._tuners = dict(tuners)
        for tuner in self._tuners.values():
            for name, parameter in tuner.model.named_parameters():
                if "ranknum" in name:  # a constant, which peft thaws where towers have no values
                    parameter.requires_grad_(False)

    def begin(self, *, num_steps: int) -> None:
        for config in self._configs().values():
            if config.target_r >= config.init_r:
                raise SettingsError(
                    f"strategy.arguments.target_r: {config.target_r} leaves nothing to take from "
                    f"init_r={config.init_r}; set it lower"
                )
            if config.tinit >= num_steps - config.tfinal:
                raise SettingsError(
                    f"strategy.arguments.tinit: tinit={config.tinit} and tfinal={config.tfinal} leave none of the "
                    f"run's {num_steps} steps to allocate ranks in; lower them, or set trainer.max_epochs higher"
                )
            config.total_step = num_steps

    def penalty(self) -> Float[Tensor, ""]:
        """Return, summed over towers, the mean distance of P'P and QQ' from the identity, weighted as configured."""
        terms = []
        for tower, config in self._configs().items():
            distances = [_distance_from_orthogonal(factor) for factor in _factors(self._tuners[tower])]
            terms.append(config.orth_reg_weight * torch.stack(distances).mean())
        return torch.stack(terms).sum()

    def after_step(self, step: int) -> None:
        for tuner in self._tuners.values():
            if _has_finite_gradients(tuner):  # else float16 overflowed, and the step was left out
                _follow_devices(tuner)
                with _without_check_of_determinism():
                    tuner.update_and_allocate(step)  # type: ignore[no-untyped-call]

    @contextmanager
    def as_kept(self) -> Iterator[None]:
        """Leave each tower the triplets of the final budget, the most important so far. Between two allocations those
        that were taken grow again, and before the last one more are left than the budget that was asked for."""
        values = [
            p for tuner in self._tuners.values() for name, p in tuner.model.named_parameters() if "lora_E" in name
        ]
        trained = [value.detach().clone() for value in values]
        for tuner in self._tuners.values():
            allocator = tuner.rankallocator
            if allocator.exp_avg_ipt:  # else no step was taken yet, or the final triplets are chosen
                _follow_devices(tuner)
                with _without_check_of_determinism():
                    allocator.mask_to_budget(tuner.model, allocator.target_bgt)  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            with torch.no_grad():
                for value, before in zip(values, trained, strict=True):
                    value.copy_(before)

    def state_dict(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for tower, tuner in self._tuners.items():
            for kind in _SMOOTHED:
                remembered: dict[str, Tensor] = getattr(tuner.rankallocator, kind)
                state |= {f"{tower}/{kind}/{name}": tensor.clone() for name, tensor in remembered.items()}
            kept: dict[str, list[bool]] = self._configs()[tower].rank_pattern or {}
            state |= {f"{tower}/{_PATTERN}/{name}": torch.tensor(pattern) for name, pattern in kept.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for tower, tuner in self._tuners.items():
            tuner.rankallocator.reset_ipt()  # type: ignore[no-untyped-call]
            for kind in _SMOOTHED:
                getattr(tuner.rankallocator, kind).update(_below(f"{tower}/{kind}/", state))
            # Only its presence matters: peft starts the memory of a parameter anew that it does not find here.
            tuner.rankallocator.ipt.update(tuner.rankallocator.exp_avg_ipt)
            pattern = {name: tensor.tolist() for name, tensor in _below(f"{tower}/{_PATTERN}/", state).items()}
            self._configs()[tower].rank_pattern = pattern or None

    def _configs(self) -> dict[TowerName, AdaLoraConfig]:
        return {name: cast("AdaLoraConfig", tuner.peft_config[ADAPTER]) for name, tuner in self._tuners.items()}


def _factors(tuner: AdaLoraModel) -> Iterator[Tensor]:
    """Yield P' and Q of every matrix: their rows are what should be orthonormal."""
    for name, parameter in tuner.model.named_parameters():
        if "lora_A" in name:
            yield parameter
        elif "lora_B" in name:
            yield parameter.T


def _distance_from_orthogonal(rows: Float[Tensor, "rank width"]) -> Float[Tensor, ""]:
    products = rows @ rows.T
    return torch.linalg.matrix_norm(products - torch.eye(len(products), dtype=products.dtype, device=products.device))


def _has_finite_gradients(tuner: AdaLoraModel) -> bool:
    gradients = [parameter.grad for parameter in _trained(tuner.model) if parameter.grad is not None]
    return bool(nn.utils.get_total_norm(gradients).isfinite())


def _trained(model: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in model.parameters() if parameter.requires_grad)


def _follow_devices(tuner: AdaLoraModel) -> None:
    """Bring what was loaded to where the parameters have gone since."""
    places = {name: parameter.device for name, parameter in tuner.model.named_parameters()}
    for kind in _SMOOTHED:
        remembered: dict[str, Tensor] = getattr(tuner.rankallocator, kind)
        remembered.update({name: tensor.to(places[name]) for name, tensor in remembered.items()})


@contextmanager
def _without_check_of_determinism() -> Iterator[None]:
    """Allow torch.kthvalue on CUDA: which of equal values it picks is open, and only the value is used."""
    is_checked = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(is_checked, warn_only=only_warns)


def _below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
