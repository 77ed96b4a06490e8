"""This project's models for the same work, assembled as a run assembles them."""

import torch
from torch import Tensor

from peftrec.data.batches import SequenceBatch
from peftrec.data.content import ItemContent
from peftrec.hidden_states.placement import StateRows
from peftrec.hidden_states.rows import RowsInMemory
from peftrec.models.item_encoder import FrozenStatesEncoder
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.recommender import Recommender
from peftrec.models.towers.names import Modality
from peftrec.models.towers.towers import Towers
from peftrec.strategies.base import Strategy
from peftrec.strategies.id import IdEmbedding
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText
from peftrec.training.module import LoopSettings, RecommenderModule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_roles
from peftrec.user_encoders.sasrec import SASRec
from published.workload import Shape, Workload

DIM = 64


def towers_of(shape: Shape) -> TowerPair:
    """Return random towers of the shape."""
    depth = {"num_hidden_layers": shape.num_blocks}
    return TowerPair(
        text=PretrainedText(
            architecture={"model_type": "bert", "vocab_size": shape.vocabulary, **depth}, random_init=True
        ),
        image=PretrainedImage(
            architecture={"model_type": "vit", "image_size": shape.image_size, **depth}, random_init=True
        ),
    )


def paper_towers() -> TowerPair:
    """Return BERT-base and ViT-B/16, whose 13 states the published cached code takes for granted at every shape."""
    return TowerPair(
        text=PretrainedText(architecture={"model_type": "bert"}, random_init=True),
        image=PretrainedImage(architecture={"model_type": "vit"}, random_init=True),
    )


def assemble(strategy: Strategy, pair: TowerPair, work: Workload) -> RecommenderModule:
    """Build the module of a strategy; one that reads stored states still needs its reader."""
    towers = pair.load(seed=0, with_weights=strategy.states == "live") if strategy.reads_content else Towers()
    snapshot = PretrainedSnapshot.of(towers)
    encoder = strategy.adapt(towers, embedding_dim=DIM, num_items=work.num_items)
    user_encoder = SASRec().build(dim=DIM, sequence_length=work.split.sequence_length)
    recommender = Recommender(encoder, user_encoder)
    return RecommenderModule(
        recommender,
        DebiasedCrossEntropyLoss(),
        parameter_roles=parameter_roles(recommender, encoder, snapshot),
        content=ItemContent(),
        log_popularity=torch.from_numpy(work.split.log_popularity()),
        loop=LoopSettings(
            learning_rates=dict.fromkeys(("text", "image", "introduced", "recommender"), 1e-4),
            mask_history="all",
            seed=0,
        ),
        towers_stay_frozen=strategy.keeps_towers_frozen,
    )


def over_stored_states(strategy: Strategy, work: Workload, states: dict[str, Tensor]) -> RecommenderModule:
    """Build a strategy of the paper's towers over the states of all 12 blocks; it gets a copy of those it reads."""
    module = assemble(strategy, paper_towers(), work)
    encoder = module.recommender.item_encoder
    assert isinstance(encoder, FrozenStatesEncoder)
    rows = {name: RowsInMemory(states[name][:, list(chosen)]) for name, chosen in encoder.indices.items()}
    encoder.read_from(GivenStates(rows, next(iter(states.values())).device))
    return module


class GivenStates:
    """Stands in for a store: the same gather, to the same place."""

    def __init__(self, rows: dict[Modality, StateRows], device: torch.device) -> None:
        self.rows = rows
        self.device = device
        self.scales: dict[Modality, Tensor] = {}

    def read(self, items: Tensor) -> dict[Modality, Tensor]:
        """Gather the items' states."""
        return {name: rows.gather(items).to(self.device).float() for name, rows in self.rows.items()}


def over_given_embeddings(work: Workload, embeddings: Tensor) -> RecommenderModule:
    """Build a module whose items have these embeddings: what is left is the user encoder and ranking."""
    module = assemble(IdEmbedding(), TowerPair(text=None, image=None), work)
    with torch.no_grad():
        module.recommender.item_encoder.table.weight.copy_(embeddings)
    return module


class Training:
    """Our step: fused Adam; under autocast to bfloat16 on CUDA, and where `in_bfloat16` says so."""

    def __init__(
        self, module: RecommenderModule, device: torch.device, *, in_bfloat16: bool = False, is_compiled: bool = False
    ) -> None:
        self.autocasts = in_bfloat16 or device.type == "cuda"
        self.module = module.to(device)
        module.set_training_modes()
        if is_compiled:
            module.compile_encoders()
        self.device = device
        self.optimizer = module.configure_optimizers()

    def step(self, batch: SequenceBatch) -> None:
        """Train on one batch."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocasts):
            loss = self.module.loss(batch)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def copy_user_encoder(theirs: torch.nn.Module, ours: torch.nn.Module) -> None:
    """Give our SASRec the weights of the published user encoder."""
    layers = {
        "multi_head_attention.w_Q": "attention.query",
        "multi_head_attention.w_K": "attention.key",
        "multi_head_attention.w_V": "attention.value",
        "multi_head_attention.fc": "attention.out",
        "multi_head_attention.layer_norm": "attention.layer_norm",
        "feed_forward.w_1": "feed_forward.up",
        "feed_forward.w_2": "feed_forward.down",
        "feed_forward.layer_norm": "feed_forward.layer_norm",
    }
    renamed: dict[str, Tensor] = {}
    for name, tensor in theirs.state_dict().items():
        new = name.removeprefix("transformer_encoder.").replace("transformer_blocks", "blocks")
        for published, own in layers.items():
            new = new.replace(f".{published}.", f".{own}.")
        renamed[new] = tensor
    ours.load_state_dict(renamed, strict=True)
