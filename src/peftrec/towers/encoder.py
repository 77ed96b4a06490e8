"""A pretrained encoder, whatever it reads: of a hub name at a revision, a local path, or a config with random weights.

Only what a configuration says is here, and which code does it; transformers is imported when it is needed.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import JsonValue
from pydantic.dataclasses import dataclass

from peftrec.config.roles import Cost, Place
from peftrec.config.strict import STRICT
from peftrec.errors import SettingsError
from peftrec.files import content_hash
from peftrec.models.towers.names import Modality, Pooling, TowerName, Weights, seed_of

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from peftrec.models.towers.checkpoint_files import Checkpoint
    from peftrec.models.towers.family import Family
    from peftrec.models.towers.sentence_modules import SaidVector
    from peftrec.models.towers.tower import Tower


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PretrainedEncoder(ABC):
    """What both modalities share. `name` is what the configuration calls the tower, which messages say."""

    reads: ClassVar[Modality]
    """Titles or images."""

    checkpoint: Place[str | None] = None
    """Hub name, local folder in Hugging Face format, or `package:` and a folder inside this package."""
    revision: Place[str | None] = None
    """Branch, tag or commit of the hub repository; null is its main branch. A branch moves, a commit of 40 digits does
    not, and is read from the cache without asking the hub."""
    architecture: dict[str, JsonValue] | None = None
    """In place of a checkpoint: a transformers config (`model_type` and what differs from its defaults)."""
    random_init: bool = False
    """Random weights from the config, by the seed and, beside `text` and `image`, the tower's name: for measurements of
    cost and for tests, never for quality."""
    pooling: Pooling | None = None
    """`cls` takes the first token's state, `last` the last token's, `mean` averages (text: over the mask; image: over
    the patches). Null takes what a checkpoint of sentence-transformers says of itself, its dense layers included; of
    others the family's own."""
    weights: Weights = "float32"
    """`int8` rounds the weights of the blocks' linear layers to whole numbers with a scale for each output, in a
    quarter of the bytes. It takes a strategy that neither trains these weights nor reads their values."""
    offload: Cost[bool] = False
    """The weights of the blocks stay in the checkpoint's files, and each block has its own while it runs: for an
    encoder that is larger than the memory, and a strategy that reads pooled states from a store. Each batch of items
    then reads all of them: take a large `hidden_states.batch_size`."""

    def __post_init__(self) -> None:
        if (self.checkpoint is None) == (self.architecture is None):
            raise ValueError("give either checkpoint or architecture")
        if self.architecture is not None and not self.random_init:
            raise ValueError("architecture has no weights; set random_init=true or give a checkpoint")
        if self.offload and (self.random_init or self.weights != "float32"):
            raise ValueError("offload reads a checkpoint's own weights: leave out random_init and weights, or offload")

    @property
    @abstractmethod
    def content(self) -> str:
        """What it reads, in words."""

    def origin(self) -> str:
        """Say where the weights come from, and whether they were rounded since."""
        source = self.checkpoint or f"random {(self.architecture or {}).get('model_type')}"
        return source if self.weights == "float32" else f"{source} in {self.weights}"

    def commit(self, name: TowerName) -> str | None:
        """Return the commit on the hub that the weights are of; null for local folders and random weights."""
        return None if self.checkpoint is None else self.files(name).commit()

    def files(self, name: TowerName) -> "Checkpoint":
        """Return where the checkpoint's files are."""
        from peftrec.models.towers.checkpoint_files import Checkpoint

        assert self.checkpoint is not None
        return Checkpoint(key=self._key(name), name=self.checkpoint, revision=self.revision)

    def config(self, name: TowerName) -> "PretrainedConfig":
        """Load or build the encoder's config; SettingsError where it is of no supported family, or what no encoder can
        have."""
        from peftrec.models.towers.checkpoint_files import CONFIG
        from peftrec.models.towers.configs import config_in, config_of

        key = self._key(name)
        if self.architecture is not None:
            return config_of(self.architecture, self.reads, key=key)
        return config_in(self.files(name).folder(CONFIG), self.reads, key=key)

    def _key(self, name: TowerName) -> str:
        return f"towers.{name}.{'architecture' if self.checkpoint is None else 'checkpoint'}"

    def draws_in_training(self, name: TowerName) -> bool:
        """Say whether the encoder's config has any dropout; SettingsError where it cannot be read."""
        config = self.config(name).to_dict()
        return any("drop" in key and isinstance(value, float) and value > 0 for key, value in config.items())

    def load(self, name: TowerName, *, seed: int, with_weights: bool = True) -> "Tower":
        """Build the tower in eval mode, in float32 and what `weights` says; without weights it has shapes only (meta
        device).

        Raises SettingsError where it cannot be built, or encodes no item to finite numbers.
        """
        from peftrec.models.towers.encoders import pretrained_encoder, random_encoder, shaped_encoder
        from peftrec.models.towers.families import family_of
        from peftrec.models.towers.first_item import check_encodes
        from peftrec.models.towers.offloading import offloaded_encoder
        from peftrec.models.towers.quantised_weights import quantise
        from peftrec.models.towers.tower import Tower

        config, key = self.config(name), self._key(name)
        family = family_of(config)
        pooling = self._pooling(family, name)
        if not with_weights:
            encoder = shaped_encoder(config, family, key=key)
        elif self.random_init:
            encoder = random_encoder(config, family, seed=seed_of(name, seed), key=key)
        elif self.offload:
            encoder = offloaded_encoder(self.files(name).weight_files(), config, family, key=key)
        else:
            encoder = pretrained_encoder(self.files(name).weight_files(), config, family, key=key)
        dense = self.said(name).build(
            config.hidden_size, seed_of(name, seed), is_drawn=self.random_init, has_values=with_weights
        )
        tower = Tower(encoder, family=family, pooling=pooling, dense=dense, name=name).eval()
        tower.requires_grad_(not self.offload)
        if self.weights == "int8":
            quantise(tower.blocks())
        if with_weights:
            check_encodes(tower, key=key)
        return tower

    def weights_hash(self, name: TowerName, *, seed: int) -> str:
        """Hash config and weights without loading them: the files' bytes, or the seed where they are random; and how
        they are kept."""
        config = self.config(name).to_diff_dict()
        for key in ("_name_or_path", "transformers_version"):  # where it lies and who wrote it change nothing
            config.pop(key, None)
        digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
        if self.weights != "float32":
            digest.update(self.weights.encode())
        said = self.said(name)
        digest.update(said.words().encode())  # of most checkpoints nothing
        if self.random_init:
            digest.update(str(seed_of(name, seed)).encode())
            return digest.hexdigest()
        for file in (*self.files(name).weight_files(), *said.weight_files()):
            digest.update(content_hash(file))
        return digest.hexdigest()

    def num_blocks(self, name: TowerName) -> int:
        """Return how many blocks the encoder has, from its config alone."""
        return int(self.config(name).num_hidden_layers)

    def pooling_of(self, name: TowerName) -> Pooling:
        """Return how states become one vector: as configured, as the checkpoint says, or the family's own way."""
        from peftrec.models.towers.families import family_of

        return self._pooling(family_of(self.config(name)), name)

    def _pooling(self, family: "Family", name: TowerName) -> Pooling:
        pooling = self.pooling or self.said(name).pooling or family.poolings[0]
        if pooling not in family.poolings:
            raise SettingsError(
                f"towers.{name}.pooling: a {family.model} has no {pooling}; it has {', '.join(family.poolings)}"
            )
        return pooling

    def said(self, name: TowerName) -> "SaidVector":
        """Return what a text encoder's checkpoint says of how states become a vector, where `pooling` does not."""
        from peftrec.models.towers.checkpoint_files import CONFIG
        from peftrec.models.towers.sentence_modules import SaidVector, said_in

        is_asked = self.reads == "text" and self.checkpoint is not None and self.pooling is None
        return said_in(self.files(name).folder(CONFIG), key=self._key(name)) if is_asked else SaidVector()
