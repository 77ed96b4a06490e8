"""The classifier of the paper: its size, and what it may not depend on."""

import pytest
import torch

from peftrec.models.gtn_shape import TowerShape
from peftrec.series.classifier import GTNClassifier

SMALL = TowerShape(dim=8, num_blocks=1, num_heads=2, head_width=3, hidden=16)


@pytest.mark.parametrize(
    ("shape", "inner", "steps", "channels", "labels"),
    [(TowerShape(), 64, 29, 12, 9), (SMALL, 6, 5, 3, 4)],
)
def test_size_follows_the_formula(shape: TowerShape, inner: int, steps: int, channels: int, labels: int) -> None:
    """Two towers of equal blocks, a gate and an output layer on all of their tokens."""
    dim, hidden = shape.dim, shape.hidden
    attention = 2 * (dim * inner + inner) + dim * inner + inner * dim + dim
    block = attention + 2 * dim * hidden + hidden + dim + 4 * dim
    embeddings = (channels * dim + dim) + (steps * dim + dim)
    features = (steps + channels) * dim
    expected = embeddings + 2 * shape.num_blocks * block + 2 * features + 2 + features * labels + labels
    with torch.device("meta"):
        classifier = GTNClassifier(shape, num_steps=steps, num_channels=channels, num_labels=labels)
    assert sum(parameter.numel() for parameter in classifier.parameters()) == expected


def test_all_parameters_get_a_gradient_and_the_gate_sums_to_one() -> None:
    classifier = GTNClassifier(SMALL, num_steps=5, num_channels=3, num_labels=4)
    classified = classifier(torch.randn(6, 5, 3))
    assert classified.logits.shape == (6, 4)
    torch.testing.assert_close(classified.gate.sum(dim=1), torch.ones(6))
    classified.logits.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in classifier.parameters())


@torch.no_grad()
def test_a_series_does_not_depend_on_the_others() -> None:
    classifier, series = GTNClassifier(SMALL, num_steps=5, num_channels=3, num_labels=4).eval(), torch.randn(6, 5, 3)
    together = classifier(series).logits
    for row in range(6):
        torch.testing.assert_close(classifier(series[row : row + 1]).logits[0], together[row], rtol=0, atol=1e-5)


@torch.no_grad()
def test_steps_and_channels_both_have_their_places() -> None:
    """The towers' outputs are flattened, so that neither order is free."""
    torch.manual_seed(0)
    classifier, series = GTNClassifier(SMALL, num_steps=5, num_channels=3, num_labels=4).eval(), torch.randn(6, 5, 3)
    expected = classifier(series).logits
    assert (classifier(series.flip(1)).logits - expected).abs().max() > 1e-2
    assert (classifier(series.flip(2)).logits - expected).abs().max() > 1e-2
