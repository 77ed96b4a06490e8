"""UniPT (Diao et al., CVPR 2024, arXiv:2308.14316) in the form of its CLIP runs, a reader beside each tower:

    a = W relu(o) + b                                 o: the tower's output vector, the anchor
    z_i = W_i relu(h_i) + b_i                         h_i: the states of all tokens, i = 0 .. L;  all to m dimensions
    s_i = l1norm(relu(z_i a))                         one weight a token, none for padding
    x_i = z_i^T s_i + pool(z_i)
    c = softmax_i(w . (a * mean(z_i)) + b_w)          one confidence a state
    output = o + V relu(sum_i c_i x_i) + b_V

This is the network of the authors' code (Paranioar/UniPT, CLIP4Clip/modules/module_adapter.py), which has no gradient
inside the towers. Attention is by positive products that are divided by their sum, and not by a softmax. What differs:

- o is the tower's vector, of its width; CLIP projects it first.
- pool takes the token that the tower's vector is pooled from, and the mean where that is a mean; CLIP's are the first
  token of an image and the last of a title.
- Frozen towers run in evaluation mode.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from peftrec.models.towers.names import OUTPUT
from peftrec.models.towers.tower import Tower

_LEAST_SUM = 1e-6  # what weights are divided by at least, as in the authors' code


class TokenReader(nn.Module):
    """What stands beside one tower."""

    def __init__(self, width: int, *, num_states: int, inner: int) -> None:
        super().__init__()
        self.anchor = nn.Linear(width, inner)
        self.down = nn.ModuleList(nn.Linear(width, inner) for _ in range(num_states))
        self.confidence = nn.Linear(inner, 1)
        self.up = nn.Linear(inner, width)

    def forward(self, tower: Tower, inputs: Any) -> Float[Tensor, "item hidden"]:
        """Encode items by the tower, without a gradient, and read what all its blocks say of all tokens."""
        with torch.no_grad():
            tokens = tower.token_states(inputs, (*range(len(self.down)), OUTPUT))
            output = tower.vector(tokens.pop(OUTPUT), inputs).to(self.up.weight.dtype)
            mask = tower.token_mask(inputs, next(iter(tokens.values())).shape[1])
        anchor = self.anchor(output.relu())
        read, confidences = [], []
        for index, down in enumerate(self.down):
            with torch.no_grad():
                positive = tokens.pop(index).to(self.up.weight.dtype).relu()
            states = down(positive)
            read.append(_attended(anchor, states, mask) + tower.pool(states, inputs))
            confidences.append(self.confidence(anchor * _mean(states, mask)))
        shares = torch.cat(confidences, dim=1).softmax(dim=1)
        merged = (shares.unsqueeze(-1) * torch.stack(read, dim=1)).sum(dim=1)
        return output + self.up(merged.relu())


def _attended(
    anchor: Float[Tensor, "item side"], states: Float[Tensor, "item token side"], mask: Bool[Tensor, "item token"]
) -> Float[Tensor, "item side"]:
    weights = torch.einsum("itm,im->it", states, anchor).relu() * mask
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=_LEAST_SUM)
    return torch.einsum("it,itm->im", weights, states)


def _mean(states: Float[Tensor, "item token side"], mask: Bool[Tensor, "item token"]) -> Float[Tensor, "item side"]:
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)
