"""One training step of cached IISAN at the paper's shape, against the arithmetic of the batch's distinct items.

    python benchmarks/cached_step.py [--data-root DIR] [--pairs 11] [--compiled]
    python benchmarks/cached_step.py --neighbour [--tries 10]

Shape: 7 of 13 states of width 768 for text and image (random numbers), bottleneck 64, embedding 64, batches of 64
users. Sequences: Amazon Scientific where DIR holds it, else made ones of the same size. The reference counts two
operations a weight and item, forward once and backward twice, at the rate of a 2048-cubed float32 product that is
measured between the steps. It can be undercut: the two output layers of a branch have no activation between them.

With --neighbour, the step alone and beside another program that multiplies matrices on all processors, in fresh
processes that take turns: once waiting as peftrec lets threads wait (peftrec.devices), once as the libraries do.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
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
from peftrec.devices import WAITING
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
STEPS_A_TRY = 15


class RandomStates:
    """Stands in for a store: the same gather over random numbers."""

    def __init__(self, num_items: int) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (num_items, NUM_STATES, WIDTH)
        names: tuple[Modality, ...] = ("image", "text")
        self.rows = {name: RowsInMemory(torch.randn(shape, generator=generator)) for name in names}
        self.scales: dict[Modality, torch.Tensor] = {}

    def read(self, items: torch.Tensor) -> dict[Modality, torch.Tensor]:
        """Gather the items' states."""
        return {name: rows.gather(items) for name, rows in self.rows.items()}


def load_split(root: Path) -> Split:
    """Read Amazon Scientific, or make sequences of its size with Zipf popularity."""
    if root.is_dir():
        source = IisanFiles(root=str(root))
        return split_catalogue(source.read(titles=[], images=[]), source)
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


class CachedStep:
    """The training step, ready to be taken on one batch of the epoch after another."""

    def __init__(self, data_root: Path, *, compiled: bool = False) -> None:
        torch.manual_seed(0)
        split = load_split(data_root)
        length = split.sequence_length
        self.module = build_recommender(
            RandomStates(len(split.items)), num_items=len(split.items), width=WIDTH, sequence_length=length
        )
        self.optimizer = self.module.configure_optimizers()
        self.dataset = TrainingBatches(split.windows, ItemContent(), length=length + 1)
        self.order = itertools.cycle(EpochOrder(len(split.windows), batch_size=BATCH_SIZE, seed=0))
        if compiled:
            self.module.compile_encoders()
        for _ in range(20 if compiled else 3):  # warm up; the compiler compiles once more when it has met two sizes
            self.take()

    def take(self) -> tuple[float, int]:
        """Take a step; return its seconds and the number of distinct items of its batch."""
        rows = next(self.order)
        started = time.perf_counter()
        batch = self.dataset[rows]
        self.module.loss(batch).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - started, len(batch.items.items)

    def median_seconds(self, number: int) -> float:
        """Return the median of so many steps."""
        return statistics.median(self.take()[0] for _ in range(number))


def against_bound(step: CachedStep, *, pairs: int, steps: int) -> None:
    """Alternate rate and step, and print medians."""
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    weights = sum(p.numel() for p in step.module.recommender.item_encoder.parameters())
    ratios, times, bounds, sizes = [], [], [], []
    for _ in range(pairs):
        rate = 2 * SIDE**3 / seconds_of_product(left, right)
        taken = [step.take() for _ in range(steps)]
        seconds = statistics.median(found for found, _ in taken)
        num_items = statistics.mean(size for _, size in taken)
        bound = 3 * 2 * weights * num_items / rate
        ratios.append(seconds / bound)
        times.append(seconds)
        bounds.append(bound)
        sizes.append(num_items)
    print(f"distinct items a batch: {statistics.mean(sizes):.0f}; item-side weights: {weights:,}")
    print(f"rate: {3 * 2 * weights * statistics.mean(sizes) / statistics.median(bounds) / 1e9:.0f} GFLOP/s")
    print(f"step: {statistics.median(times) * 1e3:.1f} ms; reference: {statistics.median(bounds) * 1e3:.1f} ms")
    print(f"ratio_to_bound: {statistics.median(ratios):.2f}")


class Asked:
    """A process that takes steps when it is asked to, in an environment of its own."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answer()

    def answer(self) -> str:
        """Return the next line that it says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with status {self.process.wait()}")
        return line

    def ask(self, question: str) -> str:
        """Return what it says to a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self) -> None:
        """Kill it; it keeps nothing."""
        self.process.kill()
        self.process.wait()


def answer_questions(step: CachedStep) -> None:
    """Say the median of as many steps as each line of standard input asks for."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(step.median_seconds(int(line)), flush=True)


def multiply() -> None:
    """Multiply matrices until killed."""
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    torch.mm(left, right)
    print("ready", flush=True)
    while True:
        torch.mm(left, right)


def beside_neighbour(data_root: Path, *, tries: int, steps: int) -> None:
    """Print the step alone and beside a neighbour, for both ways of waiting, and what they are to each other."""
    ways = {"chosen": WAITING, "libraries'": {}}
    alone: dict[str, list[float]] = {name: [] for name in ways}
    beside: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(tries):
        for name, environment in ways.items():
            asked = Asked(["--answer", "--data-root", str(data_root)], environment)
            alone[name].append(float(asked.ask(str(steps))))
            neighbour = Asked(["--multiply"], {})
            beside[name].append(float(asked.ask(str(steps))))
            neighbour.end()
            asked.end()
        milliseconds = (
            f"{name}: {alone[name][-1] * 1e3:.0f} alone, {beside[name][-1] * 1e3:.0f} beside" for name in ways
        )
        print(f"try {number + 1}: {'; '.join(milliseconds)} (ms)", flush=True)
    chosen, own = ways
    ratio = statistics.median(a / b for a, b in zip(alone[chosen], alone[own], strict=True))
    print(f"alone_to_libraries: {ratio:.3f}")
    for name in ways:
        slower = [b / a for a, b in zip(alone[name], beside[name], strict=True)]
        print(f"beside_to_alone, {name}: median {statistics.median(slower):.2f}, longest {max(slower):.2f}")


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--steps", type=int, default=4, help="steps a pair; each pair takes their median")
    parser.add_argument("--compiled", action="store_true", help="as with trainer.compile=true; compiling is left out")
    parser.add_argument("--neighbour", action="store_true", help="measure beside another program")
    parser.add_argument("--tries", type=int, default=10, help="fresh processes of each way of waiting")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--multiply", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.multiply:
        multiply()
    elif arguments.neighbour:
        beside_neighbour(arguments.data_root, tries=arguments.tries, steps=STEPS_A_TRY)
    elif arguments.answer:
        answer_questions(CachedStep(arguments.data_root))
    else:
        step = CachedStep(arguments.data_root, compiled=arguments.compiled)
        against_bound(step, pairs=arguments.pairs, steps=arguments.steps)


if __name__ == "__main__":
    main()
