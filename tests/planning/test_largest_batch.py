"""The largest batch fits, one more user does not, and few sizes are looked at."""

from collections.abc import Callable

import pytest

from peftrec.planning.largest_batch import SMALLEST, find_largest_batch

CURVES: dict[str, Callable[[int], int]] = {
    "line": lambda users: 1000 + 7 * users,
    "saturating": lambda users: int(1e6 * (1 - 0.999**users)),
    "square": lambda users: 50 + users**2,
    "steps": lambda users: 1000 * (users // 64),
    "flat": lambda users: 5,
}
USERS = 12_076


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("memory", [10, 1002, 1014, 1015, 4321, 77_777, 632_000, 10**9])
def test_it_fits_and_one_more_does_not(curve: str, memory: int) -> None:
    asked: list[int] = []

    def peak_of(batch_size: int) -> int:
        asked.append(batch_size)
        return CURVES[curve](batch_size)

    found = find_largest_batch(peak_of, memory=memory, num_windows=USERS)
    assert len(asked) < 30
    if found.batch_size is None:
        assert CURVES[curve](SMALLEST) > memory
        assert found.peak_bytes == CURVES[curve](SMALLEST)
        return
    assert found.peak_bytes == CURVES[curve](found.batch_size) <= memory
    assert found.is_whole_epoch == (found.batch_size == USERS)
    assert found.is_whole_epoch or CURVES[curve](found.batch_size + 1) > memory


def test_a_line_is_found_at_once() -> None:
    asked: list[int] = []

    def peak_of(batch_size: int) -> int:
        asked.append(batch_size)
        return 1000 + 7 * batch_size

    assert find_largest_batch(peak_of, memory=7 * 5000 + 1003, num_windows=USERS).batch_size == 5000
    assert len(asked) <= 4


@pytest.mark.parametrize("num_windows", [1, 2])
def test_fewer_windows_than_the_smallest_batch_are_one_batch(num_windows: int) -> None:
    found = find_largest_batch(lambda users: users, memory=10, num_windows=num_windows)
    assert (found.batch_size, found.is_whole_epoch) == (SMALLEST, True)
