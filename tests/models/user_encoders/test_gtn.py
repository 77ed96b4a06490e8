"""What makes GTN causal: a state is what the encoder would say if the history ended there; its size; bad settings."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from peftrec.errors import SettingsError
from peftrec.models.user_encoders.gtn import histories_until
from peftrec.user_encoders.gtn import GTN

DIM, LENGTH, USERS = 6, 7, 5


def encoder(**settings: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GTN(channel_width=4, **settings).build(dim=DIM, sequence_length=LENGTH).eval()


def inputs() -> tuple[Tensor, Tensor]:
    """Random histories with 1 to LENGTH items, padded on the left with what must not be read."""
    embeddings = torch.randn(USERS, LENGTH, DIM, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(LENGTH) >= LENGTH - torch.tensor([1, 3, LENGTH, 5, 2])[:, None]
    return embeddings.masked_fill(~mask[..., None], torch.nan), mask


def test_histories_by_hand() -> None:
    series = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])
    expected = [
        [[0, 0, 1], [0, 0, 10]],
        [[0, 1, 2], [0, 10, 20]],
        [[1, 2, 3], [10, 20, 30]],
    ]
    torch.testing.assert_close(histories_until(series, 3), torch.tensor([expected], dtype=torch.float32))


@torch.no_grad()
@pytest.mark.parametrize("gate_bias", [None, (50.0, 0.0), (0.0, 50.0)], ids=["both", "step tower", "channel tower"])
def test_a_later_item_does_not_change_earlier_states(gate_bias: tuple[float, float] | None) -> None:
    """The gate could hide a tower, so it is also held open for one at a time."""
    embeddings, mask = inputs()
    model = encoder()
    if gate_bias is not None:
        model.gate.layer.weight.zero_()  # type: ignore[union-attr, operator]
        model.gate.layer.bias.copy_(torch.tensor(gate_bias))  # type: ignore[union-attr, operator]
    states = model(embeddings, mask)
    for step in range(LENGTH):
        changed = embeddings.clone()
        changed[:, step] = -changed[:, step]
        others = model(changed, mask)
        torch.testing.assert_close(others[:, :step], states[:, :step], rtol=0, atol=1e-6)
        assert ((others[:, step:] - states[:, step:]).abs().amax(dim=2) > 1e-6)[mask[:, step]].all()


@torch.no_grad()
def test_what_stands_at_padding_does_not_matter_even_where_it_is_no_number() -> None:
    embeddings, mask = inputs()
    model = encoder()
    states = model(embeddings, mask)
    assert states.isfinite().all()
    noisy = torch.where(mask[..., None], embeddings, torch.full_like(embeddings, 1e3))
    assert torch.equal(model(noisy, mask), states)


@torch.no_grad()
def test_the_channel_tower_reads_at_a_step_what_it_reads_when_that_step_is_the_last() -> None:
    embeddings, mask = inputs()
    series = embeddings.masked_fill(~mask[..., None], 0.0)
    tower = encoder().channel_tower
    channels = tower(histories_until(series, LENGTH).flatten(0, 1)).unflatten(0, (USERS, LENGTH))  # type: ignore[operator]
    for step in range(LENGTH):
        ended = torch.cat([torch.zeros(USERS, LENGTH - 1 - step, DIM), series[:, : step + 1]], dim=1)
        published = tower(ended.mT)  # type: ignore[operator]  # the paper's: channels of a zero-padded series
        torch.testing.assert_close(channels[:, step], published, rtol=0, atol=1e-5)


def test_padding_has_no_share_in_the_states_that_are_read() -> None:
    embeddings, mask = inputs()
    mask[1] = False
    embeddings = embeddings.nan_to_num().requires_grad_()
    states = encoder(dropout=0.5).train()(embeddings, mask)
    assert states.isfinite().all()
    states[mask].sum().backward()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()
    assert embeddings.grad[mask].any(dim=1).all()
    assert not embeddings.grad[~mask].any()


@pytest.mark.parametrize(
    ("dim", "length", "settings"),
    [(64, 10, {}), (12, 5, {"num_blocks": 3, "num_heads": 3, "widening": 2, "channel_width": 6})],
)
def test_size_follows_the_formula(dim: int, length: int, settings: dict[str, int]) -> None:
    gtn = GTN(**settings)  # type: ignore[arg-type]

    def tower(num_features: int, width: int) -> int:
        attention = 4 * width * width + 3 * width  # keys have no bias
        feed_forward = 2 * gtn.widening * width * width + gtn.widening * width + width
        return num_features * width + width + gtn.num_blocks * (attention + feed_forward + 4 * width)

    features = dim + dim * gtn.channel_width
    expected = tower(dim, dim) + tower(length, gtn.channel_width) + 2 * features + 2 + features * dim + dim
    model = gtn.build(dim=dim, sequence_length=length)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize("settings", [{"num_blocks": 0}, {"dropout": 1.0}, {"num_heads": "2"}, {"depth": 2}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GTN(**settings)


def test_heads_that_divide_neither_width_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"user_encoder\.num_heads: 3 heads do not divide channel_width=16"):
        GTN(num_heads=3)
    with pytest.raises(SettingsError, match=r"user_encoder\.num_heads: 2 heads do not divide embedding_dim=9"):
        GTN().build(dim=9, sequence_length=4)
