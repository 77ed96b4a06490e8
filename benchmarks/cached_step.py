"""One training step of cached IISAN at the paper's shape, against the arithmetic of the batch's distinct items.

    python benchmarks/cached_step.py [--data-root DIR] [--pairs 9]

Shape: 7 of 13 states of width 768 for text and image (random numbers), bottleneck 64, embedding 64, batches of 64
users. Sequences: Amazon Scientific where DIR holds it, else made ones of the same size. The reference counts two
operations a weight and item, forward once and backward twice, at the rate of a 2048-cubed float32 product that is
measured between the steps. It can be undercut: the two output layers of a branch have no activation between them.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from peftrec.data.catalogue import Catalogue
from peftrec.data.content import ItemContent
from peftrec.data.interactions import Interactions
from peftrec.data.items import Items
from peftrec.data.loading import EpochOrder, TrainingBatches
from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.split import Split, split_catalogue
from peftrec.hidden_states.rows import RowsInMemory
from peftrec.models.item_encoder import FrozenStatesEncoder, StateReader
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.recommender import Recommender
from peftrec.models.towers.names import Modality
from peftrec.strategies.iisan import IISAN
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.training.module import LoopSettings, RecommenderModule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_roles
from peftrec.user_encoders.sasrec import SASRec

DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data" / "amazon_scientific"
NUM_USERS, NUM_ITEMS, MEAN_LENGTH = 12_076, 20_314, 6.77  # Amazon Scientific after the paper's preprocessing
BATCH_SIZE, EMBEDDING_DIM, SIDE = 64, 64, 2048
NUM_STATES, WIDTH = 7, 768


class RandomStates:
    """Stands in for a store: the same gather over random numbers."""

    def __init__(self, num_items: int) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (num_items, NUM_STATES, WIDTH)
        names: tuple[Modality, ...] = ("image", "text")
        self.rows = {name: RowsInMemory(torch.randn(shape, generator=generator)) for name in names}

    def read(self, items: torch.Tensor) -> dict[Modality, torch.Tensor]:
        """Gather the items' states."""
        return {name: rows.gather(items) for name, rows in self.rows.items()}


def load_split(root: Path) -> Split:
    """Read Amazon Scientific, or make sequences of its size with Zipf popularity."""
    if root.is_dir():
        source = IisanFiles(root=str(root))
        return split_catalogue(source.read(text=False, images=False), source)
    generator = np.random.default_rng(0)
    lengths = 5 + generator.geometric(1 / (MEAN_LENGTH - 4), size=NUM_USERS) - 1
    weights = 1 / np.arange(1, NUM_ITEMS + 1) ** 0.7
    histories = [generator.choice(NUM_ITEMS, size=n, p=weights / weights.sum()).tolist() for n in lengths]
    items = Items(ids=tuple(map(str, range(NUM_ITEMS))), titles=None, images=None)
    users = tuple(map(str, range(NUM_USERS)))
    source = IisanFiles(root=str(root))
    return split_catalogue(Catalogue(items=items, interactions=Interactions.from_lists(users, histories)), source)


def build_recommender(reader: StateReader, *, num_items: int, width: int, sequence_length: int) -> RecommenderModule:
    """Build cached IISAN over 7 of 13 states from `reader`, on towers of twelve blocks that are never loaded."""
    shape = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": width // 64}
    pair = TowerPair(
        text=PretrainedText(architecture={"model_type": "bert", **shape}, random_init=True),
        image=PretrainedImage(architecture={"model_type": "vit", **shape}, random_init=True),
    )
    towers = pair.load(seed=0, with_weights=False)
    snapshot = PretrainedSnapshot.of(towers)
    encoder = IISAN(states="store").adapt(towers, embedding_dim=EMBEDDING_DIM, num_items=num_items)
    assert isinstance(encoder, FrozenStatesEncoder)
    encoder.read_from(reader)
    recommender = Recommender(encoder, SASRec().build(dim=EMBEDDING_DIM, sequence_length=sequence_length))
    module = RecommenderModule(
        recommender,
        DebiasedCrossEntropyLoss(),
        parameter_roles=parameter_roles(recommender, encoder, snapshot),
        content=ItemContent(),
        log_popularity=torch.full((num_items,), -1.0),
        loop=LoopSettings(
            learning_rates=dict.fromkeys(("text", "image", "introduced", "recommender"), 1e-4),
            mask_history="all",
            seed=0,
        ),
        towers_stay_frozen=True,
    )
    module.set_training_modes()
    return module


def seconds_of_product(left: torch.Tensor, right: torch.Tensor) -> float:
    """Time one 2048-cubed product, best of three: the machine's rate, not its noise."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        torch.mm(left, right)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Alternate rate and step, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--steps", type=int, default=4, help="steps a pair; each pair takes their median")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    split = load_split(arguments.data_root)
    reader = RandomStates(len(split.items))
    module = build_recommender(reader, num_items=len(split.items), width=WIDTH, sequence_length=split.sequence_length)
    optimizer = module.configure_optimizers()
    dataset = TrainingBatches(split.windows, ItemContent(), length=split.sequence_length + 1)
    order = list(EpochOrder(len(split.windows), batch_size=BATCH_SIZE, seed=0))
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)

    def step(rows: np.ndarray) -> tuple[float, int]:
        started = time.perf_counter()
        batch = dataset[rows]
        module.loss(batch).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - started, len(batch.items.items)

    for rows in order[:3]:  # warm up
        step(rows)
    weights = sum(p.numel() for p in module.recommender.item_encoder.parameters())
    ratios, steps, bounds, sizes = [], [], [], []
    for pair in range(arguments.pairs):
        rate = 2 * SIDE**3 / seconds_of_product(left, right)
        taken = [step(order[3 + pair * arguments.steps + i]) for i in range(arguments.steps)]
        seconds = statistics.median(found for found, _ in taken)
        num_items = statistics.mean(size for _, size in taken)
        bound = 3 * 2 * weights * num_items / rate
        ratios.append(seconds / bound)
        steps.append(seconds)
        bounds.append(bound)
        sizes.append(num_items)
    print(f"distinct items a batch: {statistics.mean(sizes):.0f}; item-side weights: {weights:,}")
    print(f"rate: {3 * 2 * weights * statistics.mean(sizes) / statistics.median(bounds) / 1e9:.0f} GFLOP/s")
    print(f"step: {statistics.median(steps) * 1e3:.1f} ms; reference: {statistics.median(bounds) * 1e3:.1f} ms")
    print(f"ratio_to_bound: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
