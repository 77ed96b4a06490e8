"""Parallel adapters (He et al., ICLR 2022, arXiv:2110.04366): a bottleneck beside a sublayer, not behind it.

h = sublayer(x) + s W_up relu(W_down x + b_down) + s b_up, before residual and norm. W_up starts at zero, as LoRA's B
does (their published `init_option=lora`), so that the towers start as they were.
"""

import math
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.models.item_encoder import ItemEncoder, TowerItemEncoder
from peftrec.models.towers.towers import Tower, Towers
from peftrec.strategies.base import Strategy

Sublayer = Literal["attention", "ffn"]
_ENDS: dict[Sublayer, tuple[str, str]] = {
    "attention": ("query", "attention_output"),
    "ffn": ("ffn_input", "ffn_output"),
}
"""Sites of the layer that reads a sublayer's input, and of the one that gives its output."""


class BesideSublayer(nn.Module):
    """Wraps the layer that reads a sublayer's input: it computes the adapter's part there and keeps it."""

    def __init__(self, layer: nn.Module, *, width: int, bottleneck: int, scale: float) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.scale = scale
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))  # as LoRA's A
        for tensor in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(tensor)
        self._part: Tensor | None = None

    def forward(self, states: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch out"]:
        self._part = self.scale * self.up(nn.functional.relu(self.down(states)))
        return self.layer(states)

    def take(self) -> Float[Tensor, "*batch hidden"]:
        """Hand over, once, what the adapter made of the sublayer's input."""
        part, self._part = self._part, None
        assert part is not None
        return part


class EndOfSublayer(nn.Module):
    """Wraps the layer that gives a sublayer's output, and adds the adapter's part."""

    def __init__(self, layer: nn.Module, beside: BesideSublayer) -> None:
        super().__init__()
        self.layer = layer
        self._take = beside.take  # not the module itself, which has its place in the tower

    def forward(self, states: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch out"]:
        return self.layer(states) + self._take()


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ParallelAdapter(Strategy):
    """Beside the feed-forward network by default, where the paper finds it best."""

    identity_at_start: ClassVar[bool] = True

    bottleneck: int = Field(default=64, ge=1)
    scale: float = Field(default=4.0, gt=0)
    """The factor s; 4 in the published scripts."""
    sublayers: tuple[Sublayer, ...] = Field(default=("ffn",), min_length=1)

    def adapt(self, towers: Towers, *, embedding_dim: int, num_items: int) -> ItemEncoder:
        towers.requires_grad_(False)
        for tower in towers.present().values():
            for sublayer in self.sublayers:
                first, last = _ENDS[sublayer]
                for start, end in zip(tower.site_paths(first), tower.site_paths(last), strict=True):
                    self._put_beside(tower, start, end)
        return TowerItemEncoder(towers, embedding_dim=embedding_dim)

    def _put_beside(self, tower: Tower, start: str, end: str) -> None:
        beside = BesideSublayer(
            tower.encoder.get_submodule(start), width=tower.width, bottleneck=self.bottleneck, scale=self.scale
        )
        tower.encoder.set_submodule(start, beside)
        tower.encoder.set_submodule(end, EndOfSublayer(tower.encoder.get_submodule(end), beside))
