"""How many tokens towers see of each item, padding left out."""

import numpy as np
import numpy.typing as npt
import torch

from peftrec.hidden_states.encoding import StateSource
from peftrec.models.towers.names import Modality


def num_tokens_of(source: StateSource, num_items: int) -> dict[Modality, npt.NDArray[np.int64]]:
    """Return the number of tokens of each item, by tower: of a title its own; of an image what the tower makes of any,
    which the first one tells, unless images keep their proportions."""
    found: dict[Modality, npt.NDArray[np.int64]] = {}
    for name, tower in source.towers.present().items():
        if name == "text" and source.content.titles is not None:
            found[name] = source.content.titles.lengths()
            continue
        if name == "image" and source.content.pixels is not None and tower.family.pads_patches:
            found[name] = source.content.pixels.grids().prod(axis=1)
            continue
        batch = source.content.batch(np.zeros(1, dtype=np.int64)).to(source.device)
        with torch.inference_mode():
            embedded = tower.token_states(batch.content(name), (0,))[0]
        found[name] = np.full(num_items, embedded.shape[1], dtype=np.int64)
    return found
