"""CUDA's kernels and casts by rule. That they are what a device does is checked by the test marked `gpu` in
test_step.py."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from peftrec.planning.cuda import CudaKernels

USERS, HEADS, WORDS, WIDTH = 2, 4, 30, 8


@pytest.fixture(autouse=True)
def _fakes() -> Iterator[None]:
    with FakeTensorMode():
        yield


def attend(reduced: torch.dtype | None, *, masked: bool) -> tuple[Tensor, list[Tensor]]:
    query = torch.empty(USERS, HEADS, WORDS, WIDTH, requires_grad=True)
    mask = torch.empty(USERS, 1, WORDS, WORDS, dtype=torch.bool) if masked else None
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with CudaKernels(reduced=reduced), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        attended = functional.scaled_dot_product_attention(query, query, query, attn_mask=mask, dropout_p=0.1)
    attended.sum().backward()
    assert query.grad is not None
    assert query.grad.shape == query.shape
    return attended, saved


@pytest.mark.parametrize(
    ("reduced", "masked", "kernel"),
    [
        (None, False, "EfficientAttention"),
        (None, True, "EfficientAttention"),
        (torch.bfloat16, True, "EfficientAttention"),
        (torch.bfloat16, False, "FlashAttention"),
        (torch.float16, False, "FlashAttention"),
    ],
)
def test_attention_takes_a_fused_kernel(reduced: torch.dtype | None, masked: bool, kernel: str) -> None:
    attended, saved = attend(reduced, masked=masked)
    assert kernel in str(attended.grad_fn)
    assert attended.dtype == (reduced or torch.float32)
    assert attended.shape == (USERS, HEADS, WORDS, WIDTH)
    assert not [tensor for tensor in saved if tensor.shape[-2:] == (WORDS, WORDS) and tensor.shape[1] == HEADS > 1] or (
        masked
    )


def test_a_mask_is_kept_once_for_all_heads_with_padded_rows() -> None:
    _, saved = attend(torch.bfloat16, masked=True)
    (bias,) = [tensor for tensor in saved if tensor.shape == (USERS, HEADS, WORDS, WORDS)]
    assert bias.untyped_storage().nbytes() == USERS * WORDS * 32 * 2


def test_autocast_keeps_norms_and_losses_in_float32() -> None:
    norm, states = nn.LayerNorm(8), torch.empty(3, 8, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert norm(states).dtype == torch.bfloat16  # what a CPU does
        with CudaKernels(reduced=torch.bfloat16):
            assert norm(states).dtype == torch.float32
            assert functional.softmax(states, dim=-1).dtype == torch.float32
            assert functional.cross_entropy(states, torch.empty(3, dtype=torch.int64)).dtype == torch.float32
            assert states.exp().dtype == states.pow(2).dtype == torch.sum(states).dtype == torch.float32
            assert functional.linear(states, torch.empty(4, 8)).dtype == torch.bfloat16
            assert functional.gelu(states).dtype == states.mean().dtype == torch.bfloat16
            assert torch.empty(3, dtype=torch.int64).sum().dtype == torch.int64


def test_full_precision_casts_nothing() -> None:
    with CudaKernels(reduced=None):
        assert nn.LayerNorm(8)(torch.empty(3, 8)).dtype == torch.float32
