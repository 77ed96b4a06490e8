"""A planted cold-start split: users and items have latent tastes, content is a noisy linear image of the items'."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from peftrec.cold_start.content import SparseMatrix
from peftrec.cold_start.pairs import PairFiles, Pairs, Side

NUM_USERS, NUM_ITEMS, NUM_LATENT, NUM_FEATURES = 60, 90, 4, 12
NUM_TAKEN = 10  # by each user, of all items
PARTS = {"train": range(60), "vali": range(60, 75), "test": range(75, 90)}
"""File to its items; with cold users the sides change places."""


def write_split(root: Path, *, cold_side: Side = "items", seed: int = 0) -> PairFiles:
    """Write a split whose cold side is predictable from its content."""
    draws = np.random.default_rng(seed)
    others, cold = draws.normal(size=(NUM_USERS, NUM_LATENT)), draws.normal(size=(NUM_ITEMS, NUM_LATENT))
    scores = others @ cold.T
    taken = scores >= np.sort(scores, axis=1)[:, -NUM_TAKEN][:, None]
    content = cold @ draws.normal(size=(NUM_LATENT, NUM_FEATURES)) + 0.1 * draws.normal(size=(NUM_ITEMS, NUM_FEATURES))
    root.mkdir(parents=True, exist_ok=True)
    sparse.save_npz(root / "content.npz", sparse.coo_matrix(content))
    for name, ids in PARTS.items():
        other, one = np.nonzero(taken[:, ids])
        columns = (other, one + ids[0]) if cold_side == "items" else (one + ids[0], other)
        write_pairs(root / f"{name}.csv", np.stack(columns, axis=1))
    return PairFiles(
        name="planted",
        root=str(root),
        cold_side=cold_side,
        candidates="held_out" if cold_side == "items" else "warm",
        content=SparseMatrix(file="content.npz"),
    )


def write_pairs(path: Path, rows: npt.NDArray[np.integer]) -> None:
    """Write `uid,iid` lines."""
    path.write_text("uid,iid\n" + "".join(f"{user},{item}\n" for user, item in rows.tolist()))


def pairs_of(rows: list[tuple[int, int]]) -> Pairs:
    """Make pairs from a list of (user, item)."""
    users, items = np.asarray(rows, dtype=np.int64).reshape(-1, 2).T
    return Pairs(users=users, items=items)
