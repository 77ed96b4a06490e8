"""The towers of a run: one for text, one for images, and any number beside them under names of their own."""

from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic.dataclasses import dataclass

from peftrec.config.fields import Named
from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.towers.names import Modality, TowerName, in_order
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.towers.ready_features import ReadyFeatures

if TYPE_CHECKING:
    from peftrec.data.features import FeatureFile
    from peftrec.models.towers.towers import Towers

TowerPart = PretrainedText | PretrainedImage | ReadyFeatures
"""What a tower is made of."""

OF_ANOTHER_KIND = (
    "video, audio and whatever else no encoder here reads come as ready features, one row an item: {key}.file=PATH in "
    "its place (docs/towers.md, More than two towers)"
)
RESERVED = frozenset({"introduced", "recommender", "inter", "alignment", "warmup_steps", "decay", "finer"})
"""Names that learning rates and side networks have for something else."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NamedText(PretrainedText):
    """A text tower beside `text`."""

    modality: Literal["text"]
    """What it reads: titles."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class NamedImage(PretrainedImage):
    """An image tower beside `image`."""

    modality: Literal["image"]
    """What it reads: images."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TowerPair:
    """The towers of a run; null leaves one out, for text only or image only."""

    text: PretrainedText | ReadyFeatures | None
    image: PretrainedImage | ReadyFeatures | None
    others: Annotated[dict[TowerName, NamedText | NamedImage | ReadyFeatures], Named(otherwise=OF_ANOTHER_KIND)] = (
        field(default_factory=dict)
    )
    """Towers beside these two, each under a name of its own, with the keys of `towers.text` or `towers.image`:
    `modality` says which, and what has a `file` is ready features, of whatever kind."""

    def __post_init__(self) -> None:
        for name in self.others:
            if name in RESERVED or name.endswith(("_lengths", "_scales")):
                raise SettingsError(f"towers.{name}: this name stands for something else; choose another")

    @property
    def parts(self) -> dict[TowerName, TowerPart]:
        """Return the towers there are by their names, image first (see `in_order`)."""
        found: dict[TowerName, TowerPart | None] = {**self.others, "text": self.text, "image": self.image}
        return {name: part for name in in_order(found) if (part := found[name]) is not None}

    @property
    def names(self) -> tuple[TowerName, ...]:
        """What the towers are called, image first."""
        return tuple(self.parts)

    @property
    def quantised(self) -> tuple[TowerName, ...]:
        """Which towers' weights are int8, image first."""
        return tuple(name for name, part in self.encoders.items() if part.weights == "int8")

    @property
    def offloaded(self) -> tuple[TowerName, ...]:
        """Which towers leave their blocks' weights in files, image first."""
        return tuple(name for name, part in self.encoders.items() if part.offload)

    @property
    def encoders(self) -> "dict[TowerName, PretrainedText | PretrainedImage]":
        """Return the towers that read titles or images."""
        return {name: part for name, part in self.parts.items() if not isinstance(part, ReadyFeatures)}

    @property
    def text_encoders(self) -> dict[TowerName, PretrainedText]:
        """Return what reads titles, or further texts."""
        return {name: part for name, part in self.parts.items() if isinstance(part, PretrainedText)}

    @property
    def text_readers(self) -> dict[str, list[TowerName]]:
        """Return each text of an item that is read, and the towers that read it."""
        found: dict[str, list[TowerName]] = {}
        for name, part in self.text_encoders.items():
            found.setdefault(part.text, []).append(name)
        return found

    @property
    def image_encoders(self) -> dict[TowerName, PretrainedImage]:
        """Return what reads images."""
        return {name: part for name, part in self.parts.items() if isinstance(part, PretrainedImage)}

    @property
    def readers(self) -> dict[TowerName, Modality]:
        """Return the towers that read titles or images, and which; ready features read neither."""
        return {name: part.reads for name, part in self.encoders.items()}

    @property
    def contents(self) -> dict[TowerName, str]:
        """Return what each of these reads: the name of a text, or `image`."""
        return {
            name: part.text if isinstance(part, PretrainedText) else "image" for name, part in self.encoders.items()
        }

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
        return Towers(**loaded)

    def preprocessing(self) -> dict[str, str]:
        """Spell out each tower's preprocessing."""
        return {name: part.preprocessing(name) for name, part in self.parts.items()}

    def vectors(self) -> dict[str, str]:
        """Say how each tower's states become a vector."""
        said = {name: part.said(name).words() for name, part in self.encoders.items()}
        return {name: said.get(name) or part.pooling_of(name) for name, part in self.parts.items()}

    def weights_hashes(self, *, seed: int) -> dict[str, str]:
        """Return each tower's weights hash."""
        return {name: part.weights_hash(name, seed=seed) for name, part in self.parts.items()}
