"""What frozen towers say of items, as rows of features: of a run's candidates, and of items that it has not met.

A run on frozen states reads them already, from its store where it has one; of these the highest of each tower stand
here. Any other run's towers are loaded as they were before training, and give their output vectors.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.cold_start.content_neighbours import KEY
from peftrec.data.batches import ItemBatch
from peftrec.data.items import Items
from peftrec.errors import SettingsError
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.towers.names import TowerName
from peftrec.models.towers.towers import Towers
from peftrec.training.building.item_side import load_content
from peftrec.training.encoding import encode_items
from peftrec.training.run.restored_run import RestoredRun


@dataclass(frozen=True, kw_only=True)
class FrozenContent:
    """Rows of one kind, whichever items they are of; image before text.

    Raises SettingsError where the run's settings name no tower: nothing is then known of an item but its id.
    """

    run: RestoredRun

    def __post_init__(self) -> None:
        if not self.run.settings.towers.parts:
            raise SettingsError(
                f"{KEY}: towers.text and towers.image of {self.run.directory} are null, so nothing is "
                f"known of what its items are: say {KEY}=off, or take a run that has towers"
            )

    @cached_property
    @torch.inference_mode(mode=False)
    def pretrained(self) -> Towers:
        """The towers as they were before training.

        Whoever asks first does so in inference mode. A tensor made there cannot stand in for one that was not, and a
        service puts equal ones into one storage (`serving/shared_tensors.py`).
        """
        settings = self.run.settings
        return settings.towers.load(seed=settings.seed).to(self.run.device).eval()

    @torch.inference_mode()
    def of_candidates(self) -> Float[np.ndarray, "item feature"]:
        """Return a row for each candidate, in their order."""
        run, encoder = self.run, self.run.module.recommender.item_encoder
        if not isinstance(encoder, FrozenStatesEncoder):
            return self.of_items(run.split.items)
        rows = encode_items(
            lambda batch: highest(encoder.states(batch)), run.module.content, len(run.split.items), device=run.device
        )
        return rows.cpu().numpy()

    @torch.inference_mode()
    def of_items(self, items: Items) -> Float[np.ndarray, "item feature"]:
        """Return a row for each of any items, computed from their titles and images now."""
        content = load_content(self.run.settings.towers, items, keep_bytes=0)
        return encode_items(self._encode, content, len(items), device=self.run.device).cpu().numpy()

    def _encode(self, batch: ItemBatch) -> Float[Tensor, "item feature"]:
        encoder = self.run.module.recommender.item_encoder
        if isinstance(encoder, FrozenStatesEncoder):
            return highest(self.pretrained.states(batch, encoder.indices))
        return torch.cat(list(self.pretrained(batch).values()), dim=1).float()


def highest(states: dict[TowerName, Tensor]) -> Float[Tensor, "item feature"]:
    """Return the highest state of each tower, side by side."""
    return torch.cat([each[:, -1] for each in states.values()], dim=1).float()
