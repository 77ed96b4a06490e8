"""IISAN-Versa's dimension transformation (arXiv:2411.02992): two towers of different widths meet at the narrower one.

h~_k = W_k h_k + b_k        one linear layer a fused step, on the wider tower's states

Of more than two towers, each that is wider than the narrowest has such layers.
"""

from torch import Tensor, nn

from peftrec.models.towers.names import TowerName, in_order


class StateAlignment(nn.Module):
    """Brings the states of wider towers to the width of the narrowest, each step by a layer of its own."""

    def __init__(self, widths: dict[TowerName, int], *, num_steps: int) -> None:
        super().__init__()
        narrowest = min(widths.values())
        self.wider = [name for name in in_order(widths) if widths[name] > narrowest]
        self.num_steps = num_steps
        self.steps = nn.ModuleList(nn.Linear(widths[name], narrowest) for name in self.wider for _ in range(num_steps))

    def forward(self, states: dict[TowerName, list[Tensor]]) -> dict[TowerName, list[Tensor]]:
        """Replace the wider towers' states, lowest first; in their type also under autocast, as the others are."""
        aligned = dict(states)
        for place, name in enumerate(self.wider):
            layers = self.steps[place * self.num_steps : (place + 1) * self.num_steps]
            aligned[name] = [layer(state).to(state.dtype) for layer, state in zip(layers, states[name], strict=True)]
        return aligned
