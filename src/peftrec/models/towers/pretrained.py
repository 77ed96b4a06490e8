"""The towers of a run, and how titles and images become what they read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import transformers
from pydantic import Field
from pydantic.dataclasses import dataclass

from peftrec.config.strict import STRICT
from peftrec.data.content import ImageTransform, Resampling, TokenisedTitles
from peftrec.data.features import FeatureFile
from peftrec.errors import SettingsError
from peftrec.models.towers.checkpoint_files import PROCESSOR, TOKENIZER, Checkpoint
from peftrec.models.towers.encoders import fit_positions
from peftrec.models.towers.families import FAMILIES, Family
from peftrec.models.towers.image_processing import read_processor, sides, transform_of
from peftrec.models.towers.pretrained_encoder import PretrainedEncoder
from peftrec.models.towers.ready_features import ReadyFeatures
from peftrec.models.towers.towers import Modality, Tower, Towers


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedText(PretrainedEncoder):
    """A text encoder and how titles become tokens."""

    tokenizer: str | None = None
    """Where the tokenizer is, if not at the checkpoint (same forms)."""
    tokenizer_revision: str | None = None
    """Commit of the tokenizer's own repository, where `tokenizer` names one."""
    max_tokens: int = Field(default=30, ge=2)
    """Longer titles are cut; the paper uses 30."""
    lower_case: bool = True
    """Titles are lower-cased first, as in the paper."""

    def preprocessing(self) -> str:
        """Spell out what happens to a title, for the key of a hidden-state store."""
        source = self.tokenizer_files()
        tokenizer = "none" if source is None else source.tokenizer_hash()
        return f"tokenizer={tokenizer} max_tokens={self.max_tokens} lower_case={self.lower_case}"

    def tokenise(self, titles: Sequence[str]) -> TokenisedTitles:
        """Tokenise all titles.

        For an encoder that was trained so (SigLIP) they are padded to its full length, and padding counts as text.
        Raises SettingsError where there is no tokenizer, or one that does not belong to the encoder.
        """
        config = self.config("text")
        family = FAMILIES[config.model_type]
        num_positions = int(config.max_position_embeddings) - family.num_reserved_positions
        if self.max_tokens > num_positions:
            raise SettingsError(
                f"towers.text.max_tokens: {self.max_tokens} is more than the {num_positions} positions of the encoder"
            )
        tokenizer = self._load_tokenizer(family)
        texts = [title.lower() if self.lower_case else title for title in titles]
        encoded = tokenizer(texts, truncation=True, max_length=self.max_tokens, padding=False)["input_ids"]
        self._check_tokens(encoded, vocabulary=int(config.vocab_size))
        padding_id = tokenizer.pad_token_id
        if family.attends_to_padding:
            if padding_id is None:
                raise SettingsError("towers.text.tokenizer: it names no padding token, which this encoder reads")
            encoded = [ids + [padding_id] * (num_positions - len(ids)) for ids in encoded]
        return TokenisedTitles.from_lists(encoded, padding_id=padding_id or 0)

    def tokenizer_files(self) -> Checkpoint | None:
        """Return where the tokenizer's files are; null where nothing names one."""
        if self.tokenizer is not None:
            return Checkpoint(key="towers.text.tokenizer", name=self.tokenizer, revision=self.tokenizer_revision)
        return None if self.checkpoint is None else self.files("text")

    def _load_tokenizer(self, family: Family) -> Any:
        source = self.tokenizer_files()
        if source is None:
            raise SettingsError("towers.text.tokenizer: an architecture has none of its own; name one")
        folder = source.folder(TOKENIZER)
        try:
            return getattr(transformers, family.tokenizer).from_pretrained(folder)
        except (OSError, ValueError, ImportError) as error:
            raise SettingsError(f"{source.key}: cannot read the tokenizer in {folder}: {error}") from error

    def _check_tokens(self, encoded: list[list[int]], *, vocabulary: int) -> None:
        empty = next((place for place, ids in enumerate(encoded) if not ids), None)
        if empty is not None:
            raise SettingsError(
                f"towers.text.tokenizer: it gives title {empty} no token; use one that adds [CLS] or such"
            )
        highest = max((max(ids) for ids in encoded), default=0)
        if highest >= vocabulary:
            raise SettingsError(
                f"towers.text.tokenizer: it gives token {highest} and the encoder knows {vocabulary}; take another"
            )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedImage(PretrainedEncoder):
    """An image encoder; size, filter and normalisation come from the checkpoint's processor unless given here."""

    image_size: int | None = Field(default=None, ge=1)
    """Sides of the square that images are resized to straight; null does what the processor says."""
    fit: Literal["processor", "whole"] = "processor"
    """`whole` never crops: both sides are resized at once to the size that the processor ends with. A processor that
    crops (CLIP, DINOv2, DeiT) sees the middle of a poster alone."""
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    resampling: Resampling | None = None

    def load(self, modality: Modality, *, seed: int, with_weights: bool = True) -> Tower:
        tower = super().load(modality, seed=seed, with_weights=with_weights)
        if tower.family.fits_any_size:
            transform = self.transform()
            fit_positions(tower.encoder, height=transform.height, width=transform.width)
        return tower

    def transform(self) -> ImageTransform:
        """Return how images become pixels.

        Raises SettingsError where the encoder takes another size.
        """
        config = self.config("image")
        family = FAMILIES[config.model_type]
        described = transform_of(
            self._processor(),
            family.pixels,
            size=None if self.image_size is None else (self.image_size, self.image_size),
            config_size=config.image_size,
            crops=self.fit == "processor",
        )
        size, taken = (described.height, described.width), sides(config.image_size)
        if size != taken and not family.fits_any_size:
            raise SettingsError(
                f"towers.image.image_size: images come at {size[0]} x {size[1]} and the encoder takes {taken[0]} x "
                f"{taken[1]}; set towers.image.image_size={taken[0]}"
            )
        return replace(
            described,
            mean=self.mean or described.mean,
            std=self.std or described.std,
            resampling=self.resampling or described.resampling,
        )

    def preprocessing(self) -> str:
        """Spell out what happens to an image, for the key of a hidden-state store."""
        return repr(self.transform())

    def _processor(self) -> dict[str, Any]:
        is_given = self.image_size is not None and self.mean is not None and self.std is not None
        return {} if self.checkpoint is None or is_given else read_processor(self.files("image").folder(PROCESSOR))


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
    def text_encoder(self) -> PretrainedText | None:
        """What reads titles."""
        return self.text if isinstance(self.text, PretrainedText) else None

    @property
    def image_encoder(self) -> PretrainedImage | None:
        """What reads images."""
        return self.image if isinstance(self.image, PretrainedImage) else None

    def feature_files(self) -> list[FeatureFile]:
        """Return what is read in place of titles or images. Raises DataError where a file holds no features."""
        return [part.features(name) for name, part in self.parts.items() if isinstance(part, ReadyFeatures)]

    def load(self, *, seed: int, with_weights: bool = True) -> Towers:
        """Build the towers; without weights they have shapes only."""
        loaded = {name: part.load(name, seed=seed, with_weights=with_weights) for name, part in self.parts.items()}
        return Towers(text=loaded.get("text"), image=loaded.get("image"))

    def preprocessing(self) -> dict[str, str]:
        """Spell out each tower's preprocessing."""
        return {name: part.preprocessing() for name, part in self.parts.items()}

    def weights_hashes(self, *, seed: int) -> dict[str, str]:
        """Return each tower's weights hash."""
        return {name: part.weights_hash(name, seed=seed) for name, part in self.parts.items()}
