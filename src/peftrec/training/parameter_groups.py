"""Every parameter's role: where it comes from, and whether it is frozen or in exactly one optimizer group.

Origins are told by object identity, captured before the strategy touches the towers: names change when a layer is
wrapped, tensors do not. pretrained = a tower's own; introduced = what the strategy put into or beside a tower;
recommender = projections, fusion and user encoder. A strategy may name finer groups of what it builds (the gates of a
branch, say); one that `learning_rates.finer` gives a rate is an optimizer group of its own.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from peftrec.models.item_encoder import ItemEncoder
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.towers import Towers

Origin = Literal["pretrained", "introduced", "recommender"]


@dataclass(frozen=True)
class PretrainedSnapshot:
    """Identities of the towers' parameters before a strategy adapts them."""

    tower_of: dict[int, TowerName]
    parameters: tuple[nn.Parameter, ...]
    """Kept alive, so that no identity is given to another tensor."""

    @classmethod
    def of(cls, towers: Towers) -> "PretrainedSnapshot":
        """Capture all parameters of the towers."""
        found = [(name, parameter) for name, tower in towers.present().items() for parameter in tower.parameters()]
        return cls({id(parameter): name for name, parameter in found}, tuple(parameter for _, parameter in found))


@dataclass(frozen=True, kw_only=True)
class ParameterRole:
    """One parameter of the model."""

    name: str
    parameter: nn.Parameter
    origin: Origin
    group: str | None
    """Name of the optimizer group; null where it is frozen."""


def parameter_roles(
    model: nn.Module,
    item_encoder: ItemEncoder,
    snapshot: PretrainedSnapshot,
    *,
    objective: nn.Module | None = None,
    finer: Container[str] = (),
) -> list[ParameterRole]:
    """Return each unique parameter of the model, and of the objective, with its origin and group; `finer` names those
    of the encoder's finer groups that have a rate of their own."""
    introduced = {id(parameter) for parameter in (*item_encoder.towers.parameters(), *item_encoder.introduced())}
    finer_of = {
        id(parameter): name
        for name, parameters in item_encoder.finer_groups().items()
        if name in finer
        for parameter in parameters
    }
    roles = []
    of_objective = [] if objective is None else objective.named_parameters(prefix="objective")
    for name, parameter in (*model.named_parameters(), *of_objective):  # unique tensors: shared ones are listed once
        tower = snapshot.tower_of.get(id(parameter))
        origin: Origin = "pretrained" if tower else "introduced" if id(parameter) in introduced else "recommender"
        group = finer_of.get(id(parameter)) or tower or origin
        roles.append(
            ParameterRole(
                name=name, parameter=parameter, origin=origin, group=group if parameter.requires_grad else None
            )
        )
    return roles


def optimizer_groups(roles: Iterable[ParameterRole], learning_rates: Mapping[str, float]) -> list[dict[str, object]]:
    """Return Adam's parameter groups in the order of the rates; an empty group is left out."""
    roles = list(roles)
    groups = []
    for group, rate in learning_rates.items():
        parameters = [role.parameter for role in roles if role.group == group]
        if parameters:
            groups.append({"params": parameters, "lr": rate, "name": group})
    return groups


def count_parameters(roles: Iterable[ParameterRole]) -> dict[str, dict[str, int]]:
    """Return trainable and frozen counts by origin."""
    counts: dict[str, dict[str, int]] = {}
    for role in roles:
        of_origin = counts.setdefault(role.origin, {"trainable": 0, "frozen": 0})
        of_origin["trainable" if role.group else "frozen"] += role.parameter.numel()
    return counts


def tensor_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of unique storages."""
    return sum({storage_key(tensor): tensor.untyped_storage().nbytes() for tensor in tensors}.values())


def storage_key(tensor: torch.Tensor) -> int:
    """Return the identity of a living tensor's storage, which tensors without values have as well."""
    return int(tensor.untyped_storage()._cdata)
