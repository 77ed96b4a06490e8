"""Which hidden states a side network reads, how wide it is, and which branches it has.

Both published rules for dropping layers count from the top. Indices are hidden states: 0 is the embedding layer's, k
the k-th block's, whose id in the published lists, counted from 0, is k - 1.
"""

from collections.abc import Callable

from peftrec.errors import SettingsError
from peftrec.models.side_networks.options import INTER, Branch, Branches, LayerRule, Layers
from peftrec.models.towers.names import TowerName


def every_second_layer(num_blocks: int) -> tuple[int, ...]:
    """Return the embedding layer and every second block, the top one included (LayerDrop of IISAN)."""
    return (0, *range(2 - num_blocks % 2, num_blocks + 1, 2))


def all_layers(num_blocks: int) -> tuple[int, ...]:
    """Return the embedding layer and every block."""
    return tuple(range(num_blocks + 1))


def top_half_of_layers(num_blocks: int) -> tuple[int, ...]:
    """Return the embedding layer and the upper half of the blocks: as many as `every_second_layer` has."""
    return (0, *range(num_blocks // 2 + 1, num_blocks + 1))


_RULES: dict[LayerRule, Callable[[int], tuple[int, ...]]] = {
    "every_second": every_second_layer,
    "all": all_layers,
    "top_half": top_half_of_layers,
}


def last_layers_of_groups(num_blocks: int, num_groups: int) -> tuple[int, ...]:
    """Return the embedding layer and one block a group (group layer-dropping of IISAN-Versa); all of at most as many.

    The stride is floor((blocks - 2) / (groups - 1)), counted from the top: it gives the published lists at 12, 24, 28,
    32, 48, 56 and 80 blocks.
    """
    if num_blocks <= num_groups:
        return all_layers(num_blocks)
    if num_groups == 1:
        return (0, num_blocks)
    stride = (num_blocks - 2) // (num_groups - 1)
    return (0, *range(num_blocks - (num_groups - 1) * stride, num_blocks + 1, stride))


def checked_layers(
    key: str, layers: Layers, *, tower: TowerName, num_blocks: int, starts_from_embedding: bool
) -> tuple[int, ...]:
    """Return the states to read: those of `layers`, and where the network starts from the embedding layer's, 0 first.

    Raises SettingsError, which names `key`, for layers that the tower does not have or that leave no block.
    """
    if isinstance(layers, str):
        layers = _RULES[layers](num_blocks)
    if not layers or list(layers) != sorted(set(layers)) or layers[0] < 0 or layers[-1] > num_blocks:
        raise SettingsError(
            f"{key}: {list(layers)} must be strictly increasing between 0 and {num_blocks}, "
            f"the number of blocks of the {tower} tower"
        )
    if not starts_from_embedding:
        return layers
    above = tuple(layer for layer in layers if layer > 0)
    if not above:
        raise SettingsError(
            f"{key}: the side network starts from layer 0 and needs a layer above 0 for a block to read, between 1 and "
            f"{num_blocks}, the number of blocks of the {tower} tower"
        )
    return (0, *above)


def reduced_width(width: int, reduction: int, *, tower: TowerName) -> int:
    """Return the width of a network that is narrower than its tower; SettingsError where that is no whole number."""
    if width % reduction:
        raise SettingsError(
            f"strategy.reduction: {reduction} does not divide {width}, the width of the {tower} tower; "
            "take a divisor of it"
        )
    return width // reduction


def branches_over(towers: list[TowerName], branches: Branches) -> list[Branch]:
    """Return the branches in the order in which they are fused; with one tower, `intra_inter` means `intra`.

    Raises SettingsError for `inter` alone over one tower.
    """
    if len(towers) == 1:
        if branches == "inter":
            raise SettingsError(f"strategy.branches: inter fuses two towers and only {towers[0]} is there; use intra")
        return [towers[0]]
    intra: list[Branch] = [] if branches == "inter" else [*towers]
    return intra if branches == "intra" else [*intra, INTER]
