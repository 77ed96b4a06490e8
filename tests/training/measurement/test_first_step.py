"""The first-step check finds what is wired wrongly, and counts exactly."""

import pytest
import torch
from torch import nn

from peftrec.data.batches import SequenceBatch
from peftrec.data.content import ItemContent
from peftrec.models.item_encoder import TowerItemEncoder
from peftrec.models.objectives.debiased_cross_entropy import DebiasedCrossEntropyLoss
from peftrec.models.recommender import Recommender
from peftrec.training.measurement.first_step import AdaptationError, check_gradients, check_modes, probe_step
from peftrec.training.module import LoopSettings, RecommenderModule
from peftrec.training.parameter_groups import PretrainedSnapshot, parameter_roles
from peftrec.user_encoders.sasrec import SASRec
from small_models import SMALL_PAIRS, sequence_batch

PAIR = SMALL_PAIRS["text_only"]


def build() -> RecommenderModule:
    towers = PAIR.load(seed=0)
    snapshot = PretrainedSnapshot.of(towers)
    encoder = TowerItemEncoder(towers, embedding_dim=8)
    recommender = Recommender(encoder, SASRec().build(dim=8, sequence_length=4))
    module = RecommenderModule(
        recommender,
        DebiasedCrossEntropyLoss(),
        parameter_roles=parameter_roles(recommender, encoder, snapshot),
        content=ItemContent(),
        log_popularity=torch.zeros(12),
        loop=LoopSettings(learning_rates={"text": 1.0, "recommender": 1.0}, mask_history="all", seed=0),
        towers_stay_frozen=False,
    )
    module.set_training_modes()
    return module


def test_a_parameter_that_no_loss_reaches_is_found() -> None:
    module = build()
    module.recommender.user_encoder.register_parameter("unused", nn.Parameter(torch.zeros(2)))
    with pytest.raises(AdaptationError, match=r"got no gradient: recommender\.user_encoder\.unused"):
        probe_step(module, sequence_batch(PAIR))


def test_a_frozen_parameter_with_a_gradient_is_found() -> None:
    module = build()
    module.loss(sequence_batch(PAIR)).backward()
    next(module.parameters()).requires_grad_(False)
    with pytest.raises(AdaptationError, match="frozen parameters got a gradient"):
        check_gradients(module)


@pytest.mark.parametrize(("towers_stay_frozen", "mode"), [(False, "eval"), (True, "train")])
def test_a_tower_in_the_wrong_mode_is_found(towers_stay_frozen: bool, mode: str) -> None:
    """from_pretrained leaves towers in eval mode, and Lightning keeps what it finds."""
    module = build()
    module.towers_stay_frozen = towers_stay_frozen
    module.recommender.item_encoder.towers.train(mode == "train")
    with pytest.raises(AdaptationError, match=f"towers is in {mode} mode"):
        check_modes(module)


def test_the_probe_is_deterministic() -> None:
    batch = sequence_batch(PAIR)
    assert probe_step(build(), batch) == probe_step(build(), batch)


def test_freezing_saves_gradients_and_saved_tensors() -> None:
    batch = sequence_batch(PAIR)
    whole, frozen = build(), build()
    frozen.recommender.item_encoder.towers.requires_grad_(False)
    costly, cheap = probe_step(whole, batch), probe_step(frozen, batch)
    tower_bytes = 4 * sum(parameter.numel() for parameter in frozen.recommender.item_encoder.towers.parameters())
    assert costly.gradient_bytes - cheap.gradient_bytes == tower_bytes
    assert cheap.saved_bytes < costly.saved_bytes
    assert cheap.operations < costly.operations


def test_saved_bytes_of_a_linear_layer_are_its_input() -> None:
    """The count is of tensors kept for backward, without the parameters that exist anyway."""
    layer, states = nn.Linear(3, 5), torch.randn(7, 3)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        layer(states).sum().backward()
    outside = [tensor for tensor in kept if tensor.untyped_storage().data_ptr() != layer.weight.data_ptr()]
    assert sum(tensor.untyped_storage().nbytes() for tensor in outside) == 7 * 3 * 4


def test_what_is_computed_in_vain_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """DoRA's norms have a graph that is dropped at once; no backward pass reads what it saved."""
    module, batch = build(), sequence_batch(PAIR)
    expected = probe_step(module, batch).saved_bytes
    original = module.loss

    def loss_after_work_in_vain(batch: SequenceBatch) -> torch.Tensor:
        layer = nn.Linear(100, 100)
        nn.functional.gelu(layer(torch.randn(50, 100))).sum().detach()
        return original(batch)

    monkeypatch.setattr(module, "loss", loss_after_work_in_vain)
    assert probe_step(module, batch).saved_bytes == expected
