"""AdaLoRA's budget: peft's own term of the loss, the promised ranks at the end, and a state that is whole."""

from typing import Any

import pytest
import torch
from peft import AdaLoraModel
from torch import nn

from peftrec.errors import SettingsError
from peftrec.models.peft.adalora import RankAllocation
from peftrec.strategies.peft_library import PeftLibrary
from small_models import NUM_BLOCKS, SMALL_PAIRS, item_batch

PAIR, NUM_ITEMS, NUM_STEPS = SMALL_PAIRS["text_and_image"], 8, 12
NUM_MATRICES, INITIAL, FINAL = 2 * NUM_BLOCKS, 6, 2
ARGUMENTS = {"init_r": INITIAL, "target_r": FINAL, "deltaT": 2, "tinit": 2, "tfinal": 3}


class Training:
    """Steps of an AdaLoRA encoder, driven as the training loop drives them."""

    def __init__(self, *, num_steps: int = NUM_STEPS, **changes: Any) -> None:
        torch.manual_seed(0)
        strategy = PeftLibrary(method="ADALORA", arguments={**ARGUMENTS, **changes})
        self.encoder = strategy.adapt(PAIR.load(seed=1), embedding_dim=8, num_items=NUM_ITEMS)
        schedule = self.encoder.schedule
        assert isinstance(schedule, RankAllocation)
        self.schedule = schedule
        schedule.begin(num_steps=num_steps)
        trained = [parameter for parameter in self.encoder.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.1)

    def step(self, step: int) -> None:
        self.optimizer.zero_grad()
        loss = self.encoder(item_batch(NUM_ITEMS, PAIR, seed=step)).square().mean() + self.schedule.penalty()
        loss.backward()
        self.optimizer.step()
        self.schedule.after_step(step)

    def ranks(self) -> dict[str, list[int]]:
        """Count, by tower and matrix, the triplets that are left."""
        return {
            name: [int((p != 0).sum()) for key, p in tower.named_parameters() if "lora_E" in key]
            for name, tower in self.encoder.towers.present().items()
        }

    def values(self) -> dict[str, torch.Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.encoder.named_parameters()}


class WithLoss(nn.Module):
    """Stands in for a model whose output carries a loss, which is where peft adds its own term."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.config = {"model_type": "custom"}

    def forward(self) -> Any:
        class Output:
            loss = torch.zeros(())

        return Output()


def test_the_term_of_the_loss_is_peft_s_own() -> None:
    training = Training(orth_reg_weight=0.3)
    expected = torch.zeros(())
    for tuner in training.schedule._tuners.values():
        towers_forward, tuner.model.forward = tuner.model.forward, WithLoss(nn.Identity()).forward  # type: ignore[method-assign]
        expected = expected + AdaLoraModel.forward(tuner).loss
        tuner.model.forward = towers_forward  # type: ignore[method-assign]
    assert expected > 0
    torch.testing.assert_close(training.schedule.penalty(), expected)


def test_each_tower_ends_with_its_budget_and_spends_it_unevenly() -> None:
    training = Training()
    for step in range(1, NUM_STEPS + 1):
        training.step(step)
        left = training.ranks()
        if step <= 2:  # tinit
            assert all(rank == INITIAL for ranks in left.values() for rank in ranks)
        if step >= NUM_STEPS - 3:  # tfinal
            assert {name: sum(ranks) for name, ranks in left.items()} == dict.fromkeys(left, FINAL * NUM_MATRICES)
    assert any(len(set(ranks)) > 1 for ranks in left.values())


def test_without_steps_after_the_last_the_budget_is_still_met() -> None:
    training = Training(tinit=0, tfinal=0, deltaT=5)
    for step in range(1, NUM_STEPS + 1):
        training.step(step)
    assert {sum(ranks) for ranks in training.ranks().values()} == {FINAL * NUM_MATRICES}


@pytest.mark.parametrize("stop", [1, 2, 5, 8, NUM_STEPS])
def test_what_is_kept_has_the_final_budget_whenever_it_is(stop: int) -> None:
    """Also where all triplets still train (1, 2), between two allocations (5), and after the last (12)."""
    training = Training(deltaT=4)
    for step in range(1, stop + 1):
        training.step(step)
    before = training.values()
    with training.schedule.as_kept():
        assert {sum(ranks) for ranks in training.ranks().values()} == {FINAL * NUM_MATRICES}
    after = training.values()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    if stop <= 5:
        assert all(sum(ranks) > FINAL * NUM_MATRICES for ranks in training.ranks().values())


def test_looking_at_what_is_kept_changes_nothing_in_training() -> None:
    watched, alone = Training(), Training()
    for step in range(1, NUM_STEPS + 1):
        watched.step(step)
        alone.step(step)
        with watched.schedule.as_kept():
            pass
    found = watched.values()
    assert all(torch.equal(tensor, found[name]) for name, tensor in alone.values().items())


@pytest.mark.parametrize("stop", [1, 5, 10])
def test_what_it_remembers_is_its_whole_state(stop: int) -> None:
    """Also before the first allocation (1), among allocations (5), and when they are over (10)."""
    whole, resumed = Training(), Training()
    for step in range(1, stop + 1):
        whole.step(step)
    resumed.encoder.load_state_dict(whole.encoder.state_dict())
    state = whole.schedule.state_dict()
    assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
    resumed.schedule.load_state_dict(state)
    for step in range(stop + 1, NUM_STEPS + 1):
        whole.step(step)
        resumed.step(step)
    found = resumed.values()
    assert all(torch.equal(tensor, found[name]) for name, tensor in whole.values().items())


def test_what_was_kept_does_not_change_under_the_one_who_keeps_it() -> None:
    training = Training()
    training.step(1)
    state = training.schedule.state_dict()
    kept = {name: tensor.clone() for name, tensor in state.items()}
    training.step(2)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in state.items())


def test_a_step_that_overflowed_teaches_nothing() -> None:
    training = Training()
    training.step(1)
    before = training.schedule.state_dict()
    next(p for name, p in training.encoder.named_parameters() if "lora_A" in name).grad.fill_(torch.inf)  # type: ignore[union-attr]
    training.schedule.after_step(2)
    after = training.schedule.state_dict()
    of_the_other_tower = [name for name in before if not torch.equal(before[name], after[name])]
    assert len({name.split("/")[0] for name in of_the_other_tower}) == 1
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


def test_the_check_of_determinism_is_as_it_was() -> None:
    training = Training()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        training.step(1)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_run_that_is_too_short_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"tinit=2 and tfinal=3 leave none of the run's 5 steps.*max_epochs"):
        Training(num_steps=5)
    Training(num_steps=6)


def test_a_budget_that_does_not_fall_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"target_r: 6 leaves nothing to take from init_r=6; set it lower"):
        Training(target_r=INITIAL)
