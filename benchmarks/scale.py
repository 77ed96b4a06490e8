"""Memory and time against the size of the catalogue and the number of users: flat or linear, as a table and a plot.

    python benchmarks/scale.py [--sizes 10000 100000 1000000] [--output DIR]

Six stretches, each size in a process of its own, so that peaks do not mix; DIR gets scale.png and scale.json:

csv         N users with ten interactions each, shuffled, of N items with titles, as CSV: reading, checking, sorting by
            time, splitting
parquet     the same as Parquet
data        N users with 6 to 12 of N items in the published layout: reading, checking, splitting
step        cached IISAN for N users on N items, whose states (random, float16, 7 of width 128 for text and image, so
            that a million items take 3.6 GB of the temporary folder's disk) lie in a store, which is opened as a run
            opens it and read from the disk: median seconds of a training step of 64 users, after warm-up
evaluation  full ranking over N candidates: seconds a user
neighbours  item-kNN, the baseline in every record: the neighbours of N items, from N users with 6 to 12 of them

Memory is what the process holds itself (`RssAnon` of /proc/self/status) beyond what it held before, sampled while it
works. Pages of mapped files are left out: they are the kernel's to take back.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from cached_step import EMBEDDING_DIM, NUM_STATES, build_recommender
from pyarrow import csv, parquet

from peftrec.data.content import ItemContent
from peftrec.data.interactions import Interactions
from peftrec.data.loading import TrainingBatches
from peftrec.data.readers.iisan import IisanFiles
from peftrec.data.readers.table import TableFiles
from peftrec.data.split import split_catalogue
from peftrec.evaluation.item_knn import neighbours_of, user_item_matrix
from peftrec.evaluation.ranking import Histories, rank_by_embedding, users_per_block
from peftrec.files import write_atomically
from peftrec.hidden_states.arrays import ArrayRows, create_array
from peftrec.hidden_states.key import StoreKey, TowerKey
from peftrec.hidden_states.manifest import MANIFEST, ArrayFile, Manifest, StoreCode, TowerOrigin
from peftrec.hidden_states.paths import array_path
from peftrec.hidden_states.store import open_store

SIZES = (10_000, 100_000, 1_000_000)
WIDTH = 128
STATES = tuple(range(NUM_STATES))
NUM_STEPS = 60
CHUNK_ITEMS = 4096
BATCH_SIZE, SEQUENCE_LENGTH = 64, 10
SCORE_BYTES = 16 * 2**20
SAMPLE_SECONDS = 0.01
MEBIBYTE = 2**20


def anonymous_bytes() -> int:
    """Return the memory that this process holds itself."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon: this benchmark needs Linux")


@contextmanager
def watching() -> Iterator[Callable[[], int]]:
    """Sample memory in a thread; the yielded function returns the most beyond the start."""
    before = most = anonymous_bytes()
    done = threading.Event()

    def sample() -> None:
        nonlocal most
        while not done.wait(SAMPLE_SECONDS):
            most = max(most, anonymous_bytes())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield lambda: max(most, anonymous_bytes()) - before
    finally:
        done.set()
        thread.join()


def histories(num_users: int, num_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Return flat items of Zipf-like popularity and offsets; 6 to 12 a user."""
    random = np.random.default_rng(0)
    lengths = random.integers(6, 13, size=num_users)
    items = (num_items * random.random(lengths.sum()) ** 2).astype(np.int32)
    return items, np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])


def measure_data(size: int, folder: Path) -> dict[str, float]:
    """Read and split N users over N items."""
    items, offsets = histories(size, size)
    with (folder / "items.tsv").open("w") as file:
        file.writelines(f"i{item}\tthe title of item {item}\n" for item in range(size))
    with (folder / "users.tsv").open("w") as file:
        for user in range(size):
            words = " ".join(f"i{item}" for item in items[offsets[user] : offsets[user + 1]])
            file.write(f"u{user}\t{words}\n")
    del items, offsets
    source = IisanFiles(root=str(folder))
    with watching() as most:
        started = time.perf_counter()
        split = split_catalogue(source.read(titles=["text"], images=[]), source)
        seconds = time.perf_counter() - started
        assert len(split.test) == size
        return {"seconds": seconds, "bytes": most()}


def write_tables(size: int, folder: Path, suffix: str) -> TableFiles:
    """Write a shuffled log of ten interactions a user, and titled items."""
    random = np.random.default_rng(0)
    order = random.permutation(10 * size)
    users, items = np.repeat(np.arange(size), 10)[order], (size * random.random(10 * size) ** 2).astype(np.int64)
    events = {
        "user": np.char.add("u", users.astype("U8")),
        "item": np.char.add("i", items.astype("U8")),
        "timestamp": 1_600_000_000 + random.integers(0, 10**8, 10 * size),
    }
    titles = {"item": [f"i{item}" for item in range(size)], "title": [f"title of item {item}" for item in range(size)]}
    for name, columns in (("interactions", events), ("items", titles)):
        table = pa.table(columns)
        file = folder / f"{name}{suffix}"
        csv.write_csv(table, file) if suffix == ".csv" else parquet.write_table(table, file)
    return TableFiles(
        root=str(folder),
        interactions=f"interactions{suffix}",
        items=f"items{suffix}",
        repeated_interactions="drop",
        short_histories="drop",
    )


def measure_table(size: int, folder: Path, suffix: str) -> dict[str, float]:
    """Read and split a log of ten interactions a user."""
    source = write_tables(size, folder, suffix)
    pa.default_memory_pool().release_unused()
    with watching() as most:
        started = time.perf_counter()
        split = split_catalogue(source.read(titles=["text"], images=[]), source)
        seconds = time.perf_counter() - started
        assert len(split.test) > 0.99 * size
        return {"seconds": seconds, "bytes": most()}


def random_store(size: int, directory: Path) -> tuple[Path, StoreKey]:
    """Write a whole store of random states of N items, checksums included."""
    tower = TowerKey(weights="random", content="none", preprocessing="none", pooling="none", states=STATES)
    key = StoreKey(items="numbers", num_items=size, dtype="float16", towers={"image": tower, "text": tower})
    folder = directory / key.folder_name()
    folder.mkdir()
    shape = (size, NUM_STATES, WIDTH)
    random = np.random.default_rng(0)
    for name in key.towers:
        create_array(array_path(folder, name), shape, key.dtype)
        array = ArrayRows.for_writing(array_path(folder, name))
        for start in range(0, size, CHUNK_ITEMS):
            items = np.arange(start, min(start + CHUNK_ITEMS, size))
            array.write(items, random.standard_normal((len(items), *shape[1:]), dtype=np.float32).astype(np.float16))
        array.flush()
    manifest = Manifest(
        key=key,
        origins={name: TowerOrigin(checkpoint="random numbers", revision=None) for name in key.towers},
        arrays={name: ArrayFile.of(array_path(folder, name), shape) for name in key.towers},
        rounding=dict.fromkeys(key.towers, ()),
        build_seconds=0.0,
        batch_size=CHUNK_ITEMS,
        device="cpu",
        versions={},
        code=StoreCode(),
    )
    write_atomically(folder / MANIFEST, manifest.to_bytes())
    return folder, key


def measure_step(size: int, directory: Path) -> dict[str, float]:
    """Train on batches of 64 of N users, on a store of N items that is opened as a run opens it and stays on disk."""
    folder, key = random_store(size, directory)
    items, offsets = histories(size, size)
    windows = Interactions(users=("",) * size, items=items, offsets=offsets)
    dataset = TrainingBatches(windows, ItemContent(), length=SEQUENCE_LENGTH + 1)
    random = np.random.default_rng(1)
    seconds = []
    with watching() as most:
        store = open_store(folder, key).placed("disk", torch.device("cpu"))
        module = build_recommender(store, num_items=size, width=WIDTH, sequence_length=SEQUENCE_LENGTH)
        optimizer = module.configure_optimizers()
        for step in range(NUM_STEPS):
            rows = random.integers(0, size, size=BATCH_SIZE)
            started = time.perf_counter()
            module.loss(dataset[rows]).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if step >= 10:
                seconds.append(time.perf_counter() - started)
        return {"seconds": statistics.median(seconds), "bytes": most()}


def measure_evaluation(size: int, _: Path) -> dict[str, float]:
    """Rank users over N candidates, 16 MiB of scores at a time."""
    generator = torch.Generator().manual_seed(0)
    catalogue = torch.randn(size, EMBEDDING_DIM, generator=generator)
    items, offsets = histories(2048, size)
    block = users_per_block(size, SCORE_BYTES)
    num_users = max(block, 256)
    with watching() as most:
        started = time.perf_counter()
        for start in range(0, num_users, block):
            rows = np.arange(start, start + block)
            ends = offsets[start : rows[-1] + 2]
            seen = Histories.from_flat(items[ends[0] : ends[-1]], ends - ends[0])
            states = torch.randn(block, EMBEDDING_DIM, generator=generator)
            targets = torch.randint(0, size, (block,), generator=generator)
            rank_by_embedding(states, catalogue, targets, seen, "all")
        ranked = -(-num_users // block) * block
        return {"seconds": (time.perf_counter() - started) / ranked, "bytes": most()}


def measure_neighbours(size: int, _: Path) -> dict[str, float]:
    """Find the nearest neighbours of all items."""
    items, offsets = histories(size, size)
    users = np.repeat(np.arange(size), np.diff(offsets))
    with watching() as most:
        started = time.perf_counter()
        neighbours_of(user_item_matrix(users, items, num_users=size, num_items=size))
        return {"seconds": time.perf_counter() - started, "bytes": most()}


STRETCHES = {
    "csv": partial(measure_table, suffix=".csv"),
    "parquet": partial(measure_table, suffix=".parquet"),
    "data": measure_data,
    "step": measure_step,
    "evaluation": measure_evaluation,
    "neighbours": measure_neighbours,
}


def plot(found: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """Draw seconds and memory against the size, one line a stretch."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.0), layout="constrained")
    units = {
        "csv": "ten interactions a user, CSV",
        "parquet": "the same, Parquet",
        "data": "data set-up",
        "step": "a training step",
        "evaluation": "ranking one user",
        "neighbours": "item-kNN",
    }
    for axis, key, scale, title in (
        (axes[0], "seconds", 1.0, "seconds"),
        (axes[1], "bytes", MEBIBYTE, "memory of its own, MiB"),
    ):
        for stretch, points in found.items():
            axis.plot(list(points), [point[key] / scale for point in points.values()], "o-", label=units[stretch])
        axis.set(xscale="log", yscale="log", xlabel="items, and as many users", title=title)
        axis.grid(alpha=0.3)
    lines, labels = axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncol=len(labels) // 2)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measure every stretch at every size, print a table, and save the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--output", type=Path, default=Path("runs/scale"))
    parser.add_argument("--stretch", choices=STRETCHES, help="measure one, print json (what the processes do)")
    arguments = parser.parse_args()
    if arguments.stretch:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(STRETCHES[arguments.stretch](arguments.sizes[0], Path(folder))))
        return
    found: dict[str, dict[int, dict[str, float]]] = {stretch: {} for stretch in STRETCHES}
    for stretch, points in found.items():
        for size in arguments.sizes:
            command = [sys.executable, __file__, "--stretch", stretch, "--sizes", str(size)]
            finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            points[size] = point = json.loads(finished.stdout.splitlines()[-1])
            print(f"{stretch:<11} {size:>9,}  {point['seconds']:9.4f} s  {point['bytes'] / MEBIBYTE:8.1f} MiB")
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "scale.json").write_text(json.dumps(found, indent=2))
    plot(found, arguments.output / "scale.png")
    print(f"plot: {arguments.output / 'scale.png'}")


if __name__ == "__main__":
    main()
