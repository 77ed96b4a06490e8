"""The towers of a run: one for text, one for images, or both."""

from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.models.towers.names import Modality
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.towers.ready_features import ReadyFeatures

if TYPE_CHECKING:
    from peftrec.data.features import FeatureFile
    from peftrec.models.towers.towers import Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TowerPair:
    """The towers of a run; null leaves one out, for text only or image only."""

    text: PretrainedText | ReadyFeatures | None
    image: PretrainedImage | ReadyFeatures | None

    @property
    def parts(self) -> dict[Modality, PretrainedText | PretrainedImage | ReadyFeatures]:
        """Return what stands for each modality there is, image first."""
        found: dict[Modality, PretrainedText | PretrainedImage | ReadyFeatures] = {}
        if self.image is not None:
            found["image"] = self.image
        if self.text is not None:
            found["text"] = self.text
        return found

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Which towers there are, image first."""
        return tuple(self.parts)

    @property
    def quantised(self) -> tuple[Modality, ...]:
        """Which towers' weights are int8, image first."""
        return tuple(name for name, part in self._encoders.items() if part.weights == "int8")

    @property
    def offloaded(self) -> tuple[Modality, ...]:
        """Which towers leave their blocks' weights in files, image first."""
        return tuple(name for name, part in self._encoders.items() if part.offload)

    @property
    def _encoders(self) -> dict[Modality, PretrainedText | PretrainedImage]:
        return {name: part for name, part in self.parts.items() if not isinstance(part, ReadyFeatures)}

    @property
    def text_encoder(self) -> PretrainedText | None:
        """What reads titles."""
        return self.text if isinstance(self.text, PretrainedText) else None

    @property
    def image_encoder(self) -> PretrainedImage | None:
        """What reads images."""
        return self.image if isinstance(self.image, PretrainedImage) else None

    def feature_files(self) -> "list[FeatureFile]":
        """Return what is read in place of titles or images. Raises DataError where a file holds no features."""
        return [part.features(name) for name, part in self.parts.items() if isinstance(part, ReadyFeatures)]

    def draw_in_training(self) -> bool:
        """Say whether a tower that trains draws random numbers, as dropout does."""
        return any(part.draws_in_training(name) for name, part in self.parts.items())

    def load(self, *, seed: int, with_weights: bool = True) -> "Towers":
        """Build the towers; without weights they have shapes only."""
        from peftrec.models.towers.towers import Towers

        loaded = {name: part.load(name, seed=seed, with_weights=with_weights) for name, part in self.parts.items()}
        return Towers(text=loaded.get("text"), image=loaded.get("image"))

    def preprocessing(self) -> dict[str, str]:
        """Spell out each tower's preprocessing."""
        return {name: part.preprocessing() for name, part in self.parts.items()}

    def vectors(self) -> dict[str, str]:
        """Say how each tower's states become a vector."""
        said = {name: part.said(name).words() for name, part in self._encoders.items()}
        return {name: said.get(name) or part.pooling_of(name) for name, part in self.parts.items()}

    def weights_hashes(self, *, seed: int) -> dict[str, str]:
        """Return each tower's weights hash."""
        return {name: part.weights_hash(name, seed=seed) for name, part in self.parts.items()}
