"""From settings and data to a module that can train: towers, strategy, store, user encoder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from peftrec.data.content import ItemContent, Pixels
from peftrec.data.fingerprint import content_hashes, hash_lines
from peftrec.data.items import Items
from peftrec.data.split import Split, split_catalogue
from peftrec.errors import DataError, SettingsError
from peftrec.evaluation.ranking import users_per_block
from peftrec.hidden_states.building import build_store
from peftrec.hidden_states.store import HiddenStateStore, StoreKey, TowerKey, open_store
from peftrec.models.item_encoder import FrozenStatesEncoder, ItemEncoder
from peftrec.models.recommender import Recommender
from peftrec.models.towers import Towers
from peftrec.settings import Settings
from peftrec.training.memory import resident_bytes
from peftrec.training.module import RecommenderModule, Schedule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_fates


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A model ready to train, and what building it cost."""

    module: RecommenderModule
    store: HiddenStateStore | None
    resident_before_model: int | None


def prepare_data(settings: Settings) -> Split:
    """Read and split the data. All strategies read the modalities of the towers, so that policies drop the same items
    for each and all rank the same candidates."""
    modalities = settings.towers.modalities
    catalogue = settings.data.read(text="text" in modalities, images="image" in modalities)
    return split_catalogue(catalogue, settings.data)


def resolve_device(accelerator: str) -> torch.device:
    """Return the device that `trainer.accelerator` means here; SettingsError where there is none."""
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return torch.device("mps", 0)
    if accelerator in ("auto", "cpu"):
        return torch.device("cpu")
    raise SettingsError(f"trainer.accelerator: there is no {accelerator} here; set trainer.accelerator=cpu")


def load_content(settings: Settings, items: Items) -> ItemContent:
    """Tokenise titles and prepare images for the towers there are."""
    text, image = settings.towers.text, settings.towers.image
    if (text is not None and items.titles is None) or (image is not None and items.images is None):
        lacking = "text" if items.titles is None else "image"
        raise DataError(f"the data holds no {lacking}s for the {lacking} tower; set towers.{lacking}=null")
    return ItemContent(
        titles=None if text is None or items.titles is None else text.tokenise(items.titles),
        pixels=(
            None
            if image is None or items.images is None
            else Pixels(items.images, image.transform(), keep_bytes=settings.trainer.decoded_image_bytes)
        ),
    )


def assemble(settings: Settings, split: Split, device: torch.device) -> Assembled:
    """Build everything that a run trains; initialisation is a function of the seed."""
    strategy = settings.strategy
    store: HiddenStateStore | None = None
    content = ItemContent()
    reads_live = strategy.reads_content and strategy.states == "live"
    if reads_live:
        content = load_content(settings, split.items)
    if strategy.states == "store":
        store = provide_store(settings, split, device)
    resident_before_model = resident_bytes()
    towers = _towers(settings, with_weights=reads_live)
    snapshot = PretrainedSnapshot.of(towers)
    item_encoder = _adapt(settings, towers, num_items=len(split.items))
    if isinstance(item_encoder, FrozenStatesEncoder) and store is not None:
        item_encoder.read_from(store.to(device))
    recommender = Recommender(
        item_encoder,
        settings.user_encoder.build(dim=settings.embedding_dim, sequence_length=split.sequence_length),
    )
    module = RecommenderModule(
        recommender,
        settings.objective,
        fates=parameter_fates(recommender, item_encoder, snapshot),
        content=content,
        log_popularity=torch.from_numpy(split.log_popularity()),
        schedule=Schedule(
            learning_rates={
                "text": settings.learning_rates.text,
                "image": settings.learning_rates.image,
                "introduced": settings.learning_rates.introduced,
                "recommender": settings.learning_rates.recommender,
            },
            mask_history=settings.evaluation.mask_history,
            seed=settings.seed,
        ),
        towers_stay_frozen=strategy.reads_frozen_towers,
    )
    return Assembled(module=module, store=store, resident_before_model=resident_before_model)


def _towers(settings: Settings, *, with_weights: bool) -> Towers:
    if not settings.strategy.reads_content:
        return Towers()
    return settings.towers.load(seed=settings.seed, with_weights=with_weights)


def _adapt(settings: Settings, towers: Towers, *, num_items: int) -> ItemEncoder:
    # Seeded here, not before loading: live and stored variants then start from the same side network.
    torch.manual_seed(settings.seed)
    return settings.strategy.adapt(towers, embedding_dim=settings.embedding_dim, num_items=num_items)


def provide_store(settings: Settings, split: Split, device: torch.device) -> HiddenStateStore:
    """Open the store that this run reads, and build it first where it does not exist."""
    encoder = _adapt(settings, _towers(settings, with_weights=False), num_items=len(split.items))
    if not isinstance(encoder, FrozenStatesEncoder):
        raise SettingsError(f"strategy.states: {settings.strategy_name} reads no hidden states; use states=live")
    key = store_key(settings, split.items, encoder)
    folder = Path(settings.hidden_states.directory) / key.folder_name()
    if folder.exists():
        return open_store(folder, key)
    return build_store(
        folder.parent,
        key,
        settings.towers.load(seed=settings.seed).to(device),
        load_content(settings, split.items),
        num_items=len(split.items),
        batch_size=settings.hidden_states.batch_size,
    )


def store_key(settings: Settings, items: Items, encoder: FrozenStatesEncoder) -> StoreKey:
    """Describe the store that an encoder reads."""
    weights = settings.towers.weights_hashes(seed=settings.seed)
    contents = content_hashes(items)
    preprocessing = settings.towers.preprocessing()
    return StoreKey(
        items=hash_lines(items.ids),
        dtype=settings.hidden_states.dtype,
        towers={
            name: TowerKey(
                weights=weights[name],
                content=contents[name],
                preprocessing=preprocessing[name],
                pooling=tower.pooling,
                states=encoder.indices[name],
            )
            for name, tower in encoder.towers.present().items()
        },
    )


def evaluation_block(settings: Settings, split: Split) -> int:
    """Return how many users are ranked at once."""
    return int(np.clip(users_per_block(len(split.items), settings.evaluation.max_score_bytes), 1, 4096))
