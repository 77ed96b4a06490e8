"""Small towers, batches and strategies that several test files share; seconds, not minutes, on one thread."""

from pathlib import Path
from typing import Any

import yaml

from peftrec.config.folder import config_directory
from peftrec.config.instantiate import build_part
from peftrec.strategies.base import Strategy
from peftrec.testing.small_towers import (
    IMAGE,
    NUM_BLOCKS,
    SIDE,
    SMALL,
    SMALL_PAIRS,
    TEXT,
    VOCABULARY,
    WIDTH,
    item_batch,
    sequence_batch,
)
from peftrec.towers.pair import TowerPair
from peftrec.towers.pretrained import PretrainedImage, PretrainedText

__all__ = [
    "BASE_SHAPE",
    "IMAGE",
    "NUM_BLOCKS",
    "SIDE",
    "SMALL",
    "SMALL_PAIRS",
    "TEXT",
    "VOCABULARY",
    "WIDTH",
    "build_strategy",
    "item_batch",
    "sequence_batch",
    "strategy_files",
]

BASE_SHAPE = TowerPair(
    text=PretrainedText(architecture={"model_type": "bert"}, random_init=True),
    image=PretrainedImage(architecture={"model_type": "vit"}, random_init=True),
)
"""BERT-base and ViT-B/16: transformers' defaults."""


def strategy_files() -> list[Path]:
    """Every strategy there is, found by its yaml."""
    return sorted((config_directory() / "strategy").rglob("*.yaml"))


def build_strategy(file: Path, **changes: Any) -> Strategy:
    """Build the strategy that a yaml describes."""
    node = yaml.safe_load(file.read_text())
    return build_part(Strategy, {**node, **changes})  # type: ignore[type-abstract]
