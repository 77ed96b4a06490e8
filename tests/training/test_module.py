"""The loop's own laws, which no part that it trains can change."""

import pytest
import torch

from peftrec.errors import CheckpointError
from peftrec.settings.composition import compose_settings
from peftrec.testing.small_towers import SMALL_PAIRS
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
