"""Ranks against a brute-force sort, and the ways in which rankings usually lie."""

import numpy as np
import pytest
import torch
from torch import Tensor

from peftrec.evaluation.ranking import (
    Histories,
    HistoryMask,
    NonFiniteScoresError,
    rank_by_embedding,
    rank_targets,
    users_per_block,
)

USERS, CANDIDATES = 40, 25
MASKS: tuple[HistoryMask, ...] = ("all", "all_but_target", "none")


def draw(seed: int) -> tuple[Tensor, list[int], list[list[int]]]:
    """Scores with many ties, targets, and histories that repeat items and often hold the target."""
    random = np.random.default_rng(seed)
    scores = torch.from_numpy(random.integers(0, 6, (USERS, CANDIDATES)).astype(np.float32))
    targets = random.integers(0, CANDIDATES, USERS).tolist()
    histories = [random.integers(0, CANDIDATES, random.integers(0, 14)).tolist() for _ in range(USERS)]
    return scores, targets, histories


def flat(histories: list[list[int]]) -> Histories:
    items = np.array([item for history in histories for item in history], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, histories)]).astype(np.int64)
    return Histories.from_flat(items, offsets)


def brute_force(scores: list[float], target: int, history: list[int], mask: HistoryMask) -> tuple[int, bool]:
    """Sort what is left, the target last among its equals."""
    excluded = set(history) if mask != "none" else set()
    if mask == "all" and target in excluded:
        return len(scores) + 1, True
    left = [item for item in range(len(scores)) if item == target or item not in excluded]
    left.sort(key=lambda item: (-scores[item], item == target))
    return left.index(target) + 1, False


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ranks_equal_a_brute_force_sort(mask: HistoryMask, seed: int) -> None:
    scores, targets, histories = draw(seed)
    ranked = rank_targets(scores.clone(), torch.tensor(targets), flat(histories), mask)
    expected = [brute_force(scores[user].tolist(), targets[user], histories[user], mask) for user in range(USERS)]
    assert list(zip(ranked.ranks.tolist(), ranked.is_unreachable.tolist(), strict=True)) == expected
    assert any(unreachable for _, unreachable in expected) == (mask == "all")


def test_a_hand_made_table() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.5, 0.1], [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    targets = torch.tensor([2, 3, 3])
    seen = flat([[0], [0, 0, 2], [3, 1]])
    ranks = {mask: rank_targets(scores.clone(), targets, seen, mask).ranks.tolist() for mask in MASKS}
    assert ranks == {"all": [2, 2, 5], "all_but_target": [2, 2, 1], "none": [3, 4, 1]}


def test_an_item_seen_twice_counts_once() -> None:
    scores, targets, histories = draw(3)
    twice = [history * 2 for history in histories]
    for mask in MASKS:
        one = rank_targets(scores.clone(), torch.tensor(targets), flat(histories), mask)
        two = rank_targets(scores.clone(), torch.tensor(targets), flat(twice), mask)
        assert torch.equal(one.ranks, two.ranks)
        assert torch.equal(one.is_unreachable, two.is_unreachable)


@pytest.mark.parametrize("constant", [0.0, -3.0, 1e30])
def test_a_collapsed_model_gets_the_worst_rank(constant: float) -> None:
    _, targets, histories = draw(4)
    scores = torch.full((USERS, CANDIDATES), constant)
    for mask in MASKS:
        ranked = rank_targets(scores.clone(), torch.tensor(targets), flat(histories), mask)
        for user, history in enumerate(histories):
            excluded = set() if mask == "none" else set(history) - {targets[user]}
            worst = CANDIDATES - len(excluded)
            if mask == "all" and targets[user] in history:
                worst = CANDIDATES + 1
            assert ranked.ranks[user] == worst


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", ["target", "other", "seen"])
def test_a_score_that_is_not_finite_fails(value: float, place: str) -> None:
    scores, targets, _ = draw(5)
    targets[7], item = 3, {"target": 3, "other": 9, "seen": 11}[place]
    scores[7, item] = value
    seen = flat([[11] for _ in range(USERS)])
    for mask in MASKS:
        with pytest.raises(NonFiniteScoresError, match="not finite"):
            rank_targets(scores.clone(), torch.tensor(targets), seen, mask)


def test_opposite_infinities_do_not_hide_each_other() -> None:
    scores, targets, histories = draw(5)
    scores[2, 4], scores[2, 8] = float("inf"), -float("inf")
    with pytest.raises(NonFiniteScoresError):
        rank_targets(scores, torch.tensor(targets), flat(histories), "all")


def test_a_better_score_never_worsens_the_rank() -> None:
    scores, targets, histories = draw(6)
    rows = torch.arange(USERS)
    last = torch.full((USERS,), CANDIDATES + 1)
    for gain in range(8):
        better = scores.clone()
        better[rows, torch.tensor(targets)] = gain - 0.5
        ranks = rank_targets(better, torch.tensor(targets), flat(histories), "all_but_target").ranks
        assert (ranks <= last).all()
        last = ranks
    assert (last == 1).all()


@pytest.mark.parametrize("block", [1, 7, 16, USERS])
@pytest.mark.parametrize("mask", MASKS)
def test_blocks_of_any_size_agree(block: int, mask: HistoryMask) -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(USERS, 8, generator=generator)
    embeddings = torch.randn(CANDIDATES, 8, generator=generator)
    _, targets, histories = draw(7)
    whole = rank_targets(states @ embeddings.T, torch.tensor(targets), flat(histories), mask)
    parts = [
        rank_by_embedding(
            states[start : start + block],
            embeddings,
            torch.tensor(targets[start : start + block]),
            flat(histories[start : start + block]),
            mask,
        )
        for start in range(0, USERS, block)
    ]
    assert torch.equal(torch.cat([part.ranks for part in parts]), whole.ranks)
    assert torch.equal(torch.cat([part.is_unreachable for part in parts]), whole.is_unreachable)


def test_scores_are_dot_products_in_float32() -> None:
    """In half precision the two best scores would be one number, and the tie would count against the target."""
    embeddings = torch.tensor([[1.0, 1.0], [1.0, 1.001], [0.0, 0.0]], dtype=torch.float16)
    states = torch.tensor([[100.0, 1.0]], dtype=torch.float16)
    assert (states @ embeddings.T)[0, 0] == (states @ embeddings.T)[0, 1]
    ranked = rank_by_embedding(states, embeddings, torch.tensor([1]), flat([[]]), "none")
    assert ranked.ranks.tolist() == [1]


@pytest.mark.parametrize(("candidates", "limit"), [(10, 4 * 10), (20_314, 16 * 2**20), (1_000_000, 2**16), (7, 1000)])
def test_a_block_fits_its_bytes_and_one_user_more_does_not(candidates: int, limit: int) -> None:
    block = users_per_block(candidates, limit)
    assert block >= 1
    assert block == 1 or 4 * candidates * block <= limit
    assert 4 * candidates * (block + 1) > limit


def test_flat_histories_name_the_users() -> None:
    seen = flat([[4, 2], [], [9]])
    assert seen.users.tolist() == [0, 0, 2]
    assert seen.items.tolist() == [4, 2, 9]
