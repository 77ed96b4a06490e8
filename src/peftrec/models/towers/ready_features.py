"""Ready features in place of a tower: nothing is encoded, so nothing can be adapted; what leaves towers as they are
works on them through the same interfaces."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from peftrec.config.strict import STRICT
from peftrec.data.batches import FeatureBatch
from peftrec.data.features import FeatureFile, MissingFeatures
from peftrec.errors import SettingsError
from peftrec.models.towers.towers import Modality, Tower

DESCRIPTION = "ready features"


class FeatureTower(Tower):
    """A tower without parameters: its hidden states are the features, the last of them is its output too."""

    def __init__(self, *, num_states: int, width: int, modality: Modality) -> None:
        nn.Module.__init__(self)  # not Tower's: there is no encoder to hold
        self.modality = modality
        self.width = width
        self.num_blocks = num_states - 1
        self.pooling: Any = "none"
        # A buffer of no elements knows the device and the dtype that Lightning moves modules to.
        self.register_buffer("like", torch.empty(0), persistent=False)
        self.like: Tensor

    def blocks(self) -> nn.ModuleList:
        """Return no blocks."""
        return nn.ModuleList()

    def site_paths(self, site: str) -> list[str]:
        """Raise SettingsError: there is nothing to adapt."""
        raise SettingsError(
            f"strategy.sites: {site!r} matches nothing in the {self.modality} tower: ready features have no layers; "
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


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReadyFeatures:
    """A `.npy` of [items, dim], or [items, states, dim] lowest state first, whose row r belongs to row r of the items'
    file. With states, what strategies call layer k is the state at place k."""

    file: str = Field(min_length=1)
    """Path of the file, float16 or float32; it is memory-mapped."""
    missing: MissingFeatures = "error"
    """An item whose row is not finite: an error, filled in with zeros or the mean of the others, or dropped from all
    histories."""

    def origin(self) -> str:
        """Say where the features come from."""
        return self.file

    def commit(self, modality: Modality) -> None:
        """Files have none."""
        return

    def features(self, modality: Modality) -> FeatureFile:
        """Return the file. Raises DataError where it holds no features."""
        path = Path(self.file).expanduser()
        found = FeatureFile(path=path, modality=modality, missing=self.missing)
        found.states  # noqa: B018 - opens the file, so that what is wrong with it is said before any data is read
        return found

    def load(self, modality: Modality, *, seed: int, with_weights: bool = True) -> FeatureTower:
        """Build the tower, whose shape is the file's."""
        _, num_states, width = self.features(modality).states.shape
        tower = FeatureTower(num_states=num_states, width=width, modality=modality)
        return tower.eval() if with_weights else tower.to("meta").eval()

    def preprocessing(self) -> str:
        """Say that there is none."""
        return DESCRIPTION

    def weights_hash(self, modality: Modality, *, seed: int) -> str:
        """Return the same hash for all features: there are no weights, and rows are content."""
        return sha256(DESCRIPTION.encode()).hexdigest()
