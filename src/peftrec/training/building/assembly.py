"""From settings and data to a module that can train: towers, strategy, store, user encoder."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peftrec.data.content import ItemContent
from peftrec.data.split import Split
from peftrec.errors import SettingsError
from peftrec.hidden_states.store import HiddenStateStore
from peftrec.models.item_encoder import FrozenStatesEncoder, start_xavier_normal
from peftrec.models.recommender import Recommender
from peftrec.models.towers.towers import StateReader, Towers
from peftrec.processes import ALONE, ProcessRank
from peftrec.settings.run import Settings
from peftrec.training.building.item_side import load_content_to_learn, load_trained_towers
from peftrec.training.building.stored_states import provide_store
from peftrec.training.measurement.memory import resident_bytes
from peftrec.training.module import LoopSettings, RecommenderModule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_roles
from peftrec.training.trainer import checkpoint_activations


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A model ready to train, and what building it cost."""

    module: RecommenderModule
    device: torch.device
    """Where the run trains and scores."""
    store: HiddenStateStore | None
    resident_before_model: int | None


def assemble(settings: Settings, split: Split, device: torch.device, processes: ProcessRank = ALONE) -> Assembled:
    """Build everything that a run trains; processes that train together build a store together."""
    strategy = settings.strategy
    store: HiddenStateStore | None = None
    content = ItemContent()
    if strategy.reads_content and strategy.states == "live":
        content = load_content_to_learn(settings, split.items, keep_bytes=settings.trainer.decoded_image_bytes)
    if strategy.states == "store":
        store = provide_store(settings, split.items, device, processes).placed(
            settings.hidden_states.placement, device, sharing=processes.count // processes.num_nodes
        )
        content = ItemContent(states=store if store.is_read_by_loader else None, token_counts=store.token_counts())
    resident_before_model = resident_bytes()
    module = build_module(
        settings,
        load_trained_towers(settings),
        content=content,
        log_popularity=torch.from_numpy(split.log_popularity()),
        sequence_length=split.sequence_length,
        states=store,
        processes=processes,
    )
    return Assembled(module=module, device=device, store=store, resident_before_model=resident_before_model)


def build_module(
    settings: Settings,
    towers: Towers,
    *,
    content: ItemContent,
    log_popularity: Float[Tensor, " candidate"],
    sequence_length: int,
    states: StateReader | None,
    processes: ProcessRank = ALONE,
) -> RecommenderModule:
    """Put together what trains on `towers`, or on `states` where the strategy reads a store; initialisation is a
    function of the seed."""
    snapshot = PretrainedSnapshot.of(towers)
    # Seeded here, not before loading: live and stored variants then start from the same side network.
    torch.manual_seed(settings.seed)
    item_encoder = settings.strategy.adapt(towers, embedding_dim=settings.embedding_dim, num_items=len(log_popularity))
    if settings.image_projection == "xavier_normal":
        start_xavier_normal(item_encoder.image_projection())
    if states is not None:
        if settings.strategy.stored_form == "tokens":
            item_encoder.towers.read_from(states)
        elif isinstance(item_encoder, FrozenStatesEncoder):
            item_encoder.read_from(states)
        else:
            raise SettingsError(
                f"strategy.states: {settings.strategy_name} builds a {type(item_encoder).__name__}, which reads no "
                "stored states; use states=live, or build a FrozenStatesEncoder"
            )
    if settings.trainer.gradient_checkpointing:
        checkpoint_activations(item_encoder.towers)
    recommender = Recommender(
        item_encoder,
        settings.user_encoder.build(dim=settings.embedding_dim, sequence_length=sequence_length),
        item_norm=_item_norm(settings),
    )
    objective = settings.objective.build(dim=settings.embedding_dim, num_items=len(log_popularity))
    return RecommenderModule(
        recommender,
        objective,
        parameter_roles=parameter_roles(
            recommender, item_encoder, snapshot, objective=objective, finer=settings.learning_rates.finer
        ),
        content=content,
        log_popularity=log_popularity,
        loop=LoopSettings(
            learning_rates=settings.learning_rates.by_group(settings.towers.readers),
            warmup_steps=settings.learning_rates.warmup_steps,
            decay=settings.learning_rates.decay,
            mask_history=settings.evaluation.mask_history,
            seed=settings.seed,
            accumulate_batches=settings.trainer.accumulate_batches,
            compiles=settings.trainer.compile,
            encodes_catalogue=settings.objective.competitors().kind == "catalogue",
            processes=processes,
        ),
        towers_stay_frozen=settings.strategy.keeps_towers_frozen,
    )


def _item_norm(settings: Settings) -> nn.Module | None:
    """Return the norm of item embeddings, the user encoder's or the objective's."""
    of_users, of_objective = settings.user_encoder.item_norm(), settings.objective.item_norm()
    if of_users is not None and of_objective is not None:
        raise SettingsError(
            f"objective: {type(settings.objective).__name__} gives item embeddings a norm, and so does "
            f"{type(settings.user_encoder).__name__}; leave one of them out, as by user_encoder.fix_norm=false"
        )
    return of_users or of_objective
