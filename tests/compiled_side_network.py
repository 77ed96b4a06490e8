"""Compares the side network with itself as one compiled graph; in a process of its own, because the compiler cannot
read code that checks shapes."""

import copy
from functools import partial

import torch

from peftrec.models.side_networks.side_network import SideBlock, SideNetwork, SideTower


def main() -> None:
    torch.manual_seed(0)
    block = partial(SideBlock, bottleneck=5)
    branches = {name: SideTower(7, num_blocks=3, block=block, embedding_dim=4) for name in ("image", "text", "inter")}
    plain = SideNetwork(branches, embedding_dim=4)
    compiled = copy.deepcopy(plain)
    compiled.compile(fullgraph=True, dynamic=True, backend="aot_eager")
    for num_items in (6, 9):
        states = {name: torch.randn(num_items, 3, 7) for name in ("image", "text")}
        for network in (plain, compiled):
            network(states).square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        assert one.grad is not None
        torch.testing.assert_close(one.grad, other.grad, msg=name)
        assert one.grad.abs().max() > 0, name


if __name__ == "__main__":
    main()
