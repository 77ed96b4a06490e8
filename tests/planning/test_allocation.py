"""Live bytes are those of storages, from their making to their end."""

import torch

from peftrec.planning.allocation import LiveBytes
from peftrec.training.measurement.allocations import AllocationLog


def test_a_storage_counts_once_and_while_it_lives() -> None:
    live = LiveBytes()
    with live:
        first = torch.zeros(100)
        view = first.view(10, 10)[2:]
        assert live.live == 400
        second = first + 1
        del first
        assert live.live == 800  # the view keeps the storage
        del view
        assert live.live == 400
        second.add_(1)
        assert live.live == 400
    assert live.peak == 800


def test_what_stood_before_is_counted_when_it_is_held() -> None:
    before = torch.zeros(50)
    live = LiveBytes()
    live.hold([before, before.view(5, 10), None, 3])
    assert (live.live, live.peak) == (200, 200)
    with live:
        before.mul_(2)
    assert live.live == 200


def test_what_is_left_out_stays_out_and_so_do_its_views() -> None:
    store = torch.zeros(1000)
    live = LiveBytes()
    live.leave_out([store])
    with live:
        taken = store[10:20].clone()
        assert store.view(10, 100).sum().ndim == 0
    assert live.live == taken.untyped_storage().nbytes()


def test_sizes_are_rounded_up_to_blocks() -> None:
    live = LiveBytes(block=512)
    with live:
        kept = [torch.zeros(1), torch.zeros(128), torch.zeros(129)]
    assert len(kept) == 3
    assert live.live == 512 + 512 + 1024


def test_a_backward_pass_gives_back_what_was_saved() -> None:
    weight = torch.ones(100, requires_grad=True)
    live = LiveBytes()
    live.hold([weight])
    with live:
        squared = (weight * weight).exp()  # exp keeps its result
        loss = squared.sum()
        del squared
        before = live.live
        loss.backward()
    assert before == 400 + 400 + 4
    assert live.live == 400 + 4 + 400  # weight, loss, gradient


def test_a_sum_of_booleans_makes_numbers_of_them_as_the_allocator_says() -> None:
    claims = torch.ones(50, 40, 30, dtype=torch.bool)
    log, live, elsewhere = AllocationLog(), LiveBytes(), LiveBytes(on_cuda=True)
    log.start()
    kept = claims.sum((0, 1))
    measured = log.stop()
    for followed in (live, elsewhere):
        with followed:
            assert torch.equal(claims.sum((0, 1)), kept)
    assert live.peak == measured == 8 * (50 * 40 * 30 + 30)
    assert elsewhere.peak == 8 * 30
