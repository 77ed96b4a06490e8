"""What CUDA would run where a CPU runs something else, for tensors without values; it needs no GPU and no CUDA build.

Attention takes one of the fused kernels, and autocast keeps more operations in float32 than it does on a CPU (torch's
documentation, "CUDA Ops that can autocast to float32").
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

ALLOCATOR_BLOCK = 512
"""Bytes; torch's caching allocator rounds sizes up to multiples of it."""
_BIAS_ALIGNMENT = 16
"""The memory-efficient kernel pads the last axis of its bias to this."""
_REDUCED = (torch.float16, torch.bfloat16)
_EVERYWHERE = (
    *("acos", "asin", "cosh", "cumprod", "cumsum", "erfinv", "exp", "expm1", "log", "log10", "log1p", "log2"),
    *("log_softmax", "norm", "pow", "prod", "reciprocal", "rsqrt", "sinh", "softmax", "sum", "tan"),
)
_FUNCTIONAL = (
    *("cosine_similarity", "cross_entropy", "group_norm", "kl_div", "l1_loss", "layer_norm", "log_softmax"),
    *("mse_loss", "nll_loss", "normalize", "smooth_l1_loss", "softmax", "softmin", "softplus"),
)
_IN_FLOAT32 = frozenset(
    [getattr(space, name) for space in (torch, Tensor) for name in _EVERYWHERE]
    + [getattr(functional, name) for name in _FUNCTIONAL]
    + [torch.layer_norm, Tensor.__pow__, Tensor.__rpow__, Tensor.__rtruediv__]
)


class CudaKernels(TorchFunctionMode):
    """Replaces attention, and under autocast (of `reduced` precision) casts where CUDA does and a CPU does not."""

    def __init__(self, *, reduced: torch.dtype | None) -> None:
        super().__init__()
        self.reduced = reduced

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self._attend(*args, **keywords)
        if self.reduced is not None and func in _IN_FLOAT32:
            args = tuple(_whole(each) for each in args)
            keywords = {name: _whole(each) for name, each in keywords.items()}
        return func(*args, **keywords)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **options: Any,
    ) -> Tensor:
        """Attend by flash attention where its conditions hold (half precision, no mask), else memory-efficiently."""
        dtype = self.reduced or query.dtype
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
        if attn_mask is None and dtype in _REDUCED:
            attend = torch.ops.aten._scaled_dot_product_flash_attention
            return attend(query, key, value, dropout_p, is_causal, **options)[0]
        bias = None if attn_mask is None else _bias(attn_mask, query, key)
        attend = torch.ops.aten._scaled_dot_product_efficient_attention
        needs_statistics = query.requires_grad or key.requires_grad or value.requires_grad
        attended = attend(query, key, value, bias, needs_statistics, dropout_p, is_causal, **options)
        return attended[0]


def _whole(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype in _REDUCED else value


def _bias(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Return the additive mask as the kernel keeps it: in the arithmetic's precision, rows padded, expanded."""
    words = key.shape[-2]
    bias = functional.pad(mask.to(query.dtype), (0, -words % _BIAS_ALIGNMENT))[..., :words]
    return bias.expand(*query.shape[:-1], words)
