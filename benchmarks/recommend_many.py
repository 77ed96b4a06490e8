"""How long lists for many users take: 10,000 users over 20,000 items, by `peftrec recommend users=all` and its parts.

    python benchmarks/recommend_many.py [--users 10000] [--items 20000] [--dim 64] [--k 10] [--folder DIR]

Writes interactions of made-up users, trains item ids on them for one epoch (a catalogue of ids has vectors and a user
encoder like any other, and needs no towers), then times: the command as a process of its own; inside this process lists
for all users, the user encoder in blocks of several sizes, finding the best items; and users one by one. Last it says
whether lists one by one are those of the file, to the last bit.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from peftrec import LoadedRun, compose, load_run, train

ALONE = 200
"""Users that are asked about one by one."""
BLOCKS = (1, 8, 64, 1024)


def write_interactions(folder: Path, num_users: int, num_items: int) -> None:
    """Write 8 to 13 items a user, a few items often and most seldom."""
    random = np.random.default_rng(0)
    lengths = random.integers(8, 14, num_users)
    items = (num_items * random.random(int(lengths.sum())) ** 2).astype(np.int64)
    items[:num_items] = random.permutation(num_items)  # so that all of them are candidates
    frame = pd.DataFrame({"user": np.repeat(np.arange(num_users), lengths), "item": items})
    frame.assign(timestamp=np.arange(len(frame))).to_csv(folder / "interactions.csv", index=False)


def trained(folder: Path, dim: int) -> LoadedRun:
    """Train item ids for one epoch."""
    words = ["data=table", f"data.root={folder}", "data.items=null", "data.text_columns=[]"]
    words += ["strategy=id", "towers.text=null", "towers.image=null", f"embedding_dim={dim}", "batch_size=512"]
    words += ["trainer=cpu", "trainer.max_epochs=1", "trainer.has_progress_bar=false", f"runs_dir={folder}/runs"]
    return train(compose(words))


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time that some work takes in this process: what else the machine does is left out."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Print one line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=None, help="where to work; a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_interactions(folder, arguments.users, arguments.items)
        measure(trained(folder, arguments.dim).directory, folder, arguments.k)


def measure(directory: Path, folder: Path, k: int) -> None:
    """Time the command, its parts, and users one by one."""
    command = [sys.executable, "-m", "peftrec", "recommend", f"run={directory}", "users=all", f"k={k}"]
    command += [f"to={folder / 'all.parquet'}", "overwrite=true"]
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after, whole = os.times(), time.perf_counter() - began
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"the command: {spent:.1f} s of processor time, {whole:.1f} s by the clock")
    loading = time.process_time()
    run: LoadedRun = load_run(directory)
    from peftrec.serving import user_states  # behind what settles threads before torch is there
    from peftrec.serving.best_items import best_items

    print(f"in this process, in processor time: loaded in {time.process_time() - loading:.2f} s")
    print(f"  {len(run.users):,} users, {len(run.item_vectors):,} items, k={k}, {directory.name}")
    histories, rows = run.histories.interactions, np.arange(len(run.users))
    print(f"  lists for all: {seconds(lambda: run.recommend(run.users, k=k)):.2f} s")
    states = user_states.user_states(run.restored, run.catalogue, histories, rows)
    for size in BLOCKS:
        user_states.USERS_AT_ONCE = size
        read = rows[: max(2 * size, ALONE)]
        taken = seconds(lambda read=read: user_states.user_states(run.restored, run.catalogue, histories, read))
        print(f"  user encoder, {size:>4} at once: {1e3 * taken / len(read):.3f} ms a user")
    user_states.USERS_AT_ONCE = 8
    none = (np.zeros(0, dtype=np.int64),) * 2
    longest, block = run.catalogue.largest_norm, states[:838]
    found = seconds(lambda: best_items(block, run.item_vectors, k, excluded=none, largest_norm=longest))
    print(f"  best items: {1e3 * found / len(block):.3f} ms a user")
    some = np.random.default_rng(0).choice(run.users, ALONE, replace=False).tolist()
    lists = []
    alone = seconds(lambda: lists.extend(run.recommend([user], k=k) for user in some))
    print(f"  one by one: {1e3 * alone / ALONE:.2f} ms a user")
    written = pd.read_parquet(folder / "all.parquet")
    by_user = written[written["user"].isin(some)].reset_index(drop=True)
    one_by_one = pd.concat(lists).set_index("user").loc[by_user["user"].drop_duplicates()].reset_index()
    columns = ["user", "item", "score"]
    same = by_user[columns].to_numpy().tolist() == one_by_one[columns].to_numpy().tolist()
    print(f"  {ALONE} lists one by one equal those in the file: {same}")


if __name__ == "__main__":
    main()
