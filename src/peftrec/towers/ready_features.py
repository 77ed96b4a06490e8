"""Ready features in place of a tower: nothing is encoded, so nothing can be adapted."""

from hashlib import sha256
from typing import TYPE_CHECKING

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.data.choices import MissingFeatures
from peftrec.files import at_home
from peftrec.models.towers.names import TowerName

if TYPE_CHECKING:
    from peftrec.data.features import FeatureFile
    from peftrec.models.towers.feature_tower import FeatureTower

DESCRIPTION = "ready features"
NO_POOLING = "none"


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReadyFeatures:
    """A `.npy` of [items, dim], or [items, states, dim] lowest state first, whose row r belongs to row r of the items'
    file. With states, what strategies call layer k is the state at place k."""

    file: Place[str] = Field(min_length=1)
    """Path of the file, float16 or float32; it is memory-mapped."""
    missing: MissingFeatures = "error"
    """An item whose row is not finite: an error, filled in with zeros or the mean of the others, or dropped from all
    histories."""

    def origin(self) -> str:
        """Say where the features come from."""
        return self.file

    def commit(self, name: TowerName) -> None:
        """Files have none."""
        return

    def features(self, name: TowerName) -> "FeatureFile":
        """Return the file. Raises DataError where it holds no features."""
        from peftrec.data.features import FeatureFile

        found = FeatureFile(path=at_home(self.file), tower=name, missing=self.missing)
        found.states  # noqa: B018 - opens the file, so that what is wrong with it is said before any data is read
        return found

    def draws_in_training(self, name: TowerName) -> bool:
        """Features have no parameters, and no dropout."""
        return False

    def load(self, name: TowerName, *, seed: int, with_weights: bool = True) -> "FeatureTower":
        """Build the tower, whose shape is the file's."""
        from peftrec.models.towers.feature_tower import FeatureTower

        _, num_states, width = self.features(name).states.shape
        tower = FeatureTower(num_states=num_states, width=width, name=name)
        return tower.eval() if with_weights else tower.to("meta").eval()

    def num_blocks(self, name: TowerName) -> int:
        """Return how many states there are above the lowest."""
        return int(self.features(name).states.shape[1]) - 1

    def pooling_of(self, name: TowerName) -> str:
        """Say that there is none."""
        return NO_POOLING

    def preprocessing(self, name: TowerName = "") -> str:
        """Say that there is none."""
        return DESCRIPTION

    def weights_hash(self, name: TowerName, *, seed: int) -> str:
        """Return the same hash for all features: there are no weights, and rows are content."""
        return sha256(DESCRIPTION.encode()).hexdigest()
