"""LoRA on the uppermost blocks of a text tower, live and with the blocks below from a store of token states.

    python benchmarks/prefix_caching.py [--shapes minilm bert_base] [--users 16] [--rounds 9] [--output FILE.json]

Towers of MiniLM's shape (6 blocks of width 384) and of BERT-base's (12 of 768), with random weights, on the built-in
titles. For each shape, LoRA on the top 2, the top 4 and all blocks; each live and stored, as a run builds them. Their
training steps take turns on the same batches, in an order drawn for each round; a step is forward, backward and update.
For each, its seconds (median), how many times faster the stored one is than its live twin and than LoRA on all blocks
live (medians of ratios within rounds), and what the operations that torch counts in a step predict for both. Before the
first step the embeddings of a batch are compared, live and stored.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from peftrec import compose
from peftrec.data.batches import SequenceBatch
from peftrec.training.building.assembly import assemble
from peftrec.training.building.loaders import build_loaders
from peftrec.training.building.reading import prepare_data
from peftrec.training.measurement.first_step import observe_step

SHAPES = {
    "minilm": {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    "bert_base": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
}
TOPS = (2, 4)
CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One case."""

    shape: str
    blocks: str
    states: str
    seconds: float
    operations: int
    store_bytes: int
    over_live: float | None
    over_live_predicted: float | None
    over_all_live: float
    over_all_live_predicted: float
    largest_difference: float | None
    """Of an embedding of the first batch, against the live twin's, before any step."""


class Case:
    """A run that is ready to take steps."""

    def __init__(self, shape: str, blocks: str, states: str, *, users: int, stores: Path) -> None:
        architecture = ", ".join(f"{key}: {value}" for key, value in {"model_type": "bert", **SHAPES[shape]}.items())
        settings = compose(
            [
                "strategy=lora",
                f"strategy.blocks={blocks}",
                f"strategy.states={states}",
                "towers=bert_vit_base_random",
                "towers.image=null",
                f"towers.text.architecture={{{architecture}}}",
                f"batch_size={users}",
                "trainer.accelerator=cpu",
                f"hidden_states.directory={stores}",
            ]
        )
        split = prepare_data(settings)
        self.blocks, self.states = blocks, states
        built = assemble(settings, split, CPU)
        self.module = built.module
        self.module.set_training_modes()
        self.store_bytes = 0 if built.store is None else built.store.num_bytes
        self.batches = itertools.cycle(build_loaders(settings, split, self.module, CPU).training)
        self.optimizer = self.module.configure_optimizers()
        self.seconds: list[float] = []

    def step(self) -> None:
        """Take a step and remember its seconds."""
        batch = next(self.batches)
        started = time.perf_counter()
        self.module.loss(batch).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.seconds.append(time.perf_counter() - started)

    def embeddings(self, batch: SequenceBatch) -> torch.Tensor:
        """Embed a batch's items in evaluation mode."""
        self.module.eval()
        with torch.no_grad():
            found = self.module.recommender.embed(batch.items)
        self.module.set_training_modes()
        return found


def measure(shape: str, *, users: int, rounds: int, stores: Path) -> list[Measured]:
    """Measure all cases of a shape in turns."""
    depth = SHAPES[shape]["num_hidden_layers"]
    cases = [
        Case(shape, f"top_{top}", states, users=users, stores=stores)
        for top in (*TOPS, depth)
        for states in ("live", "store")
    ]
    first = {(case.blocks, case.states): next(iter(case.batches)) for case in cases}
    embedded = {(case.blocks, case.states): case.embeddings(first[case.blocks, case.states]) for case in cases}
    operations = {}
    for case in cases:
        operations[case.blocks, case.states] = observe_step(case.module, first[case.blocks, case.states]).operations
    random = np.random.default_rng(0)
    for number in range(rounds + 1):
        for index in random.permutation(len(cases)):
            cases[index].step()
        if number == 0:  # warm-up
            for case in cases:
                case.seconds.clear()
    seconds = {(case.blocks, case.states): case.seconds for case in cases}
    reference = (f"top_{depth}", "live")

    def ratio(slow: tuple[str, str], fast: tuple[str, str]) -> float:
        return statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))

    found = []
    for case in cases:
        key, twin = (case.blocks, case.states), (case.blocks, "live")
        is_stored = case.states == "store"
        found.append(
            Measured(
                shape=shape,
                blocks=case.blocks,
                states=case.states,
                seconds=statistics.median(seconds[key]),
                operations=operations[key],
                store_bytes=case.store_bytes,
                over_live=ratio(twin, key) if is_stored else None,
                over_live_predicted=operations[twin] / operations[key] if is_stored else None,
                over_all_live=ratio(reference, key),
                over_all_live_predicted=operations[reference] / operations[key],
                largest_difference=float((embedded[key] - embedded[twin]).abs().max()) if is_stored else None,
            )
        )
    return found


def described(each: Measured) -> str:
    """Return a line of the table."""
    line = f"{each.shape:10} {each.blocks:7} {each.states:6} {each.seconds * 1e3:8.0f} ms {each.operations:10.3g}"
    if each.over_live is not None and each.over_live_predicted is not None:
        line += f"  over live {_faster(each.over_live, each.over_live_predicted)}"
    line += f"  over all live {_faster(each.over_all_live, each.over_all_live_predicted)}"
    if each.largest_difference is not None:
        line += f"  store {each.store_bytes / 2**20:.1f} MiB, off by {each.largest_difference:.1e}"
    return line


def _faster(measured: float, predicted: float) -> str:
    return f"{measured:.2f} ({predicted:.2f}, {measured / predicted:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    everything = []
    print(f"{torch.get_num_threads()} threads; times faster: measured (predicted by operations, share reached)")
    for shape in arguments.shapes:
        with tempfile.TemporaryDirectory() as stores:
            found = measure(shape, users=arguments.users, rounds=arguments.rounds, stores=Path(stores))
        everything += found
        for each in found:
            print(described(each))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps([asdict(each) for each in everything], indent=2) + "\n")


if __name__ == "__main__":
    main()
