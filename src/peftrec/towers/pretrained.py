"""Pretrained encoders as towers: what is made of a text or an image before an encoder reads it.

Only what a configuration says is here, and which code does it; transformers is imported when it is needed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.fields import Later
from peftrec.config.roles import Place
from peftrec.config.strict import STRICT
from peftrec.data.choices import TITLE, Resampling
from peftrec.models.towers.names import Modality, TowerName
from peftrec.towers.encoder import PretrainedEncoder

if TYPE_CHECKING:
    from peftrec.data.content import ImageTransform, TokenisedTitles
    from peftrec.data.patches import PatchTransform
    from peftrec.models.towers.checkpoint_files import Checkpoint
    from peftrec.models.towers.tower import Tower


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedText(PretrainedEncoder):
    """A text encoder and how titles become tokens."""

    reads: ClassVar[Modality] = "text"

    tokenizer: Place[str | None] = None
    """Where the tokenizer is, if not at the checkpoint (same forms)."""
    tokenizer_revision: Place[str | None] = None
    """Commit of the tokenizer's own repository, where `tokenizer` names one."""
    text: Annotated[str, Later()] = TITLE
    """Which text of an item it reads: `title`, or a further one by the name that the data has for it
    (`data.texts.NAME`). What the other keys say of titles holds for it."""
    max_tokens: int = Field(default=30, ge=2)
    """Longer titles are cut; the paper uses 30."""
    lower_case: bool = True
    """Titles are lower-cased first, as in the paper."""
    prompt: str = ""
    """Stands before every title, as it is, where the encoder was trained so (`passage: ` for E5); it counts among
    `max_tokens`."""

    @property
    def content(self) -> str:
        """Titles, or the further text."""
        return "titles" if self.text == TITLE else f"{self.text} texts"

    def preprocessing(self, name: TowerName = "text") -> str:
        """Spell out what happens to a title, for the key of a hidden-state store."""
        source = self.tokenizer_files(name)
        tokenizer = "none" if source is None else source.tokenizer_hash()
        spelled = f"tokenizer={tokenizer} max_tokens={self.max_tokens} lower_case={self.lower_case}"
        return f"{spelled} prompt={self.prompt!r}" if self.prompt else spelled

    def tokenise(self, titles: Sequence[str], name: TowerName = "text") -> "TokenisedTitles":
        """Tokenise all titles.

        For an encoder that was trained so (SigLIP) they are padded to its full length, and padding counts as text.
        Raises SettingsError where there is no tokenizer, or one that does not belong to the encoder.
        """
        from peftrec.models.towers.tokenising import tokenise

        return tokenise(
            titles,
            tower=name,
            config=self.config(name),
            files=self.tokenizer_files(name),
            max_tokens=self.max_tokens,
            lower_case=self.lower_case,
            prompt=self.prompt,
        )

    def tokenizer_files(self, name: TowerName = "text") -> "Checkpoint | None":
        """Return where the tokenizer's files are; null where nothing names one."""
        from peftrec.models.towers.checkpoint_files import Checkpoint

        if self.tokenizer is not None:
            return Checkpoint(key=f"towers.{name}.tokenizer", name=self.tokenizer, revision=self.tokenizer_revision)
        return None if self.checkpoint is None else self.files(name)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedImage(PretrainedEncoder):
    """An image encoder; size, filter and normalisation come from the checkpoint's processor unless given here."""

    reads: ClassVar[Modality] = "image"

    image_size: int | None = Field(default=None, ge=1)
    """Sides of the square that images are resized to straight; null does what the processor says. An encoder that
    leaves images their proportions (SigLIP 2 NaFlex) sees as many patches as that square has."""
    fit: Literal["processor", "whole"] = "processor"
    """`whole` never crops: both sides are resized at once to the size that the processor ends with. A processor that
    crops (CLIP, DINOv2, DeiT) sees the middle of a poster alone."""
    mean: tuple[float, float, float] | None = None
    """Mean of each colour, from 0 to 1, that is subtracted; null takes the processor's."""
    std: tuple[float, float, float] | None = None
    """What each colour is divided by after that; null takes the processor's."""
    resampling: Resampling | None = None
    """Filter for resizing; null takes the processor's."""

    @property
    def content(self) -> str:
        """Images."""
        return "images"

    def load(self, name: TowerName, *, seed: int, with_weights: bool = True) -> "Tower":
        from peftrec.data.content import ImageTransform
        from peftrec.models.towers.encoders import fit_positions

        tower = super().load(name, seed=seed, with_weights=with_weights)
        if tower.family.fits_any_size:
            transform = self.transform(name)
            assert isinstance(transform, ImageTransform), "images that keep their proportions have no one size"
            tower.image_size = transform.size
            if tower.family.has_position_table:
                fit_positions(tower.encoder, *tower.image_size)
        return tower

    def transform(self, name: TowerName = "image") -> "ImageTransform | PatchTransform":
        """Return how images become pixels.

        Raises SettingsError where the encoder takes another size.
        """
        from peftrec.models.towers.families import family_of
        from peftrec.models.towers.image_processing import transform_for

        config = self.config(name)
        described = transform_for(
            config,
            family_of(config),
            self._processor(name),
            tower=name,
            image_size=self.image_size,
            crops=self.fit == "processor",
        )
        return replace(
            described,
            mean=self.mean or described.mean,
            std=self.std or described.std,
            resampling=self.resampling or described.resampling,
        )

    def preprocessing(self, name: TowerName = "image") -> str:
        """Spell out what happens to an image, for the key of a hidden-state store."""
        return repr(self.transform(name))

    def _processor(self, name: TowerName) -> dict[str, Any]:
        from peftrec.models.towers.checkpoint_files import PROCESSOR
        from peftrec.models.towers.image_processing import read_processor

        if self.checkpoint is None or None not in (self.image_size, self.mean, self.std):
            return {}
        return read_processor(self.files(name).folder(PROCESSOR), tower=name)
