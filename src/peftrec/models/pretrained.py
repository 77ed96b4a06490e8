"""Loading of pretrained encoders: by hub name at a revision, by local path, or from a config with random weights."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, JsonValue
from pydantic.dataclasses import dataclass
from transformers import AutoConfig, AutoModel, AutoTokenizer, PretrainedConfig
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils.hub import cached_file

from peftrec.data.content import ImageTransform, TokenisedTitles
from peftrec.errors import SettingsError
from peftrec.models.families import family_of
from peftrec.models.towers import Modality, Tower, Towers
from peftrec.strict import STRICT

_PACKAGE = "package:"
_PUBLISHED_MEAN = (0.5, 0.5, 0.5)  # IISAN, also ViT's own processor
_WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedEncoder:
    """What both modalities share."""

    checkpoint: str | None = None
    """Hub name, local folder in Hugging Face format, or `package:` and a folder inside this package."""
    revision: str | None = None
    """Commit of the hub repository; pin it, a branch moves."""
    architecture: dict[str, JsonValue] | None = None
    """In place of a checkpoint: a transformers config (`model_type` and what differs from its defaults)."""
    random_init: bool = False
    """Random weights from the config: for measurements of cost and for tests, never for quality."""
    pooling: Literal["cls", "mean"] = "cls"
    """`cls` takes the first token's state, `mean` averages (text: over the mask; image: over the patches)."""

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.architecture is None):
            raise ValueError("give either checkpoint or architecture")
        if self.architecture is not None and not self.random_init:
            raise ValueError("architecture has no weights; set random_init=true or give a checkpoint")

    def location(self) -> str:
        """Return the checkpoint with `package:` resolved."""
        assert self.checkpoint is not None
        if self.checkpoint.startswith(_PACKAGE):
            return str(Path(__file__).parents[1] / self.checkpoint.removeprefix(_PACKAGE))
        return self.checkpoint

    def config(self, modality: Modality) -> PretrainedConfig:
        """Load or build the encoder's config."""
        if self.architecture is not None:
            arguments = dict(self.architecture)
            return AutoConfig.for_model(str(arguments.pop("model_type", None)), **arguments)
        return self._asking(
            modality, lambda: AutoConfig.from_pretrained(self.location(), revision=self.revision or "main")
        )

    def load(self, modality: Modality, *, seed: int, with_weights: bool = True) -> Tower:
        """Build the tower in eval mode and float32; without weights it has shapes only (meta device)."""
        config = self.config(modality)
        family = family_of(config, modality)
        arguments: dict[str, Any] = {"add_pooling_layer": False} if family.has_pooler else {}
        if not with_weights:
            with torch.device("meta"):
                encoder = AutoModel.from_config(config, **arguments)
        elif self.random_init:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                encoder = AutoModel.from_config(config, dtype=torch.float32, **arguments)
        else:
            encoder = self._asking(
                modality,
                lambda: AutoModel.from_pretrained(
                    self.location(),
                    revision=self.revision or "main",
                    dtype=torch.float32,
                    use_safetensors=True,
                    **arguments,
                ),
            )
        return Tower(encoder, family=family, pooling=self.pooling).eval()

    def weights_hash(self, modality: Modality, *, seed: int) -> str:
        """Hash config and weights without loading them: the files' bytes, or the seed where they are random."""
        config = self.config(modality).to_diff_dict()
        for key in ("_name_or_path", "transformers_version"):  # where it lies and who wrote it change nothing
            config.pop(key, None)
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        if self.random_init:
            digest.update(str(seed).encode())
            return digest.hexdigest()
        for file in self._asking(modality, self._weight_files):
            with Path(file).open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def _weight_files(self) -> list[str]:
        for name in _WEIGHT_FILES:
            found = cached_file(
                self.location(), name, revision=self.revision, _raise_exceptions_for_missing_entries=False
            )
            if found is None:
                continue
            if name.endswith(".safetensors"):
                return [found]
            shards = sorted(set(json.loads(Path(found).read_text())["weight_map"].values()))
            return [str(cached_file(self.location(), shard, revision=self.revision)) for shard in shards]
        raise OSError(f"{self.location()} holds neither of {', '.join(_WEIGHT_FILES)}")

    def _asking(self, modality: Modality, load: Callable[[], Any]) -> Any:
        """Run a transformers loader; its errors about missing files become one that names the key."""
        try:
            return load()
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"towers.{modality}.checkpoint: cannot load {self.checkpoint!r}"
                f"{f' at revision {self.revision}' if self.revision else ''}: {str(error).splitlines()[0]} "
                "(give a local folder in Hugging Face format with safetensors weights, or a hub name that is in the "
                "local cache or reachable)"
            ) from error


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedText(PretrainedEncoder):
    """A text encoder and how titles become tokens."""

    tokenizer: str | None = None
    """Where the tokenizer is, if not at the checkpoint (same forms)."""
    max_tokens: int = Field(default=30, ge=2)
    """Longer titles are cut; the paper uses 30."""
    lower_case: bool = True
    """Titles are lower-cased first, as in the paper."""

    def preprocessing(self) -> str:
        """Spell out what happens to a title, for the key of a hidden-state store."""
        return f"tokenizer={self.tokenizer or 'own'} max_tokens={self.max_tokens} lower_case={self.lower_case}"

    def tokenise(self, titles: Sequence[str]) -> TokenisedTitles:
        """Tokenise all titles."""
        source = self if self.tokenizer is None else PretrainedEncoder(checkpoint=self.tokenizer)
        tokenizer = self._asking(
            "text", lambda: AutoTokenizer.from_pretrained(source.location(), revision=self.revision or "main")
        )
        texts = [title.lower() if self.lower_case else title for title in titles]
        encoded = tokenizer(texts, truncation=True, max_length=self.max_tokens, padding=False)["input_ids"]
        return TokenisedTitles.from_lists(encoded, padding_id=tokenizer.pad_token_id or 0)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedImage(PretrainedEncoder):
    """An image encoder; size and normalisation come from the checkpoint's processor unless given here."""

    image_size: int | None = Field(default=None, ge=1)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def transform(self) -> ImageTransform:
        """Return how images become pixels: resized straight to what the encoder takes, so nothing is cropped away."""
        processor = self._processor()
        given = processor.get("crop_size" if processor.get("do_center_crop") else "size")
        height, width = _sides(self.image_size or given or self.config("image").image_size)
        return ImageTransform(
            height=height,
            width=width,
            mean=self.mean or tuple(processor.get("image_mean", _PUBLISHED_MEAN)),
            std=self.std or tuple(processor.get("image_std", _PUBLISHED_MEAN)),
        )

    def _processor(self) -> dict[str, Any]:
        is_given = self.image_size is not None and self.mean is not None and self.std is not None
        if self.checkpoint is None or is_given:
            return {}
        found: tuple[dict[str, Any], Any] = self._asking(
            "image",
            lambda: ImageProcessingMixin.get_image_processor_dict(self.location(), revision=self.revision or "main"),
        )
        return found[0]


def _sides(size: int | dict[str, int]) -> tuple[int, int]:
    """Return height and width; processors give a number, `height` and `width`, or `shortest_edge`."""
    if isinstance(size, int):
        return size, size
    height = size.get("height") or size["shortest_edge"]
    return height, size.get("width") or height


@dataclass(frozen=True, kw_only=True, config=STRICT)
class TowerPair:
    """The towers of a run; null leaves one out, for text only or image only."""

    text: PretrainedText | None
    image: PretrainedImage | None

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Which towers there are, image first."""
        present: dict[Modality, PretrainedEncoder | None] = {"image": self.image, "text": self.text}
        return tuple(name for name, encoder in present.items() if encoder is not None)

    def load(self, *, seed: int, with_weights: bool = True) -> Towers:
        """Build the towers; without weights they have shapes only."""
        return Towers(
            text=None if self.text is None else self.text.load("text", seed=seed, with_weights=with_weights),
            image=None if self.image is None else self.image.load("image", seed=seed, with_weights=with_weights),
        )

    def preprocessing(self) -> dict[str, str]:
        """Spell out each tower's preprocessing."""
        described = {} if self.image is None else {"image": repr(self.image.transform())}
        return described if self.text is None else {**described, "text": self.text.preprocessing()}

    def weights_hashes(self, *, seed: int) -> dict[str, str]:
        """Return each tower's weights hash."""
        encoders: dict[Modality, PretrainedEncoder | None] = {"image": self.image, "text": self.text}
        return {name: found.weights_hash(name, seed=seed) for name, found in encoders.items() if found is not None}
