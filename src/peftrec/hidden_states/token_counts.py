"""How many tokens towers see of each item, padding left out."""

import numpy as np
import numpy.typing as npt
import torch

from peftrec.data.content import Pixels, TokenisedTitles
from peftrec.hidden_states.encoding import StateSource
from peftrec.models.towers.names import TowerName


def num_tokens_of(source: StateSource, num_items: int) -> dict[TowerName, npt.NDArray[np.int64]]:
    """Return the number of tokens of each item, by tower: of a title its own; of an image what the tower makes of any,
    which the first one tells, unless images keep their proportions."""
    found: dict[TowerName, npt.NDArray[np.int64]] = {}
    for name, tower in source.towers.present().items():
        content = source.content.by_tower[name]
        if isinstance(content, TokenisedTitles):
            found[name] = content.lengths()
            continue
        if isinstance(content, Pixels) and tower.family.pads_patches:
            found[name] = content.grids().prod(axis=1)
            continue
        batch = source.content.batch(np.zeros(1, dtype=np.int64)).to(source.device)
        with torch.inference_mode():
            embedded = tower.token_states(batch.content(name), (0,))[0]
        found[name] = np.full(num_items, embedded.shape[1], dtype=np.int64)
    return found
