"""DTL, Disentangled Transfer Learning (Fu, Zhu & Wu, AAAI 2024, arXiv:2312.07856): a thin network beside a tower that
reads what enters every block and writes to what leaves the upper ones.

    r_0 = 0
    r_k = r_{k-1} + B_k A_k x_k                       x_k enters block k, from 1;  A_k: d -> r, B_k: r -> d, from 0
    x_{k+1} = block_k(x_k) + act(r_k)                 in the blocks from M on; act(r) = r sigmoid(beta r)
    x_{k+1} = block_k(x_k)                            below

With A_k alone there is no gradient inside the blocks below M, whose inputs depend on nothing that trains. DTL+ passes
act(r) of the patches through one depth-wise convolution that all blocks share; what stands before the patches ([CLS])
is left as it is. This is the network of the authors' code (heekhero/DTL, models/vision_transformer.py). What differs:

- Frozen towers run in evaluation mode, so that no dropout is left in them; there they stay in training mode.
- Their vector is pooled as the tower's is; there it is the mean of the patches.
- The grid of patches is any square one; there it is 14 by 14. A title has no grid: DTL+ is DTL beside a text tower.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.models.towers.tower import Tower


class WriteBack(nn.Module):
    """What stands beside one tower."""

    def __init__(
        self,
        width: int,
        *,
        num_blocks: int,
        rank: int,
        first_written: int,
        sharpness: float,
        num_prefix_tokens: int = 0,
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Linear(width, rank, bias=False) for _ in range(num_blocks))
        self.up = nn.ModuleList(nn.Linear(rank, width, bias=False) for _ in range(num_blocks))
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)
        self.first_written = first_written
        self.sharpness = sharpness
        self.num_prefix_tokens = num_prefix_tokens
        self.fusion: nn.Conv2d | None = None

    def fuse_patches(self, width: int, *, kernel: int) -> None:
        """Add the convolution of DTL+."""
        self.fusion = nn.Conv2d(width, width, kernel, padding="same", groups=width, bias=False)

    def forward(self, tower: Tower, inputs: Any) -> Float[Tensor, "item hidden"]:
        """Encode items by the tower, written to on the way."""
        beside: list[Tensor] = []

        def read(place: int, tokens: Float[Tensor, "item token hidden"]) -> None:
            part = self.up[place](self.down[place](tokens))
            beside[:] = [beside[0] + part] if beside else [part]

        def write(place: int, tokens: Float[Tensor, "item token hidden"]) -> Tensor | None:
            return tokens + self.written(beside[0]) if place >= self.first_written else None

        with tower.visiting(on_input=read, on_output=write):
            return tower(inputs)

    def written(self, beside: Float[Tensor, "item token hidden"]) -> Float[Tensor, "item token hidden"]:
        """Return what is added to what leaves a block."""
        active = beside * torch.sigmoid(self.sharpness * beside)
        if self.fusion is None:
            return active
        before, patches = active.tensor_split([self.num_prefix_tokens], dim=1)
        side = math.isqrt(patches.shape[1])
        if side * side != patches.shape[1]:
            raise SettingsError(
                f"strategy.fusion: {patches.shape[1]} patches are no square; take images of one height and width, or "
                "strategy=dtl, which has no convolution"
            )
        grid = patches.transpose(1, 2).unflatten(2, (side, side))
        return torch.cat([before, self.fusion(grid).flatten(2).transpose(1, 2)], dim=1)
