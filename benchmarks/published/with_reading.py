"""The cached step with what comes before it: reading the states of a batch.

The published data set reads one file a place and modality, all 13 states, and its loader stacks them; its own
`__getitem__` runs here as it is, and there is no other way to train it on stored states. Ours gathers the seven states
that are read, of each distinct item, from one array a modality: in memory where `hidden_states.placement` puts it
there, which `auto` does whenever it fits, or on the disk. Both read in the training process, and files that were just
written, so from the page cache.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from peftrec.hidden_states.arrays import ArrayRows, create_array
from peftrec.hidden_states.placement import PlacementChoice, choose_placement, place
from peftrec.hidden_states.rows import RowsOnDisk
from peftrec.models.towers.names import Modality
from peftrec.strategies.iisan import IISAN
from published import our_models, their_models
from published.alternating import Comparison, Prepared
from published.bench import Bench
from published.steps import NUM_STATES
from published.workload import Workload

_NUM_READ = 7
_FOLDERS: dict[Modality, tuple[str, str]] = {"text": ("bert_outputs", "bert"), "image": ("vit_outputs", "vit")}


def cached_step_with_reading(
    bench: Bench, *, placement: PlacementChoice = "auto", is_compiled: bool = False
) -> Comparison:
    """Compare steps of IISAN from the users of a batch to updated weights, states as each program keeps them."""
    work = bench.work
    order = work.order(work.shape.batch_size)[: bench.num_warm + bench.num_pairs]
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = write_states(folder, work, order)
        data_set = _their_data_set(bench, folder)
        theirs = their_models.Training(
            their_models.cached_model(bench.code("Code_Cached"), work.popularity()), bench.device
        )
        ours = our_training(work, rows, placement, bench.device, is_compiled=is_compiled)

        def their_step(users: np.ndarray) -> None:
            ids, images, texts, mask = torch.utils.data.default_collate([data_set[int(user)] for user in users])
            theirs.step(ids.to(bench.device), images.to(bench.device), texts.to(bench.device), mask.to(bench.device))

        def prepare(pair: int) -> Prepared:
            users = order[pair % len(order)]
            return lambda: their_step(users), lambda: ours.step(work.batch(users, content=False).to(bench.device))

        return bench.compare(prepare)


def write_states(folder: Path, work: Workload, order: Sequence[np.ndarray]) -> dict[Modality, RowsOnDisk]:
    """Write the states of the items of `order` in both layouts; ours has room for all items."""
    items = np.unique(np.concatenate([work.batch(users, content=False).items.items.numpy() for users in order]))
    generator = torch.Generator().manual_seed(0)
    found: dict[Modality, RowsOnDisk] = {}
    for modality, (subfolder, prefix) in _FOLDERS.items():
        (folder / subfolder).mkdir()
        path = folder / f"{modality}.npy"
        create_array(path, (work.num_items, _NUM_READ, their_models.WIDTH), "float32")
        array = ArrayRows.for_writing(path)
        for item in items.tolist():
            states = torch.randn(NUM_STATES, their_models.WIDTH, generator=generator)
            torch.save(states, folder / subfolder / f"{prefix}_{item + 1}.pt")
            array.write(np.array([item]), states[None, ::2].numpy())
        found[modality] = RowsOnDisk(array)
    return found


def our_training(
    work: Workload,
    rows: dict[Modality, RowsOnDisk],
    placement: PlacementChoice,
    device: torch.device,
    *,
    is_compiled: bool = False,
) -> our_models.Training:
    """Return our side, its states put where a run would put them."""
    num_bytes = sum(found.array.header.file_bytes for found in rows.values())
    chosen = choose_placement(placement, num_bytes, device)
    kept = {name: place(found, chosen, device) for name, found in rows.items()}
    module = our_models.assemble(IISAN(states="store"), our_models.paper_towers(), work)
    module.recommender.item_encoder.read_from(our_models.GivenStates(kept, device))
    return our_models.Training(module, device, is_compiled=is_compiled)


def _their_data_set(bench: Bench, folder: Path) -> torch.utils.data.Dataset:
    """Return the published data set without its constructor, which opens an LMDB of images that it never reads."""
    data_set_class = bench.code("Code_Cached").dataset.Build_MM_Dataset
    data_set = data_set_class.__new__(data_set_class)
    windows = bench.work.split.windows
    data_set.u2seq = [(window + 1).tolist() for window in windows]
    data_set.max_seq_len = bench.work.split.sequence_length + 1
    data_set.item_id_to_keys = [str(item).encode() for item in range(bench.work.num_items + 1)]
    data_set.stored_vector_path = str(folder)
    return data_set
