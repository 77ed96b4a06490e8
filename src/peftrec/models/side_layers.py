"""Which hidden states a side network reads, and which branches it has.

Both published rules for dropping layers count from the top. Indices are hidden states: 0 is the embedding layer's, k
the k-th block's.
"""

from typing import Literal

from peftrec.errors import SettingsError
from peftrec.models.side_network import Branch
from peftrec.models.towers import Modality

Branches = Literal["intra_inter", "intra", "inter"]


def every_second_layer(num_blocks: int) -> tuple[int, ...]:
    """Return the embedding layer and every second block, the top one included (LayerDrop of IISAN)."""
    return (0, *range(2 - num_blocks % 2, num_blocks + 1, 2))


def last_layers_of_groups(num_blocks: int, num_groups: int) -> tuple[int, ...]:
    """Return the embedding layer and one block a group (group layer-dropping of IISAN-Versa); all of at most as many.

    The stride is floor((blocks - 2) / (groups - 1)), counted from the top: it gives the published lists at 12, 24, 28,
    32, 48, 56 and 80 blocks.
    """
    if num_blocks <= num_groups:
        return tuple(range(num_blocks + 1))
    if num_groups == 1:
        return (0, num_blocks)
    stride = (num_blocks - 2) // (num_groups - 1)
    return (0, *range(num_blocks - (num_groups - 1) * stride, num_blocks + 1, stride))


def checked_layers(
    key: str, layers: tuple[int, ...], *, modality: Modality, num_blocks: int, starts_from_embedding: bool
) -> tuple[int, ...]:
    """Return the states to read: `layers`, and where the network starts from the embedding layer's state, that first.

    Raises SettingsError, which names `key`, for layers that the tower does not have or that leave no block.
    """
    if not layers or list(layers) != sorted(set(layers)) or layers[0] < 0 or layers[-1] > num_blocks:
        raise SettingsError(
            f"{key}: {list(layers)} must be strictly increasing between 0 and {num_blocks}, "
            f"the number of blocks of the {modality} tower"
        )
    if not starts_from_embedding:
        return layers
    above = tuple(layer for layer in layers if layer > 0)
    if not above:
        raise SettingsError(f"{key}: with starts_from_embedding=true a block needs a layer above 0")
    return (0, *above)


def branches_over(modalities: list[Modality], branches: Branches) -> list[Branch]:
    """Return the branches in the order in which they are fused; with one tower, `intra_inter` means `intra`.

    Raises SettingsError for `inter` alone over one tower.
    """
    if len(modalities) == 1:
        if branches == "inter":
            raise SettingsError(
                f"strategy.branches: inter fuses two towers and only {modalities[0]} is there; use intra"
            )
        return [modalities[0]]
    intra: list[Branch] = [] if branches == "inter" else [*modalities]
    return intra if branches == "intra" else [*intra, "inter"]
