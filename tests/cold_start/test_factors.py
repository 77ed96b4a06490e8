"""BPR by hand: its gradient, what it learns, and what is kept."""

from pathlib import Path

import numpy as np
import pytest
import torch

from peftrec.cold_start.factors import BPR, Factors, provide_factors
from peftrec.cold_start.pairs import ColdStartData, Pairs
from peftrec.errors import DataError
from small_pairs import pairs_of, write_split

SMALL = BPR(rank=8, epochs=2)


def test_a_step_ascends_the_published_criterion() -> None:
    """Ln sigmoid(x) less the shrinkage, summed over a batch in which rows stand several times."""
    draws = torch.Generator().manual_seed(0)
    users = torch.randn(4, 3, generator=draws, dtype=torch.float64)
    items = torch.randn(5, 3, generator=draws, dtype=torch.float64)
    user, positive, negative = torch.tensor([[0, 0, 3, 0], [1, 2, 1, 1], [4, 1, 2, 4]])
    bpr = BPR(rank=3, learning_rate=0.3, regularisation=0.2)
    p, q = users.clone().requires_grad_(), items.clone().requires_grad_()
    x = (p[user] * (q[positive] - q[negative])).sum(dim=1)
    shrinkage = sum((rows.square().sum() for rows in (p[user], q[positive], q[negative])), torch.zeros(()))
    criterion = torch.nn.functional.logsigmoid(x).sum() - bpr.regularisation / 2 * shrinkage
    criterion.backward()
    assert p.grad is not None
    assert q.grad is not None
    expected_users, expected_items = users + 0.3 * p.grad, items + 0.3 * q.grad
    bpr.step(users, items, user, positive, negative)
    torch.testing.assert_close(users, expected_users)
    torch.testing.assert_close(items, expected_items)


def test_a_planted_matrix_is_ranked() -> None:
    """The share of (taken, not taken) held-out item pairs in the right order rises from a half."""
    draws = np.random.default_rng(0)
    scores = draws.normal(size=(60, 3)) @ draws.normal(size=(3, 80))
    taken = scores > np.quantile(scores, 0.8, axis=1, keepdims=True)
    trains = draws.random(taken.shape) < 0.7
    user, item = np.nonzero(taken & trains)
    areas = []
    for epochs in (1, 60):
        factors = BPR(rank=8, epochs=epochs).fit(Pairs(users=user, items=item), num_users=60, num_items=80, seed=0)
        found = (factors.users @ factors.items.T).numpy()
        right, wrong = taken & ~trains, ~taken
        areas.append(np.mean([(f[r][:, None] > f[w]).mean() for f, r, w in zip(found, right, wrong, strict=True)]))
    assert areas[0] < 0.7
    assert areas[1] > 0.9


def test_who_has_no_pair_has_no_factors() -> None:
    factors = SMALL.fit(pairs_of([(0, 1), (2, 1), (2, 3)]), num_users=4, num_items=5, seed=0)
    assert factors.users.any(dim=1).tolist() == [True, False, True, False]
    assert factors.items.any(dim=1).tolist() == [False, True, False, True, False]


def test_the_seed_decides() -> None:
    pairs = pairs_of([(0, 1), (2, 1), (2, 3), (1, 0)])
    first, again, other = (SMALL.fit(pairs, num_users=3, num_items=4, seed=seed).users for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("cold_side", ["users", "items"])
def test_factors_are_cut_where_a_tanh_ends(cold_side: str) -> None:
    draws = torch.Generator().manual_seed(0)
    rows = torch.randn(2000, 3, generator=draws)
    rows[:7] = 0.0
    factors = Factors(users=rows, items=rows).standardised(cold_side)  # type: ignore[arg-type]
    other = "items" if cold_side == "users" else "users"
    assert factors.side(cold_side).abs().max() == 1.0  # type: ignore[arg-type]
    assert 1.0 < factors.side(other).abs().max() <= 5.0  # type: ignore[arg-type]
    assert not factors.users[:7].any()


def planted(root: Path) -> ColdStartData:
    return write_split(root / "split").read()


def test_factors_are_learnt_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = planted(tmp_path)
    first = provide_factors(SMALL, data, data_hash="a", seed=1, directory=tmp_path)
    provide_factors(SMALL, data, data_hash="b", seed=1, directory=tmp_path)
    provide_factors(SMALL, data, data_hash="a", seed=2, directory=tmp_path)
    assert len(list(tmp_path.glob("bpr-*.npz"))) == 3
    monkeypatch.setattr(BPR, "step", None)
    again = provide_factors(SMALL, data, data_hash="a", seed=1, directory=tmp_path)
    assert torch.equal(first.users, again.users)
    assert torch.equal(first.items, again.items)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    data = planted(tmp_path)
    provide_factors(SMALL, data, data_hash="a", seed=1, directory=tmp_path)
    (path,) = tmp_path.glob("bpr-*.npz")
    for spoil in (
        lambda: path.write_bytes(b"x"),
        lambda: np.savez(path, users=np.ones(3)),
        lambda: np.savez(path, x=1),
    ):
        spoil()
        with pytest.raises(DataError, match=r"bpr-\w+\.npz: not the factors that were kept here \(.+\); delete it"):
            provide_factors(SMALL, data, data_hash="a", seed=1, directory=tmp_path)
