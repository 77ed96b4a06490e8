"""Clusters against the paper's algorithm written out, medoids and importance against their definitions."""

import numpy as np
import pytest

from peftrec.profiles.base import NO_ITEM, History
from peftrec.profiles.clustered import draw
from peftrec.profiles.pinnersage import PinnerSage
from small_profiles import small_catalogue, small_history


def literal_clusters(points: np.ndarray, alpha: float) -> list[frozenset[int]]:
    """PinnerSage, algorithm 1: a chain of nearest neighbours with Ward's recursion, then the greedy cut."""
    clusters = {number: frozenset([number]) for number in range(len(points))}
    distances = {(i, j): float(((points[i] - points[j]) ** 2).sum()) for i in clusters for j in clusters if i != j}
    merges, stack, following = [], [], len(points)
    while len(clusters) > 1:
        if not stack:
            stack.append(next(iter(clusters)))
        top = stack[-1]
        nearest = min((other for other in clusters if other != top), key=lambda other: distances[top, other])
        if len(stack) > 1 and distances[top, stack[-2]] <= distances[top, nearest]:
            nearest = stack[-2]
            del stack[-2:]
            first, second = clusters.pop(top), clusters.pop(nearest)
            merges.append((distances[top, nearest], first | second))
            for k, third in clusters.items():
                merged = (
                    (len(first) + len(third)) * distances[top, k]
                    + (len(second) + len(third)) * distances[nearest, k]
                    - len(third) * distances[top, nearest]
                ) / (len(first) + len(second) + len(third))
                distances[following, k] = distances[k, following] = merged
            clusters[following] = first | second
            following += 1
        else:
            stack.append(nearest)
    chosen: list[frozenset[int]] = []
    for distance, members in sorted(merges, key=lambda merge: -merge[0]):
        if distance <= alpha and not any(members & taken for taken in chosen):
            chosen.append(members)
    single = set(range(len(points))) - set().union(*chosen)
    return chosen + [frozenset([number]) for number in single]


def as_sets(labels: np.ndarray) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels.tolist())}


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 3.0, 100.0])
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_papers_algorithm(seed: int, alpha: float) -> None:
    embeddings = small_catalogue(5 + 7 * seed, seed=seed)
    labels = PinnerSage(alpha=alpha).clusters(embeddings)
    assert as_sets(labels) == set(literal_clusters(embeddings.astype(np.float64), alpha))
    assert set(labels.tolist()) == set(range(labels.max() + 1))


@pytest.mark.parametrize("alpha", [0.2, 0.9, 2.0])
def test_complete_linkage_bounds_the_diameter(alpha: float) -> None:
    embeddings = small_catalogue()
    clusters = as_sets(PinnerSage(alpha=alpha, linkage="complete").clusters(embeddings))
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(axis=-1)
    assert all(squared[np.ix_(list(members), list(members))].max() <= alpha + 1e-6 for members in clusters)
    for one in clusters:  # nor could any two of them be one
        for other in clusters - {one}:
            union = [*one, *other]
            assert squared[np.ix_(union, union)].max() > alpha - 1e-6


@pytest.mark.parametrize("decay", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("seed", range(4))
def test_medoids_and_importance_are_as_defined(seed: int, decay: float) -> None:
    catalogue, history, now = small_catalogue(), small_history(40, seed=seed), 120.0
    profile = PinnerSage(alpha=1.0, decay=decay)
    labels = profile.clusters(catalogue[history.items])
    interests = profile.interests(history, catalogue, now=now)
    expected = {}
    for label in set(labels.tolist()):
        members = np.flatnonzero(labels == label)
        points = catalogue[history.items[members]].astype(np.float64)
        sums = [((points - point) ** 2).sum() for point in points]
        weight = sum(np.exp(-decay * (now - history.known_days()[member])) for member in members)
        expected[int(history.items[members[int(np.argmin(sums))]])] = (weight, len(members), min(sums), points)
    assert len(interests) == len(expected)
    assert sum(interests.sizes) == len(history)
    assert (np.diff(interests.importance) <= 0).all()
    for vector, importance, item, size in zip(
        interests.vectors, interests.importance, interests.items.tolist(), interests.sizes.tolist(), strict=True
    ):
        # Of equally good members either is a medoid: compare the sums.
        match = [entry for entry in expected.values() if entry[1] == size and np.isclose(entry[0], importance)]
        assert any(np.isclose(((points - vector) ** 2).sum(), least, atol=1e-5) for _, _, least, points in match)
        np.testing.assert_array_equal(vector, catalogue[item])


def test_a_centroid_is_the_mean_at_length_one() -> None:
    catalogue, history = small_catalogue(), small_history(30)
    profile = PinnerSage(alpha=1.0, representative="centroid", decay=0.0)
    labels = profile.clusters(catalogue[history.items])
    interests = profile.interests(history, catalogue, now=200.0)
    means = [catalogue[history.items[labels == label]].mean(axis=0) for label in range(labels.max() + 1)]
    expected = {tuple((mean / np.linalg.norm(mean)).round(4).tolist()) for mean in means}
    assert {tuple(vector.round(4).tolist()) for vector in interests.vectors} == expected
    assert set(interests.items.tolist()) == {NO_ITEM}


def test_one_step_is_one_interest() -> None:
    interests = PinnerSage().interests(History(items=np.array([4]), days=np.zeros(1)), small_catalogue(), now=100.0)
    assert interests.items.tolist() == [4]
    np.testing.assert_allclose(interests.importance, [np.exp(-1.0)])


def test_what_repeats_is_one_interest() -> None:
    interests = PinnerSage(decay=0.0).interests(History(items=np.full(6, 9)), small_catalogue(), now=0.0)
    assert (interests.items.tolist(), interests.sizes.tolist(), interests.importance.tolist()) == ([9], [6], [6.0])


def test_the_first_draw_is_in_proportion_to_importance() -> None:
    importance, generator, number = np.array([5.0, 3.0, 1.5, 0.5]), np.random.default_rng(0), 4000
    counts = np.bincount([draw(importance, 1, generator)[0] for _ in range(number)], minlength=4)
    shares = importance / importance.sum()
    tolerance = 4 * np.sqrt(shares * (1 - shares) / number)
    assert (np.abs(counts / number - shares) < tolerance).all()


def test_further_draws_are_in_proportion_to_what_is_left() -> None:
    importance, generator, number = np.array([5.0, 3.0, 1.5, 0.5]), np.random.default_rng(1), 4000
    counts = np.zeros(4)
    for _ in range(number):
        counts[draw(importance, 2, generator)] += 1
    p = importance / importance.sum()
    expected = np.array([p[i] + sum(p[j] * p[i] / (1 - p[j]) for j in range(4) if j != i) for i in range(4)])
    tolerance = 4 * np.sqrt(expected * (1 - expected) / number)
    assert (np.abs(counts / number - expected) < tolerance).all()


def test_importance_may_vanish() -> None:
    assert sorted(draw(np.array([0.0, 1e-320, 0.0]), 3, np.random.default_rng(0)).tolist()) == [0, 1, 2]


def test_as_many_are_served_as_asked_for_and_there_are() -> None:
    catalogue, history = small_catalogue(), small_history(50)
    interests = PinnerSage(alpha=0.5).interests(history, catalogue, now=100.0)
    generator = np.random.default_rng(0)
    assert len(interests) > 5
    top = PinnerSage(num_served=4, selection="top").serve(interests, generator)
    assert top.items.tolist() == interests.items[:4].tolist()
    sampled = [PinnerSage(num_served=4).serve(interests, generator) for _ in range(20)]
    assert all(len(served) == 4 and (np.diff(served.importance) <= 0).all() for served in sampled)
    assert len({tuple(served.items.tolist()) for served in sampled}) > 1
    again = PinnerSage(num_served=4).serve(interests, np.random.default_rng(7))
    assert again.items.tolist() == PinnerSage(num_served=4).serve(interests, np.random.default_rng(7)).items.tolist()
    assert PinnerSage(num_served=len(interests)).serve(interests, generator) is interests
