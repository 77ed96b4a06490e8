"""Matrix factorisation by Bayesian personalised ranking (Rendle et al., UAI 2009): what warm users and items know.

A triple is a pair (u, i) of the training set and an item j drawn uniformly from those that train. With
x = p_u . (q_i - q_j), gradient ascent on ln sigmoid(x) - reg (|p_u|^2 + |q_i|^2 + |q_j|^2) / 2 is, for one triple,

    p_u += rate (sigmoid(-x) (q_i - q_j) - reg p_u)        q_i += rate (sigmoid(-x) p_u - reg q_i)
    q_j += rate (-sigmoid(-x) p_u - reg q_j)

Here a batch of triples is taken from the same parameters, and the changes of a row that stands in several are added.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass as part
from torch import Tensor

from peftrec.code.fingerprint import take_fingerprint
from peftrec.code.user_code import sources
from peftrec.cold_start.content import CLIP, standardise
from peftrec.cold_start.pairs import ColdStartData, Pairs, Side, interactions
from peftrec.config.strict import STRICT
from peftrec.data.damaged_arrays import DAMAGED_ARRAYS
from peftrec.errors import DataError
from peftrec.files import write_stream_atomically

COLD_SIDE_CLIP = 1.0
"""The factors that content must reproduce are cut where a tanh ends (published code, both data sets)."""
INITIAL_DEVIATION = 0.01


@dataclass(frozen=True, kw_only=True)
class Factors:
    """A row for each id, all zero for ids without a training pair."""

    users: Float[Tensor, "user rank"]
    items: Float[Tensor, "item rank"]

    def side(self, side: Side) -> Float[Tensor, "entity rank"]:
        """Return one side's rows."""
        return self.users if side == "users" else self.items

    def standardised(self, cold_side: Side) -> "Factors":
        """Return columns of deviation 1, cut at 1 on the side that content must reproduce and at 5 on the other."""
        clips = {side: COLD_SIDE_CLIP if side == cold_side else CLIP for side in ("users", "items")}
        rows = {name: torch.from_numpy(standardise(getattr(self, name).numpy(), clip=clips[name])) for name in clips}
        return Factors(**rows)


@part(frozen=True, kw_only=True, config=STRICT)
class BPR:
    """How the factors are learnt."""

    rank: int = Field(default=200, ge=1)
    """Components of a factor."""
    epochs: int = Field(default=100, ge=1)
    """Passes over the training pairs."""
    learning_rate: float = Field(default=0.1, gt=0)
    """Of stochastic gradient descent."""
    regularisation: float = Field(default=0.01, ge=0)
    """Factor of the sum of squares of the factors in a step."""
    batch_size: int = Field(default=1024, ge=1)
    """Triples a step."""

    def fit(self, pairs: Pairs, *, num_users: int, num_items: int, seed: int) -> Factors:
        """Learn factors from pairs; a function of the seed."""
        draws = torch.Generator().manual_seed(seed)
        users = INITIAL_DEVIATION * torch.randn(num_users, self.rank, generator=draws)
        items = INITIAL_DEVIATION * torch.randn(num_items, self.rank, generator=draws)
        matrix = interactions(pairs, num_users, num_items).indices()
        warm_users, warm_items = matrix[0].unique(), matrix[1].unique()
        for _ in range(self.epochs):
            order = torch.randperm(matrix.shape[1], generator=draws)
            negatives = warm_items[torch.randint(len(warm_items), (len(order),), generator=draws)]
            for places, negative in zip(order.split(self.batch_size), negatives.split(self.batch_size), strict=True):
                self.step(users, items, matrix[0, places], matrix[1, places], negative)
        known_users, known_items = torch.zeros_like(users), torch.zeros_like(items)
        known_users[warm_users], known_items[warm_items] = users[warm_users], items[warm_items]
        return Factors(users=known_users, items=known_items)

    def step(self, users: Tensor, items: Tensor, user: Tensor, positive: Tensor, negative: Tensor) -> None:
        """Ascend by one batch of triples, in place."""
        p, q_i, q_j = users[user], items[positive], items[negative]
        difference = q_i - q_j
        push = torch.sigmoid(-(p * difference).sum(dim=1, keepdim=True))
        rate, shrink = self.learning_rate, self.learning_rate * self.regularisation
        users.index_add_(0, user, rate * push * difference - shrink * p)
        items.index_add_(0, positive, rate * push * p - shrink * q_i)
        items.index_add_(0, negative, -rate * push * p - shrink * q_j)


def provide_factors(bpr: BPR, data: ColdStartData, *, data_hash: str, seed: int, directory: Path) -> Factors:
    """Return the factors of a split, learnt once and kept in `directory` under a name that says what decides them."""
    code = take_fingerprint([__name__], ("torch", "numpy"), sources())
    decisive = json.dumps([asdict(bpr), data_hash, seed, code.digest], sort_keys=True)
    path = directory / f"bpr-{hashlib.sha256(decisive.encode()).hexdigest()[:12]}.npz"
    if path.exists():
        return _read(path, data, bpr.rank)
    factors = bpr.fit(data.train, num_users=data.num_users, num_items=data.num_items, seed=seed)
    users, items = factors.users.numpy(), factors.items.numpy()
    write_stream_atomically(path, lambda stream: np.savez(stream, users=users, items=items))
    return factors


def _read(path: Path, data: ColdStartData, rank: int) -> Factors:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            users, items = (_checked(arrays[side], data.count(side), rank) for side in ("users", "items"))
    except (OSError, *DAMAGED_ARRAYS) as error:
        raise DataError(f"{path}: not the factors that were kept here ({error}); delete it") from error
    return Factors(users=users, items=items)


def _checked(array: npt.NDArray[np.generic], num_rows: int, rank: int) -> Tensor:
    if array.shape != (num_rows, rank) or array.dtype != np.float32:
        raise ValueError(f"{array.dtype} {array.shape} in place of float32 {(num_rows, rank)}")
    return torch.from_numpy(array)
