"""ScaleNorm against its equation, its invariance, its gradient, and its relation to RMSNorm."""

import math
from typing import get_args

import pytest
import torch

from peftrec.models.user_encoders.choices import NormKind
from peftrec.models.user_encoders.norms import ScaleNorm, build_norm

DIM = 6


def vectors(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_scale_norm_is_its_equation() -> None:
    x = vectors(4, 3)
    found = ScaleNorm(1.7).double()(x)
    for place in range(12):
        vector = x.view(12, DIM)[place].tolist()
        length = math.sqrt(sum(value**2 for value in vector))
        assert found.view(12, DIM)[place].tolist() == pytest.approx([1.7 * value / length for value in vector])


def test_scale_norm_of_a_scaled_vector_is_the_same() -> None:
    norm, x = ScaleNorm(2.0).double(), vectors(5)
    for factor in (1e-3, 7.0, 1e8):
        torch.testing.assert_close(norm(factor * x), norm(x), rtol=1e-12, atol=0)
    torch.testing.assert_close(norm(-x), -norm(x), rtol=0, atol=0)


def test_short_vectors_are_not_blown_up() -> None:
    norm = ScaleNorm(2.0).double()
    x = torch.zeros(2, DIM, dtype=torch.float64)
    x[1, 0] = 1e-7
    assert norm(x)[0].tolist() == [0.0] * DIM
    assert norm(x)[1, 0].item() == pytest.approx(2.0 * 1e-7 / 1e-5)
    x.requires_grad_()
    norm(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_rms_norm_with_tied_gains_is_scale_norm() -> None:
    x, gain = vectors(4, 3), 0.7
    rms = build_norm("rms", DIM).double()
    torch.nn.init.constant_(rms.weight, gain)  # type: ignore[arg-type]
    torch.testing.assert_close(rms(x), ScaleNorm(gain * DIM**0.5).double()(x), rtol=1e-5, atol=0)


def test_scale_norm_of_centred_vectors_is_layer_norm() -> None:
    """LayerNorm without gains and shifts is RMSNorm of what is left after the mean is taken away."""
    x = vectors(8)
    centred = x - x.mean(dim=1, keepdim=True)
    torch.testing.assert_close(
        build_norm("scale", DIM).double()(centred), build_norm("layer", DIM).double()(x), rtol=1e-5, atol=1e-9
    )


def test_gradients_are_those_of_finite_differences() -> None:
    norm = ScaleNorm(1.3).double()
    x = vectors(3).requires_grad_()

    def forward(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(norm, {"gain": gain}, (x,))

    assert torch.autograd.gradcheck(forward, (x, norm.gain.detach().requires_grad_()))


def test_the_gradient_stands_at_right_angles_to_the_vector() -> None:
    """Nothing is to be gained along the one direction that the output does not depend on."""
    x = vectors(5).requires_grad_()
    (ScaleNorm(1.3).double()(x) * vectors(5).flip(0)).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close((x.grad * x).sum(dim=1), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kind", "num_parameters"), [("layer", 2 * DIM), ("rms", DIM), ("scale", 1)])
def test_every_kind_starts_with_outputs_of_one_length(kind: NormKind, num_parameters: int) -> None:
    norm = build_norm(kind, DIM)
    assert sum(parameter.numel() for parameter in norm.parameters()) == num_parameters
    lengths = norm(vectors(9, dtype=torch.float32)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((9,), DIM**0.5), rtol=1e-4, atol=0)


def test_all_kinds_are_tested() -> None:
    assert set(get_args(NormKind)) == {"layer", "rms", "scale"}
