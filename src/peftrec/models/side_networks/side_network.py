"""The side network of IISAN (Fu et al., SIGIR 2024, arXiv:2404.02059) and IISAN-Versa (arXiv:2411.02992): three
towers of small blocks on frozen states.

    block(x) = x + W_up relu(W_down x + b_down) + b_up
    intra:   s_k = block(g_k h_k + (1 - g_k) s_{k-1})                          one branch per tower
    inter:   m_k = block(m_{k-1} + g_k h_k^image + (1 - g_k) h_k^text)         one branch over both

with g = sigmoid(theta / 0.1), theta starting at 0 and s, m starting at zeros; the gate is Ladder Side-Tuning's (Sung
et al., NeurIPS 2022). The additive variant replaces each mixture by a plain sum. Every branch ends in two linear
layers, and a third fuses [image, text, inter]. What W_down and W_up may be is in `side_blocks`.

Towers may differ (IISAN-Versa). A deeper one's surplus first states are read by its intra branch alone: the inter
branch pairs the states from the top. Where widths differ, the wider towers' states are aligned first.

Both papers have two towers. Over n towers, the inter branch here weighs by a softmax what it adds:

    inter:   m_k = block(m_{k-1} + sum_t w_k^t h_k^t)      w_k = softmax([theta_k^1, .., theta_k^{n-1}, 0] / 0.1)

the last of the towers, in the order in which they are fused, having the logit 0. All weigh the same at the start, and
of two towers w^1 is the published gate: sigmoid(x) = softmax([x, 0])_1.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.models.side_networks.options import INTER, Activation, Branch, Mixing
from peftrec.models.side_networks.side_alignment import StateAlignment
from peftrec.models.side_networks.side_blocks import BlockLayer, Dense, LayerBuilder
from peftrec.models.side_networks.side_recurrences import (
    PUBLISHED_TOWERS,
    InterRecurrence,
    IntraRecurrence,
    fuse,
    weights_of_towers,
)
from peftrec.models.towers.names import TowerName, in_order

GATE_TEMPERATURE = 0.1  # Ladder Side-Tuning and the published code
_BLOCK_STD = 0.01  # published initialisation


class SideBlock(nn.Module):
    """A bottleneck with residual: hidden -> bottleneck -> hidden; near the identity at the start."""

    def __init__(
        self, hidden: int, bottleneck: int, activation: Activation = "relu", layer: LayerBuilder = Dense
    ) -> None:
        super().__init__()
        self.down: BlockLayer = layer(hidden, bottleneck)
        self.up: BlockLayer = layer(bottleneck, hidden)
        self.activation = nn.functional.relu if activation == "relu" else nn.functional.gelu
        self.fits_recurrences = activation == "relu" and self.down.is_multiplied_whole  # what they compute by hand
        for part in (self.down, self.up):
            part.start(_BLOCK_STD)

    def weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the weights in the order that the hand-written recurrences take."""
        return self.down.weight, self.down.bias, self.up.weight, self.up.bias

    def forward(self, states: Float[Tensor, "*item hidden"]) -> Float[Tensor, "*item hidden"]:
        return states + self.up(self.activation(self.down(states)))


BlockBuilder = Callable[[int], SideBlock]
"""Builds a block for states of a width."""


class SideTower(nn.Module):
    """Blocks and gates of one branch, and its two output layers."""

    def __init__(
        self,
        hidden: int,
        *,
        num_blocks: int,
        block: BlockBuilder,
        embedding_dim: int,
        mixing: Mixing = "gated",
        out_dim: int | None = None,
        num_fused: int = 1,
    ) -> None:
        """Build a branch; `out_dim` is the width between its output layers, `hidden` where None. An inter branch says
        how many towers it fuses."""
        super().__init__()
        out_dim = hidden if out_dim is None else out_dim
        self.blocks = nn.ModuleList(block(hidden) for _ in range(num_blocks))
        self.num_fused = num_fused
        size = (num_blocks,) if num_fused <= PUBLISHED_TOWERS else (num_blocks, num_fused - 1)
        self.gates = nn.Parameter(torch.zeros(size)) if mixing == "gated" else None
        self.out = nn.Linear(hidden, out_dim)
        self.project = nn.Linear(out_dim, embedding_dim)

    def intra(self, states: list[Tensor], first: Tensor | None) -> Float[Tensor, "item hidden"]:
        """Run over one tower's states, lowest first; `first` is the state before them (zeros where None)."""
        if self.is_by_hand():
            return IntraRecurrence.apply(first, self._logits(), *states, *self._weights())  # type: ignore[no-untyped-call]
        previous = torch.zeros_like(states[0]) if first is None else first
        for block, state, gate in zip(self.blocks, states, self._gates(), strict=True):
            previous = block(previous + state if gate is None else torch.lerp(previous, state, gate))
        return previous

    def inter(self, towers: Sequence[list[Tensor]]) -> Float[Tensor, "item hidden"]:
        """Run over the states of several towers, in the order in which they are fused; the state before them is
        zeros."""
        if self.is_by_hand():
            every = [state for of_tower in towers for state in of_tower]
            return InterRecurrence.apply(self._logits(), *every, *self._weights())  # type: ignore[no-untyped-call]
        previous = torch.zeros_like(towers[0][0])
        for block, states, shares in zip(self.blocks, zip(*towers, strict=True), self._shares(), strict=True):
            previous = block(previous + (reduce(torch.add, states) if shares is None else fuse(states, shares)))
        return previous

    def is_by_hand(self) -> bool:
        """Return whether the recurrence is the hand-written one: gated, and of blocks that it computes."""
        return self.gates is not None and all(block.fits_recurrences for block in self.blocks)

    def _logits(self) -> Float[Tensor, "step *fused"]:
        assert self.gates is not None
        return self.gates / GATE_TEMPERATURE

    def _gates(self) -> Sequence[Tensor | None]:
        """Return one gate a step."""
        return [None] * len(self.blocks) if self.gates is None else torch.sigmoid(self._logits()).unbind()

    def _shares(self) -> Sequence[Sequence[Tensor] | None]:
        """Return what each tower weighs, a step at a time."""
        if self.gates is None:
            return [None] * len(self.blocks)
        return [of_step.unbind() for of_step in weights_of_towers(self._logits()).unbind()]

    def _weights(self) -> list[Tensor]:
        return [weight for block in self.blocks for weight in block.weights()]  # type: ignore[operator]

    def embed(self, states: Float[Tensor, "item hidden"]) -> Float[Tensor, "item dim"]:
        """Apply both output layers.

        Nothing stands between them, so their product is formed first: with more items than embedding dimensions
        that is a third of the operations, forward and backward, at the same parameters. It is formed transposed: two
        threads of MKL share its product and its gradient's a third better with the narrow side innermost.
        """
        transposed = self.out.weight.t() @ self.project.weight.t()
        bias = nn.functional.linear(self.out.bias, self.project.weight, self.project.bias)
        return nn.functional.linear(states, transposed.t(), bias)


class SideNetwork(nn.Module):
    """All branches and their fusion; reads states as `FrozenStatesEncoder` hands them over."""

    def __init__(
        self,
        branches: dict[Branch, SideTower],
        *,
        embedding_dim: int,
        starts_from_embedding: bool = False,
        alignment: StateAlignment | None = None,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleDict({str(name): tower for name, tower in branches.items()})
        self.alignment = alignment
        self.starts_from_embedding = starts_from_embedding
        self.fusion = nn.Linear(len(branches) * embedding_dim, embedding_dim)

    def introduced(self) -> list[nn.Parameter]:
        """Return blocks, gates and alignment, which stand beside the towers; output layers and fusion are the
        recommender's."""
        parameters = [] if self.alignment is None else list(self.alignment.parameters())
        for tower in self.branches.values():
            parameters += list(tower.blocks.parameters())  # type: ignore[union-attr]
            parameters += [] if tower.gates is None else [tower.gates]  # type: ignore[list-item]
        return parameters

    def finer_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return first output layers and gates by branch, and the alignment: what published rates tell apart."""
        groups: dict[str, list[nn.Parameter]] = {}
        for name, tower in self.branches.items():
            groups[f"{name}_output"] = list(tower.out.parameters())  # type: ignore[union-attr]
            if tower.gates is not None:
                groups[f"{name}_gates"] = [tower.gates]  # type: ignore[list-item]
        if self.alignment is not None:
            groups["alignment"] = list(self.alignment.parameters())
        return groups

    def image_projection(self) -> nn.Linear | None:
        """Return the image branch's second output layer, where there is such a branch."""
        return self.branches["image"].project if "image" in self.branches else None  # type: ignore[return-value]

    def embed_branches(
        self, states: dict[TowerName, Float[Tensor, "item state hidden"]]
    ) -> dict[Branch, Float[Tensor, "item dim"]]:
        """Return each branch's embedding. With `starts_from_embedding`, state 0 starts the intra branches and no
        block reads it."""
        first = 1 if self.starts_from_embedding else 0
        steps = {name: list(tensor.unbind(dim=1)) for name, tensor in states.items()}
        embeddings: dict[Branch, Tensor] = {}
        for name, tower in self.branches.items():
            if name == INTER:
                paired = self._pair(steps, len(tower.blocks))  # type: ignore[arg-type]
                final = tower.inter([paired[each] for each in in_order(paired)])  # type: ignore[operator]
            else:
                start = steps[name][0] if self.starts_from_embedding else None
                final = tower.intra(steps[name][first:], start)  # type: ignore[operator]
            embeddings[name] = tower.embed(final)  # type: ignore[operator]
        return embeddings

    def _pair(self, steps: dict[TowerName, list[Tensor]], num_pairs: int) -> dict[TowerName, list[Tensor]]:
        """Return the uppermost states of all towers, at one width."""
        paired = {name: states[-num_pairs:] for name, states in steps.items()}
        return paired if self.alignment is None else self.alignment(paired)

    def forward(self, states: dict[TowerName, Float[Tensor, "item state hidden"]]) -> Float[Tensor, "item dim"]:
        return self.fusion(torch.cat(list(self.embed_branches(states).values()), dim=-1))
