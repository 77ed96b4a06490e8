"""Options, offline guards and shared places of the test suite."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY / ".." / "shared"
"""Real data and outputs of the published code, beside the checkout where they are at hand."""

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-dir",
        default=str(SHARED / "parity"),
        help="folder of safetensors files with outputs of the published code",
    )
