"""Successive halving, against its definition on small tables."""

import pytest

from peftrec.tuning.halving import goes_on, rungs_of


@pytest.mark.parametrize(("epochs", "rungs"), [(8, (2, 4)), (26, (6, 12, 24)), (3, (1, 2)), (1, ()), (2, (1,))])
def test_rungs(epochs: int, rungs: tuple[int, ...]) -> None:
    assert rungs_of(epochs) == rungs


def test_the_better_half_goes_on() -> None:
    others = [[0.1, 0.1], [0.2, 0.2], [0.3, 0.3]]
    assert goes_on([0.25, 0.1, 0.9], others, 2)  # second of four
    assert not goes_on([0.15, 0.15, 0.9], others, 2)  # third of four, and what comes later does not count
    assert goes_on([0.2, 0.2], [], 2)
    assert goes_on([0.3, 0.0], [[0.3, 0.3]], 2)  # equal to the best
    assert goes_on([0.1, 0.1], [[0.3]], 2)  # the other did not come so far
