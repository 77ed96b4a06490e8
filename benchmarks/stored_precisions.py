"""Bytes, errors and reading of a hidden-state store in each precision that it may have.

    python benchmarks/stored_precisions.py [--data-root DIR] [--items 1000] [--rounds 20]

All states of a text tower, MiniLM's where its weights are installed, of Amazon Scientific's titles where DIR holds
them (both as in `store_build.py`). Errors are those of the manifest: the root mean square of what rounding takes from
a state over that of the state. Reading is that of 400 items of a store in memory, in turns, gathered and restored to
float32; seconds are the processor's, on one thread.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np
import torch
from store_build import DEFAULT_ROOT, describe, text_tower, titles_of
from transformers.utils import logging

from peftrec.data.content import ItemContent
from peftrec.hidden_states.building import open_or_build
from peftrec.hidden_states.encoding import StateSource
from peftrec.hidden_states.store import HiddenStateStore
from peftrec.models.towers.stored_precision import StoredPrecision
from peftrec.towers.pair import TowerPair

ITEMS_READ = 400
PRECISIONS: tuple[StoredPrecision, ...] = get_args(StoredPrecision)


def build_all(folder: Path, source: StateSource) -> dict[StoredPrecision, HiddenStateStore]:
    """Build a store of each precision and read it into memory."""
    keys = {precision: describe(source, dtype=precision, compute="float32") for precision in PRECISIONS}
    stores = {
        precision: open_or_build(folder, key, lambda: source, origins={}, options=None)
        for precision, key in keys.items()
    }
    return {precision: store.placed("host", source.device) for precision, store in stores.items()}


def read_in_turns(
    stores: dict[StoredPrecision, HiddenStateStore], *, num_items: int, rounds: int
) -> dict[StoredPrecision, float]:
    """Return the median seconds of reading, by precision; all read the same items in a round."""
    generator = torch.Generator().manual_seed(0)
    seconds: dict[StoredPrecision, list[float]] = {precision: [] for precision in stores}
    for _ in range(rounds):
        items = torch.randint(num_items, (ITEMS_READ,), generator=generator)
        for precision, store in stores.items():
            started = time.process_time()
            store.read(items)
            seconds[precision].append(time.process_time() - started)
    return {precision: median(each) for precision, each in seconds.items()}


def main() -> None:
    """Build, read, and print a row a precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    titles = titles_of(arguments.data_root, arguments.items)
    text = text_tower()
    source = StateSource(
        towers=TowerPair(text=text, image=None).load(seed=0),
        content=ItemContent(by_tower={"text": text.tokenise(titles)}),
        item_ids=titles,
    )
    with tempfile.TemporaryDirectory() as folder:
        stores = build_all(Path(folder), source)
        seconds = read_in_turns(stores, num_items=len(titles), rounds=arguments.rounds)
        states = stores["float32"].read(torch.arange(len(titles)))["text"]
        assert isinstance(states, torch.Tensor)
        largest = states.abs().amax(dim=2).mean(dim=0) / states.square().mean(dim=(0, 2)).sqrt()
        print(
            f"{len(titles)} titles; largest value over the root mean square, by state: {np.round(largest.numpy(), 1)}"
        )
        for precision, store in stores.items():
            errors = " ".join(f"{error:.2g}" for error in store.manifest.rounding["text"])
            print(
                f"{precision:14} {store.num_bytes:>12,} bytes  read {1e3 * seconds[precision]:.2f} ms  errors {errors}"
            )


if __name__ == "__main__":
    main()
