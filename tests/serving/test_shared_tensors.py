"""Equal tensors are in memory once, and every module computes what it did."""

import torch
from torch import nn

from peftrec.serving.shared_tensors import SharedTensors
from peftrec.training.parameter_groups import tensor_bytes


def tower_with_head(seed: int) -> nn.Sequential:
    torch.manual_seed(0)
    tower = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8))
    torch.manual_seed(seed)
    return nn.Sequential(tower, nn.Linear(8, 3)).eval()


def test_two_runs_on_one_tower_hold_it_once() -> None:
    first, second = tower_with_head(1), tower_with_head(2)
    other = tower_with_head(3).to(torch.bfloat16)
    inputs = torch.randn(5, 4)
    expected = [first(inputs), second(inputs), other(inputs.bfloat16())]
    shared = SharedTensors()
    for module in (first, second, other):
        shared.share([module])

    assert torch.equal(first(inputs), expected[0])
    assert torch.equal(second(inputs), expected[1])
    assert torch.equal(other(inputs.bfloat16()), expected[2])

    def held(*modules: nn.Module) -> int:
        return tensor_bytes(tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))

    head = tensor_bytes(second[1].parameters())
    assert held(first, second) == held(first) + head
    assert not torch.equal(first[1].weight, second[1].weight)
    count = tensor_bytes([other[0][1].num_batches_tracked])  # whose type stays
    assert held(first, second, other) == held(first, second) + held(other) - count
