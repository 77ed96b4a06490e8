"""A tower without parameters, over ready features: what leaves towers as they are works on it through the same
interfaces."""

from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.data.batches import FeatureBatch
from peftrec.errors import SettingsError
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.tower import Tower


class FeatureTower(Tower):
    """A tower without parameters: its hidden states are the features, the last of them is its output too."""

    def __init__(self, *, num_states: int, width: int, name: TowerName) -> None:
        nn.Module.__init__(self)  # not Tower's: there is no encoder to hold
        self.name = name
        self.width = width
        self.num_blocks = num_states - 1
        self.pooling: Any = "none"
        self.prefix = None
        # A buffer of no elements knows the device and the dtype that Lightning moves modules to.
        self.register_buffer("like", torch.empty(0), persistent=False)
        self.like: Tensor

    def blocks(self) -> nn.ModuleList:
        """Return no blocks."""
        return nn.ModuleList()

    def site_that_holds(self, site: str) -> str:
        """Return the site itself."""
        return site

    def site_paths(self, site: str, blocks: Any = None) -> list[str]:
        """Raise SettingsError: there is nothing to adapt."""
        raise SettingsError(
            f"strategy.sites: {site!r} matches nothing in the {self.name} tower: ready features have no layers; "
            "choose a strategy that leaves towers as they are, or a pretrained tower"
        )

    # A tower and the content of its batches belong together, so that narrower arguments are no breach.
    def forward(self, inputs: FeatureBatch) -> Float[Tensor, "item hidden"]:  # type: ignore[override]
        """Return the last state."""
        return inputs.states[:, -1].to(self.like.dtype)

    def states(  # type: ignore[override]
        self, inputs: FeatureBatch, indices: tuple[int, ...]
    ) -> Float[Tensor, "item state hidden"]:
        """Return states by their place in the file, from 0; OUTPUT, which is -1, is the last."""
        return inputs.states[:, list(indices)].to(self.like.dtype)

    def require_blocks(self) -> NoReturn:
        """Raise SettingsError: features have no blocks."""
        raise SettingsError(self._no_tokens())

    def start_from_stored(self, layers: tuple[int, ...], *, keeps_blocks: bool = False) -> NoReturn:
        """Raise SettingsError: features have no tokens."""
        raise SettingsError(self._no_tokens())

    def freeze_below(self, block: int) -> NoReturn:
        """Raise SettingsError: features have no blocks."""
        raise SettingsError(self._no_tokens())

    def token_states(self, inputs: Any, indices: tuple[int, ...]) -> NoReturn:
        """Raise SettingsError: features are vectors."""
        raise SettingsError(self._no_tokens())

    def visiting(self, **visits: Any) -> NoReturn:
        """Raise SettingsError: features have no blocks."""
        raise SettingsError(self._no_tokens())

    def _no_tokens(self) -> str:
        return (
            f"towers.{self.name}: ready features have no tokens and no blocks; choose a strategy that "
            "reads vectors, or a pretrained tower"
        )
