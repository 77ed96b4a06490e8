"""From settings and data to a module that can train: towers, strategy, store, user encoder."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from peftrec.data.content import ItemContent
from peftrec.data.feature_screening import attach_features
from peftrec.data.source import Catalogue
from peftrec.data.split import Split, split_catalogue
from peftrec.hidden_states.store import HiddenStateStore
from peftrec.models.item_encoder import FrozenStatesEncoder, StateReader
from peftrec.models.recommender import Recommender
from peftrec.models.towers.towers import Towers
from peftrec.processes import Processes
from peftrec.settings.run import Settings
from peftrec.training.building.item_side import build_encoder, load_content, load_towers
from peftrec.training.building.stored_states import provide_store
from peftrec.training.measurement.memory import resident_bytes
from peftrec.training.module import RecommenderModule, Schedule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_fates
from peftrec.training.trainer import checkpoint_activations


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A model ready to train, and what building it cost."""

    module: RecommenderModule
    store: HiddenStateStore | None
    resident_before_model: int | None


def prepare_data(settings: Settings) -> Split:
    """Read and split the data."""
    return split_catalogue(read_catalogue(settings), settings.data)


def read_catalogue(settings: Settings) -> Catalogue:
    """Read the data. All strategies read the modalities of the towers, so that policies drop the same items for each
    and all rank the same candidates."""
    towers = settings.towers
    features = towers.feature_files()
    catalogue = settings.data.read(text=towers.text_encoder is not None, images=towers.image_encoder is not None)
    return attach_features(catalogue, settings.data, features)


def assemble(settings: Settings, split: Split, device: torch.device, processes: Processes | None = None) -> Assembled:
    """Build everything that a run trains; initialisation is a function of the seed. Processes that train together
    build a store together."""
    strategy = settings.strategy
    store: HiddenStateStore | None = None
    content = ItemContent()
    reads_live = strategy.reads_content and strategy.states == "live"
    if reads_live:
        content = load_content(settings, split.items, keep_bytes=settings.trainer.decoded_image_bytes)
    if strategy.states == "store":
        processes = processes or Processes()
        store = provide_store(settings, split.items, device, processes).placed(
            settings.hidden_states.placement, device, sharing=processes.count // processes.num_nodes
        )
        content = ItemContent(states=store if store.is_read_by_loader else None)
    resident_before_model = resident_bytes()
    module = build_module(
        settings,
        load_towers(settings, with_weights=reads_live),
        content=content,
        log_popularity=torch.from_numpy(split.log_popularity()),
        sequence_length=split.sequence_length,
        states=store,
    )
    return Assembled(module=module, store=store, resident_before_model=resident_before_model)


def build_module(
    settings: Settings,
    towers: Towers,
    *,
    content: ItemContent,
    log_popularity: Float[Tensor, " candidate"],
    sequence_length: int,
    states: StateReader | None,
) -> RecommenderModule:
    """Put together what trains on `towers`, or on `states` where the strategy reads a store."""
    snapshot = PretrainedSnapshot.of(towers)
    item_encoder = build_encoder(settings, towers, num_items=len(log_popularity))
    if isinstance(item_encoder, FrozenStatesEncoder) and states is not None:
        item_encoder.read_from(states)
    if settings.trainer.gradient_checkpointing:
        checkpoint_activations(item_encoder.towers)
    recommender = Recommender(
        item_encoder,
        settings.user_encoder.build(dim=settings.embedding_dim, sequence_length=sequence_length),
        item_norm=settings.user_encoder.item_norm(),
    )
    return RecommenderModule(
        recommender,
        settings.objective,
        fates=parameter_fates(recommender, item_encoder, snapshot),
        content=content,
        log_popularity=log_popularity,
        schedule=Schedule(
            learning_rates={
                "text": settings.learning_rates.text,
                "image": settings.learning_rates.image,
                "introduced": settings.learning_rates.introduced,
                "recommender": settings.learning_rates.recommender,
            },
            warmup_steps=settings.learning_rates.warmup_steps,
            decay=settings.learning_rates.decay,
            mask_history=settings.evaluation.mask_history,
            seed=settings.seed,
            accumulate_batches=settings.trainer.accumulate_batches,
            compiles=settings.trainer.compile,
        ),
        towers_stay_frozen=settings.strategy.reads_frozen_towers,
    )
