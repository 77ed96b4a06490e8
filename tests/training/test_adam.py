"""Adam computes what torch's does, to the bit, whatever happens between two steps."""

import copy

import pytest
import torch
from torch import nn

from peftrec.training.adam import Adam

SHAPES = [(3, 4), (5,), (), (2, 2, 2)]


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def groups(tensors: list[nn.Parameter]) -> list[dict[str, object]]:
    return [{"params": tensors[:2], "lr": 1e-2}, {"params": tensors[2:], "lr": 1e-3}]


def give_gradients(tensors: list[nn.Parameter], step: int, *, but: int | None = None) -> None:
    generator = torch.Generator().manual_seed(step)
    for place, tensor in enumerate(tensors):
        gradient = torch.randn(tensor.shape, generator=generator)
        tensor.grad = None if place == but else gradient


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("left_out", [None, 2])
def test_it_updates_as_torch_does(fused: bool, left_out: int | None) -> None:
    """Also where a parameter has no gradient in some step, and where rates change between steps."""
    ours, theirs = parameters(), parameters()
    one, other = Adam(groups(ours), fused=fused), torch.optim.Adam(groups(theirs), fused=fused)
    for step in range(6):
        for tensors, optimizer in ((ours, one), (theirs, other)):
            give_gradients(tensors, step, but=left_out if step in (0, 3) else None)
            optimizer.param_groups[0]["lr"] = 1e-2 / (step + 1)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for mine, torchs in zip(ours, theirs, strict=True):
            assert torch.equal(mine, torchs)
    for mine, torchs in zip(ours, theirs, strict=True):
        assert one.state[mine].keys() == other.state[torchs].keys()
        assert all(torch.equal(value, other.state[torchs][key]) for key, value in one.state[mine].items())


def test_it_goes_on_from_a_state_that_is_loaded() -> None:
    ours, theirs = parameters(), parameters()
    one, other = Adam(groups(ours), fused=True), torch.optim.Adam(groups(theirs), fused=True)
    for step in range(3):
        for tensors, optimizer in ((ours, one), (theirs, other)):
            give_gradients(tensors, step)
            optimizer.step()
    saved, weights = copy.deepcopy(one.state_dict()), [tensor.detach().clone() for tensor in ours]
    give_gradients(ours, 99)
    one.step()
    one.load_state_dict(saved)
    for tensor, weight in zip(ours, weights, strict=True):
        tensor.data.copy_(weight)
    for step in range(3, 6):
        for tensors, optimizer in ((ours, one), (theirs, other)):
            give_gradients(tensors, step)
            optimizer.step()
        assert all(torch.equal(mine, torchs) for mine, torchs in zip(ours, theirs, strict=True))
    assert {float(state["step"]) for state in one.state.values()} == {6.0}


def test_a_scaled_loss_is_torchs_to_undo() -> None:
    """As the scaler of float16 has it: gradients times a factor, and no step where one of them is not finite."""
    ours, theirs = parameters(), parameters()
    one, other = Adam(groups(ours), fused=True), torch.optim.Adam(groups(theirs), fused=True)
    for step in range(4):
        for tensors, optimizer in ((ours, one), (theirs, other)):
            give_gradients(tensors, step)
            if step > 1:
                optimizer.grad_scale = torch.tensor(8.0)  # type: ignore[attr-defined]
                optimizer.found_inf = torch.tensor(float(step == 2))  # type: ignore[attr-defined]
            optimizer.step()
        assert all(torch.equal(mine, torchs) for mine, torchs in zip(ours, theirs, strict=True))
    assert {float(state["step"]) for state in one.state.values()} == {3.0}


def test_what_a_closure_gives_is_returned() -> None:
    ours = parameters()
    optimizer = Adam(groups(ours), fused=True)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.stack([tensor.square().sum() for tensor in ours]).sum()
        loss.backward()
        return loss

    first, *_, last = [float(optimizer.step(closure).detach()) for _ in range(4)]
    assert last < first
