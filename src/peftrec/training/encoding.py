"""Items through an encoder, some at a time, so that memory does not grow with the catalogue."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.data.batches import ItemBatch
from peftrec.data.content import ItemContent
from peftrec.processes import ALONE, ProcessRank
from peftrec.training.collectives import gather_rows

ITEMS_AT_ONCE = 256


def encode_items(
    encode: Callable[[ItemBatch], Float[Tensor, "item out"]],
    content: ItemContent,
    num_items: int,
    *,
    device: torch.device,
    processes: ProcessRank = ALONE,
) -> Float[Tensor, "item out"]:
    """Encode all items, in the order of the catalogue; each of several processes encodes its part.

    Parts are whole chunks, the same ones that a process alone would encode, so that the numbers are the same.
    """
    order = content.encoding_order(num_items)
    chunks = np.array_split(order, range(ITEMS_AT_ONCE, num_items, ITEMS_AT_ONCE))
    own = chunks[processes.share(len(chunks))] or chunks[:1]  # who has none still takes part, with no rows
    rows = torch.cat([encode(content.batch(items).to(device)) for items in own])
    if processes.are_several:
        sizes = tuple(sum(map(len, chunks[part])) for part in processes.shares(len(chunks)))
        rows = gather_rows(rows[: sizes[processes.rank]], sizes, processes.rank)
    encoded = torch.empty_like(rows)
    encoded[torch.from_numpy(order).to(rows.device)] = rows
    return encoded
