"""The same numbers every time: kernels and precision, set once before anything computes."""

import os

import torch


def fix_kernels(*, is_deterministic: bool) -> None:
    """Choose kernels that give the same numbers in training, resuming and evaluation.

    Lightning asks for deterministic ones too, but only when its Trainer is made: after a store was built, and never
    where a finished run is only evaluated.
    """
    # cuBLAS reads it at the first product; one that was made without it cannot be deterministic afterwards.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(is_deterministic)
    # It would fill what `torch.empty` returns with NaN before a kernel writes there: for finding bugs, in every step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    # Ten bits in the convolution of a ViT's patches would set live states apart from stored ones.
    torch.backends.cudnn.allow_tf32 = False
