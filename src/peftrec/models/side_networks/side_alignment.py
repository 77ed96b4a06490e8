"""IISAN-Versa's dimension transformation (arXiv:2411.02992): two towers of different widths meet at the narrower one.

h~_k = W_k h_k + b_k        one linear layer a fused step, on the wider modality's states
"""

from torch import Tensor, nn

from peftrec.models.towers.names import Modality


class StateAlignment(nn.Module):
    """Brings the wider modality's states to the other's width, each step by a layer of its own."""

    def __init__(self, widths: dict[Modality, int], *, num_steps: int) -> None:
        super().__init__()
        self.wider = max(widths, key=lambda name: widths[name])
        narrower = min(widths.values())
        self.steps = nn.ModuleList(nn.Linear(widths[self.wider], narrower) for _ in range(num_steps))

    def forward(self, states: dict[Modality, list[Tensor]]) -> dict[Modality, list[Tensor]]:
        """Replace the wider modality's states, lowest first; in their type also under autocast, as the others are."""
        aligned = [layer(state).to(state.dtype) for layer, state in zip(self.steps, states[self.wider], strict=True)]
        return {**states, self.wider: aligned}
