"""The same work for both sides: sequences, titles, pictures and states, by item.

The published code numbers items from 1 and pads with 0; a batch holds an occurrence in every row.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from cached_step import load_split
from tokenizers import Tokenizer
from torch import Tensor

from peftrec.data.batches import ImageBatch, ItemBatch, SequenceBatch
from peftrec.data.catalogue import Catalogue
from peftrec.data.content import ItemContent, TokenisedTitles
from peftrec.data.loading import EpochOrder, TrainingBatches, pad_left
from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.split import Split, split_catalogue

NUM_WORDS = 30  # published; titles are padded to it on their side, to the batch's longest on ours
HALF = (0.5, 0.5, 0.5)
_NUM_PICTURES = 64  # random pictures, shared by items: the towers do not care


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a comparison. The published code fixes width 768 and, where states are cached, 13 of them."""

    name: str
    num_blocks: int
    """Blocks of each tower that runs."""
    image_size: int
    vocabulary: int
    batch_size: int
    """Users a step of IISAN."""
    embedded_batch_size: int
    """Users a step where towers train."""
    max_users: int | None
    """Users that are evaluated; null takes all."""

    def __str__(self) -> str:
        return (
            f"{self.name}: width 768, {self.num_blocks} blocks a tower, {self.image_size} px in patches of 16, "
            f"batches of {self.batch_size} (IISAN) and {self.embedded_batch_size} (embedded) users"
        )


PAPER = Shape(
    name="paper",
    num_blocks=12,
    image_size=224,
    vocabulary=30_522,
    batch_size=64,
    embedded_batch_size=32,
    max_users=None,
)
SMALL = Shape(
    name="small",
    num_blocks=2,
    image_size=32,
    vocabulary=1_000,
    batch_size=8,
    embedded_batch_size=8,
    max_users=200,
)
SHAPES = {shape.name: shape for shape in (PAPER, SMALL)}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Data of one run of the benchmark."""

    shape: Shape
    split: Split
    titles: TokenisedTitles
    pictures: Tensor
    title_source: str

    @property
    def num_items(self) -> int:
        """Items of the catalogue."""
        return len(self.split.items)

    def content(self) -> ItemContent:
        """Return titles; pictures are added by `batch`."""
        return ItemContent(by_tower={"text": self.titles})

    def picture_of(self, items: Tensor) -> Tensor:
        """Return the bytes of each item's picture."""
        return self.pictures[items % _NUM_PICTURES]

    def batch(self, rows: np.ndarray, *, content: bool) -> SequenceBatch:
        """Return our batch: distinct items."""
        titles = self.content() if content else ItemContent()
        batch = TrainingBatches(self.split.windows, titles, length=self.split.sequence_length + 1)[rows]
        if not content:
            return batch
        image = ImageBatch(pixels=self.picture_of(batch.items.items), mean=HALF, std=HALF)
        items = ItemBatch(items=batch.items.items, contents={**batch.items.contents, "image": image})
        return SequenceBatch(items=items, sequences=batch.sequences, mask=batch.mask)

    def occurrences(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the published batch: item ids from 1 (users, length + 1), and the mask of input positions."""
        items, mask = pad_left(self.split.windows, rows, self.split.sequence_length + 1)
        ids = torch.from_numpy(np.where(mask, items + 1, 0).astype(np.int64))
        return ids, torch.from_numpy(mask[:, :-1]).float()

    def published_titles(self, ids: Tensor) -> Tensor:
        """Return 30 token ids and their mask a row, zeros for padding."""
        rows = torch.zeros(ids.numel(), 2 * NUM_WORDS, dtype=torch.int64)
        is_item = ids.reshape(-1) > 0
        text = self.titles.batch((ids.reshape(-1)[is_item] - 1).numpy())
        num_words = text.mask.shape[1]
        rows[is_item, :num_words] = text.token_ids
        rows[is_item, NUM_WORDS : NUM_WORDS + num_words] = text.mask.long()
        return rows

    def published_pixels(self, ids: Tensor) -> Tensor:
        """Return normalised pictures, zeros for padding."""
        flat = ids.reshape(-1)
        pixels = (self.picture_of(flat.clamp(min=1) - 1).float() / 255 - 0.5) / 0.5
        return pixels * (flat > 0)[:, None, None, None]

    def popularity(self) -> list[float]:
        """Return each item's share of the training interactions; the padding's is 1."""
        counts = self.split.train_counts
        return [1.0, *(counts / counts.sum()).tolist()]

    def order(self, batch_size: int, seed: int = 0) -> list[np.ndarray]:
        """Return whole batches of users in the order of an epoch."""
        batches = EpochOrder(len(self.split.windows), batch_size=batch_size, seed=seed)
        return [rows for rows in batches if len(rows) == batch_size]


def load_workload(shape: Shape, data_root: Path, checkout: Path) -> Workload:
    """Read sequences, and titles where there are any, tokenised with the checkout's vocabulary."""
    split, titles = _read(data_root)
    generator = np.random.default_rng(0)
    vocabulary = checkout / "pretrained_models" / "bert" / "bert_base_uncased" / "tokenizer.json"
    if titles is not None and vocabulary.is_file():
        tokenizer = Tokenizer.from_file(str(vocabulary))
        tokenizer.enable_truncation(NUM_WORDS)
        tokens = [[token % shape.vocabulary for token in found.ids] for found in tokenizer.encode_batch(list(titles))]
        source = "titles of the data, BERT's vocabulary"
    else:
        tokens = [generator.integers(1, shape.vocabulary, size=n).tolist() for n in _random_lengths(generator, split)]
        source = "random tokens, 8 to 30 a title"
    size = (_NUM_PICTURES, 3, shape.image_size, shape.image_size)
    return Workload(
        shape=shape,
        split=split,
        titles=TokenisedTitles.from_lists(tokens, padding_id=0),
        pictures=torch.from_numpy(generator.integers(0, 256, size=size, dtype=np.uint8)),
        title_source=source,
    )


def _random_lengths(generator: np.random.Generator, split: Split) -> np.ndarray:
    return generator.integers(8, NUM_WORDS + 1, size=len(split.items))


def _read(data_root: Path) -> tuple[Split, tuple[str, ...] | None]:
    if not data_root.is_dir():
        return load_split(data_root), None
    source = IisanFiles(root=str(data_root))
    catalogue: Catalogue = source.read(titles=["text"], images=[])
    split = split_catalogue(catalogue, source)
    return split, split.items.titles
