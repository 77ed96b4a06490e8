"""Kernels are chosen before anything computes, the same for training and for a finished run."""

import os

import pytest
import torch

from peftrec.training.determinism import fix_kernels


@pytest.mark.parametrize("is_deterministic", [True, False])
def test_kernels_are_as_asked(monkeypatch: pytest.MonkeyPatch, is_deterministic: bool) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    try:
        fix_kernels(is_deterministic=is_deterministic)
        assert torch.are_deterministic_algorithms_enabled() == is_deterministic
        assert not torch.utils.deterministic.fill_uninitialized_memory
        assert not torch.backends.cudnn.allow_tf32
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(before)


def test_a_chosen_workspace_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.are_deterministic_algorithms_enabled()
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    try:
        fix_kernels(is_deterministic=before)
    finally:
        torch.use_deterministic_algorithms(before)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
