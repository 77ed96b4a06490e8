"""A pretrained encoder: by hub name at a revision, by local path, or from a config with random weights."""

import hashlib
import json
from dataclasses import fields
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from pydantic import JsonValue
from pydantic.dataclasses import dataclass
from transformers import AutoConfig, PretrainedConfig

from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.models.towers.checkpoint_files import CONFIG, WEIGHTS, Checkpoint
from peftrec.models.towers.encoders import pretrained_encoder, random_encoder, shaped_encoder
from peftrec.models.towers.families import FAMILIES, Family, Pooling, check_model_type, encoder_config
from peftrec.models.towers.towers import Modality, Tower


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedEncoder:
    """What both modalities share."""

    checkpoint: str | None = None
    """Hub name, local folder in Hugging Face format, or `package:` and a folder inside this package."""
    revision: str | None = None
    """Branch, tag or commit of the hub repository; null is its main branch. A branch moves, a commit of 40 digits does
    not, and is read from the cache without asking the hub."""
    architecture: dict[str, JsonValue] | None = None
    """In place of a checkpoint: a transformers config (`model_type` and what differs from its defaults)."""
    random_init: bool = False
    """Random weights from the config: for measurements of cost and for tests, never for quality."""
    pooling: Pooling | None = None
    """`cls` takes the first token's state, `last` the last token's, `mean` averages (text: over the mask; image: over
    the patches). Null takes the family's own."""

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.architecture is None):
            raise ValueError("give either checkpoint or architecture")
        if self.architecture is not None and not self.random_init:
            raise ValueError("architecture has no weights; set random_init=true or give a checkpoint")

    def origin(self) -> str:
        """Say where the weights come from."""
        return self.checkpoint or f"random {(self.architecture or {}).get('model_type')}"

    def commit(self, modality: Modality) -> str | None:
        """Return the commit on the hub that the weights are of; null for local folders and random weights."""
        return None if self.checkpoint is None else self.files(modality).commit()

    def files(self, modality: Modality) -> Checkpoint:
        """Return where the checkpoint's files are."""
        assert self.checkpoint is not None
        return Checkpoint(key=f"towers.{modality}.checkpoint", name=self.checkpoint, revision=self.revision)

    def config(self, modality: Modality) -> PretrainedConfig:
        """Load or build the encoder's config; SettingsError where it is of no supported family."""
        try:
            if self.architecture is not None:
                config = _config_of(dict(self.architecture), modality)
            else:
                folder = self.files(modality).folder(CONFIG)
                content = json.loads((folder / "config.json").read_text())
                check_model_type(str(content.get("model_type")), modality)
                config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        except (OSError, ValueError, TypeError, StrictDataclassError) as error:
            place = "architecture" if self.checkpoint is None else "checkpoint"
            reason = " ".join(str(error).split())
            raise SettingsError(f"towers.{modality}.{place}: its config cannot be read: {reason}") from error
        return encoder_config(config, modality)

    def load(self, modality: Modality, *, seed: int, with_weights: bool = True) -> Tower:
        """Build the tower in eval mode and float32; without weights it has shapes only (meta device)."""
        config = self.config(modality)
        family = FAMILIES[config.model_type]
        pooling = self._pooling(family)
        if not with_weights:
            encoder = shaped_encoder(config, family)
        elif self.random_init:
            encoder = random_encoder(config, family, seed=seed)
        else:
            files = self.files(modality)
            encoder = pretrained_encoder(files.folder(WEIGHTS), config, family, key=files.key)
        return Tower(encoder, family=family, pooling=pooling).eval()

    def weights_hash(self, modality: Modality, *, seed: int) -> str:
        """Hash config and weights without loading them: the files' bytes, or the seed where they are random."""
        config = self.config(modality).to_diff_dict()
        for key in ("_name_or_path", "transformers_version"):  # where it lies and who wrote it change nothing
            config.pop(key, None)
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        if self.random_init:
            digest.update(str(seed).encode())
            return digest.hexdigest()
        for file in self.files(modality).weight_files():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()

    def _pooling(self, family: Family) -> Pooling:
        if self.pooling is None:
            return family.poolings[0]
        if self.pooling not in family.poolings:
            raise SettingsError(
                f"towers.{family.modality}.pooling: a {family.model} has no {self.pooling}; it has "
                f"{', '.join(family.poolings)}"
            )
        return self.pooling


def _config_of(architecture: dict[str, Any], modality: Modality) -> PretrainedConfig:
    """Build a config; SettingsError for a key that its class does not have, which transformers would keep unread."""
    model_type = str(architecture.pop("model_type", None))
    check_model_type(model_type, modality)
    config = AutoConfig.for_model(model_type, **architecture)
    known = {field.name for field in fields(config)} | set(config.attribute_map)
    if unknown := sorted(set(architecture) - known):
        raise SettingsError(
            f"towers.{modality}.architecture: {', '.join(unknown)} is no key of {type(config).__name__}; correct it"
        )
    return config
