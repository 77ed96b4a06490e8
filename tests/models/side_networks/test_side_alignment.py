"""The alignment of two widths."""

import pytest
import torch

from peftrec.models.side_networks.side_alignment import StateAlignment
from peftrec.models.towers.names import Modality


@pytest.mark.parametrize(("wider", "narrower"), [("text", "image"), ("image", "text")])
def test_the_wider_states_come_to_the_narrower_width(wider: Modality, narrower: Modality) -> None:
    alignment = StateAlignment({wider: 7, narrower: 5}, num_steps=3)
    random = torch.Generator().manual_seed(0)
    states: dict[Modality, list[torch.Tensor]] = {
        wider: [torch.randn(4, 7, generator=random) for _ in range(3)],
        narrower: [torch.randn(4, 5, generator=random) for _ in range(3)],
    }
    aligned = alignment(states)
    assert aligned[narrower] is states[narrower]
    for step, (found, state) in enumerate(zip(aligned[wider], states[wider], strict=True)):
        weight, bias = (alignment.get_parameter(f"steps.{step}.{name}") for name in ("weight", "bias"))
        torch.testing.assert_close(found, state @ weight.T + bias)
    assert sum(parameter.numel() for parameter in alignment.parameters()) == 3 * (7 * 5 + 5)


def test_a_state_too_many_is_an_error() -> None:
    alignment = StateAlignment({"image": 7, "text": 5}, num_steps=2)
    with pytest.raises(ValueError, match="longer"):
        alignment({"image": [torch.zeros(1, 7)] * 3, "text": [torch.zeros(1, 5)] * 3})
