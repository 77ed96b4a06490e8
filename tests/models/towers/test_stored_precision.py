"""Rows of eight bits: how far a value may be from what is kept, what is exact, and what must not pass as a number."""

import pytest
import torch

from peftrec.models.towers.stored_precision import (
    BLOCK,
    StoredPrecision,
    channel_scales,
    keep,
    restore,
    row_width,
    shared_bytes,
)

WIDTHS = [1, 63, 64, 65, 128, 200, 768]


def states_of(width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(width)
    states = torch.randn(5, 3, width, generator=generator)
    states[..., 0] *= 300.0  # the few large values that many encoders have
    return states


@pytest.mark.parametrize("width", WIDTHS)
def test_a_value_moves_by_half_a_step_of_its_block_at_most(width: int) -> None:
    states = states_of(width)
    restored = restore(keep(states, "int8"))
    assert restored.shape == states.shape
    for start in range(0, width, BLOCK):
        exact, found = states[..., start : start + BLOCK], restored[..., start : start + BLOCK]
        step = exact.abs().amax(dim=-1, keepdim=True) / 127
        assert bool(((exact - found).abs() <= step / 2 * (1 + 1e-5)).all())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_value_moves_by_half_a_step_of_its_channel_at_most(width: int) -> None:
    """And a state of a batch lies in one piece, as in what is gathered from a store."""
    states = states_of(width)
    scales = channel_scales(states.abs().amax(dim=0))
    kept = keep(states, "int8_channels", scales)
    assert kept.dtype == torch.int8
    assert kept.shape == (5, 3, row_width(width, "int8_channels"))
    assert shared_bytes(3, width, "int8_channels") == scales.nbytes
    by_state = kept.transpose(0, 1).contiguous().transpose(0, 1)
    restored = restore(by_state, scales=scales)
    step = states.abs().amax(dim=0) / 127
    assert bool(((states - restored).abs() <= step / 2 * (1 + 1e-5)).all())
    assert all(restored[:, state].is_contiguous() for state in range(3))
    assert torch.equal(restore(by_state[:, 1], torch.bfloat16, scales[1]), restored[:, 1].to(torch.bfloat16))


def test_a_large_channel_takes_no_digits_of_the_others() -> None:
    states = torch.randn(400, 1, BLOCK, generator=torch.Generator().manual_seed(0))
    states[..., 7] *= 300.0
    scales = channel_scales(states.abs().amax(dim=0))
    others = torch.arange(BLOCK) != 7
    by_channel = (restore(keep(states, "int8_channels", scales), scales=scales) - states)[..., others]
    by_block = (restore(keep(states, "int8")) - states)[..., others]
    assert float(by_channel.square().mean().sqrt()) < 0.02
    assert float(by_block.square().mean().sqrt()) > 0.1


def test_a_channel_of_zeros_stays_zeros() -> None:
    kept = keep(torch.zeros(2, 1, 3), "int8_channels", torch.zeros(1, 3))
    assert torch.equal(restore(kept, scales=torch.zeros(1, 3)), torch.zeros(2, 1, 3))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_is_as_wide_as_was_planned(width: int) -> None:
    kept = keep(states_of(width), "int8")
    assert kept.dtype == torch.int8
    assert kept.shape == (5, 3, row_width(width, "int8"))
    assert row_width(width, "float16") == row_width(width, "float32") == width
    assert shared_bytes(3, width, "int8") == 0


def test_what_eight_bits_hold_is_exact_and_keeping_it_again_changes_nothing() -> None:
    numbers = torch.arange(-127, 128, dtype=torch.float32)
    numbers = torch.nn.functional.pad(numbers, (0, 1), value=127.0).view(4, BLOCK)
    numbers[:, 0] = 127.0
    states = (numbers * torch.tensor([[0.5], [2.0], [2.0**-20], [4096.0]]))[:, None]
    assert torch.equal(restore(keep(states, "int8")), states)
    once = restore(keep(states_of(200), "int8"))
    torch.testing.assert_close(restore(keep(once, "int8")), once, rtol=1e-6, atol=0)


def test_zeros_stay_zeros() -> None:
    assert torch.equal(restore(keep(torch.zeros(2, 1, 70), "int8")), torch.zeros(2, 1, 70))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16", "int8"])
def test_what_is_not_finite_stays_so(bad: float, precision: StoredPrecision) -> None:
    states = torch.ones(1, 1, 130)
    states[0, 0, 70] = bad
    restored = restore(keep(states, precision))
    assert not bool(torch.isfinite(restored).all())
    assert bool(torch.isfinite(restored[..., :64]).all())


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_floating_point_is_kept_by_rounding_alone(precision: StoredPrecision) -> None:
    states = states_of(10)
    assert torch.equal(restore(keep(states, precision)), states.to(getattr(torch, precision)).float())


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16", "int8"])
def test_numbers_come_in_the_type_that_is_asked_for(precision: StoredPrecision) -> None:
    assert restore(keep(states_of(10), precision), torch.bfloat16).dtype == torch.bfloat16


def test_bfloat16_keeps_what_float16_has_no_number_for() -> None:
    states = torch.tensor([[[70_000.0, -3e38, 1.0, 2.0**-120]]])
    kept = keep(states, "bfloat16")
    assert kept.dtype == torch.int16  # NumPy has no other type for its bits
    assert torch.equal(restore(kept), states.to(torch.bfloat16).float())
    assert not bool(torch.isfinite(restore(keep(states, "float16"))).all())
