"""Ratios inside rounds, with planted clocks."""

import math

import numpy as np
import pytest

from peftrec.results.alternation import Block, both_clocks, ratios, widened

TRUE = {"quick": 0.02, "middle": 0.1, "slow": 0.5}


def planted(*members: str, speed: np.ndarray, noise: float = 0.0, seed: int = 1) -> Block:
    """Return rounds in which the whole machine has a speed of its own, and each turn some noise of its own."""
    generator = np.random.default_rng(seed)
    seconds = np.array([TRUE[member] for member in members]) * speed[:, None]
    return Block(members, seconds * np.exp(noise * generator.standard_normal(seconds.shape)))


def geometric_mean(*members: str) -> float:
    return math.prod(TRUE[member] for member in members) ** (1 / len(members))


def test_ratios_are_exact_whatever_slows_whole_rounds_down() -> None:
    found = ratios([planted(*TRUE, speed=np.array([1.0, 9.0, 0.3, 40.0, 2.0]))], None)
    for member, seconds in TRUE.items():
        assert found.ratio(member) == pytest.approx(seconds / geometric_mean(*TRUE), rel=1e-12)
        assert found.interval(member) == pytest.approx((found.ratio(member),) * 2, rel=1e-12)
    assert found.widest() == pytest.approx(0.0, abs=1e-12)


def test_the_scale_is_what_the_middle_round_took() -> None:
    found = ratios([planted(*TRUE, speed=np.array([1.0, 3.0, 2.0, 50.0, 1.5]))], None)
    assert found.seconds == pytest.approx(2.0 * geometric_mean(*TRUE))


def test_a_turn_that_was_disturbed_by_itself_moves_nothing() -> None:
    block = planted(*TRUE, speed=np.ones(7))
    disturbed = block.seconds.copy()
    disturbed[3, 1] *= 20
    found = ratios([Block(block.members, disturbed)], None)
    assert found.ratio("slow") / found.ratio("quick") == pytest.approx(25.0, rel=1e-9)


def test_blocks_are_linked_by_the_run_that_stands_in_both() -> None:
    blocks = [
        planted("quick", "middle", speed=np.array([1.0, 2.0, 3.0, 4.0, 5.0])),
        planted("quick", "slow", speed=np.array([70.0, 60.0, 50.0, 40.0, 30.0])),  # another hour of the machine
    ]
    found = ratios(blocks, "quick")
    assert found.members == ("quick", "middle", "slow")
    for member, seconds in TRUE.items():
        assert found.ratio(member) == pytest.approx(seconds / geometric_mean(*TRUE), rel=1e-12)


def test_noise_is_in_the_intervals_as_often_as_they_claim() -> None:
    is_inside = []
    for seed in range(200):
        found = ratios([planted(*TRUE, speed=np.linspace(1, 3, 7), noise=0.1, seed=seed)], None, seed=seed)
        low, high = found.interval("middle")
        is_inside.append(low <= TRUE["middle"] / geometric_mean(*TRUE) <= high)
    assert np.mean(is_inside) > 0.9


def test_members_of_a_draw_come_from_the_same_rounds() -> None:
    """Two members that share their noise have a ratio that does not scatter, however each of them does."""
    noise = np.exp(np.random.default_rng(3).standard_normal(9))
    seconds = np.stack([noise, 2 * noise, np.ones(9)], axis=1)
    found = ratios([Block(("one", "twice", "steady"), seconds)], None)
    assert np.ptp(found.draws[:, 0]) > 0.1
    assert found.draws[:, 1] - found.draws[:, 0] == pytest.approx(math.log(2))


def test_the_same_rounds_give_the_same_draws() -> None:
    block = planted(*TRUE, speed=np.ones(7), noise=0.2)
    assert np.array_equal(ratios([block], None).draws, ratios([block], None).draws)


def test_what_may_have_been_slowed_is_anywhere_between() -> None:
    found = ratios([planted("quick", "slow", speed=np.ones(7))], None)
    low, high = widened(found, {"quick": 1.0, "slow": 4.0}).interval("slow")
    assert (low, high) == (pytest.approx(5.0 / 2), pytest.approx(5.0))
    low, high = widened(found, {"quick": 4.0, "slow": 4.0}).interval("slow")
    assert (low, high) == (pytest.approx(5.0 / 2), pytest.approx(5.0 * 2))
    same = widened(found, {"quick": 1.0, "slow": 1.0})
    assert np.allclose(same.draws, found.draws)
    assert widened(found, {"quick": 1.0, "slow": 4.0}).ratio("slow") == found.ratio("slow")


def test_of_two_clocks_that_disagree_the_interval_holds_both() -> None:
    wall = ratios([planted("quick", "slow", speed=np.ones(7))], None)
    processor = ratios([Block(("quick", "slow"), np.tile([0.02, 0.04], (7, 1)))], None)
    low, high = both_clocks(wall, processor).interval("slow")
    assert low == pytest.approx(math.sqrt(2))
    assert high == pytest.approx(5.0)
    assert both_clocks(wall, processor).ratio("slow") == pytest.approx(5.0)
