"""The loop's own laws, which no part that it trains can change."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from peftrec.errors import CheckpointError
from peftrec.settings.composition import compose_settings
from peftrec.testing.small_towers import SMALL_PAIRS, sequence_batch
from peftrec.testing.steps import build, copies, moved, small


@pytest.mark.parametrize("pair", SMALL_PAIRS)
def test_a_checkpoint_of_another_configuration_is_refused(pair: str) -> None:
    module = build(small(compose_settings(["strategy=lora"]), SMALL_PAIRS[pair]))
    before, names = copies(module), module.trainable_names()
    state = {name: tensor for name, tensor in module.state_dict().items() if name in names}
    with pytest.raises(CheckpointError, match="1 trainable tensors are missing"):
        module.load_state_dict(dict(list(state.items())[1:]))
    with pytest.raises(CheckpointError, match="1 are not known"):
        module.load_state_dict({**state, "recommender.stranger": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="another configuration"):
        module.load_state_dict({**state, next(iter(state)): torch.zeros(3, 5, 7)})
    assert not moved(module, before)


def test_an_epoch_is_scored_and_kept_in_the_state_that_the_adaptation_keeps() -> None:
    """AdaLoRA trains more triplets than its budget; a checkpoint to score with has no more, one to resume from all."""
    ranks = {"init_r": 4, "target_r": 1, "deltaT": 100}
    words = [f"strategy.arguments.{name}={value}" for name, value in ranks.items()]
    pair = SMALL_PAIRS["text_and_image"]
    module = build(small(compose_settings(["strategy=adalora", *words]), pair))
    assert module.adaptation is not None
    module.adaptation.begin(num_steps=50)
    seen: list[int] = []
    module.encode_catalogue = lambda: seen.append(triplets(dict(module.named_parameters())))  # type: ignore[method-assign, assignment, func-returns-value]
    optimizer = module.configure_optimizers()
    for step in (1, 2, 3):
        module.loss(sequence_batch(pair)).backward()
        optimizer.step()
        module.adaptation.after_step(step)
        optimizer.zero_grad()
    matrices = sum("lora_E" in name for name, _ in module.named_parameters())
    module.on_validation_epoch_start()
    kept: dict[str, Any] = {"state_dict": module.state_dict()}
    whole: dict[str, Any] = {"state_dict": module.state_dict(), "optimizer_states": []}
    for checkpoint in (kept, whole):
        module.on_save_checkpoint(checkpoint)
    assert seen == [matrices] == [triplets(kept["state_dict"])]
    assert triplets(whole["state_dict"]) == triplets(dict(module.named_parameters())) > 2 * matrices


def triplets(tensors: Mapping[str, torch.Tensor]) -> int:
    return sum(int((tensor != 0).sum()) for name, tensor in tensors.items() if "lora_E" in name)
