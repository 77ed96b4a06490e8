"""Small towers and batches: laws hold at any size, and here a step takes milliseconds on one thread."""

from dataclasses import replace

import numpy as np
import torch

from peftrec.data.batches import ImageBatch, ItemBatch, SequenceBatch, TextBatch
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText

WIDTH, NUM_BLOCKS, VOCABULARY, SIDE = 32, 4, 60, 16
SMALL = {
    "hidden_size": WIDTH,
    "num_hidden_layers": NUM_BLOCKS,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
TEXT = PretrainedText(
    architecture={"model_type": "bert", "vocab_size": VOCABULARY, "max_position_embeddings": 32, **SMALL},
    random_init=True,
)
IMAGE = PretrainedImage(
    architecture={"model_type": "vit", "image_size": SIDE, "patch_size": 8, **SMALL}, random_init=True
)
SMALL_PAIRS = {
    "text_and_image": TowerPair(text=TEXT, image=IMAGE),
    "text_only": TowerPair(text=TEXT, image=None),
    "image_only": TowerPair(text=None, image=IMAGE),
}


def without_dropout(pair: TowerPair) -> TowerPair:
    """Return the pair with towers that draw nothing in training."""
    none = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return TowerPair(
        text=pair.text and replace(TEXT, architecture={**(TEXT.architecture or {}), **none}),
        image=pair.image and replace(IMAGE, architecture={**(IMAGE.architecture or {}), **none}),
    )


def item_batch(num_items: int, pair: TowerPair, *, seed: int = 0) -> ItemBatch:
    """Make random titles and pixels for the towers there are."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 9, (num_items, 1), generator=generator)
    tokens = torch.randint(1, VOCABULARY, (num_items, 8), generator=generator)
    mask = torch.arange(8) < lengths
    pixels = torch.randint(0, 256, (num_items, 3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    half = (0.5, 0.5, 0.5)
    return ItemBatch(
        items=torch.arange(num_items),
        contents={
            name: TextBatch(token_ids=tokens * mask, mask=mask)
            if modality == "text"
            else ImageBatch(pixels=pixels, mean=half, std=half)
            for name, modality in pair.readers.items()
        },
    )


def sequence_batch(pair: TowerPair, *, num_items: int = 12, num_users: int = 6, seed: int = 0) -> SequenceBatch:
    """Make random windows of up to five items over a batch of distinct ones, whose content does not depend on the
    seed."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 6, size=num_users)
    lengths[0] = 5
    sequences = random.integers(0, num_items, size=(num_users, 5))
    sequences.flat[:num_items] = np.arange(num_items)
    mask = np.arange(5) >= 5 - lengths[:, None]
    mask[: -(-num_items // 5)] = True
    sequences[~mask] = 0
    return SequenceBatch(
        items=item_batch(num_items, pair),
        sequences=torch.from_numpy(sequences),
        mask=torch.from_numpy(mask),
        positions=torch.from_numpy(np.flatnonzero(mask[:, :-1])),
    )
