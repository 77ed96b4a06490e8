"""Towers of every family are planned to the byte, whatever they do to masks and positions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from peftrec.data.batches import FeatureBatch, ImageBatch, ItemBatch, PatchBatch, SequenceBatch, TextBatch
from peftrec.data.content import ItemContent
from peftrec.planning.batches import BatchShape
from peftrec.planning.step import StepPlanner
from peftrec.settings.run import Settings
from peftrec.training.building.assembly import build_module
from peftrec.training.building.item_side import load_towers
from peftrec.training.measurement.first_step import probe_step
from peftrec.training.module import RecommenderModule
from small_families import CHECKPOINTS, WIDTH, save_modules
from small_plans import settings_of

pytestmark = pytest.mark.integration

PAIRS = [
    ("bert", "vit"),
    ("roberta", "dinov2"),
    ("distilbert", "deit"),
    ("deberta_v2", None),
    ("deberta_v3", None),
    ("clip_text", "clip_image"),
    ("siglip_text", "siglip_image"),
    ("bert", "dinov3"),
    ("modernbert", None),
    ("embedding_gemma", None),
    ("distilbert", "naflex"),
    ("distilbert", "qwen2_5_vision"),
    ("distilbert", "qwen3_vision"),
]
QUICK_STATES = [("clip_text", "clip_image"), ("deberta_v3", None)]
"""Pairs whose hidden states are planned in the quick tests as well: all families give theirs through the same hooks."""
CASES = [
    *(("full", *pair) for pair in PAIRS[1:]),
    pytest.param("full", *PAIRS[0], marks=pytest.mark.slow),  # the families of the runs in test_step.py
    *(("iisan_versa", *pair) for pair in QUICK_STATES),
    *(pytest.param("iisan_versa", *pair, marks=pytest.mark.slow) for pair in PAIRS if pair not in QUICK_STATES),
]
IMAGE = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
SHAPE = BatchShape(num_users=6, num_items=12, title_tokens={"text": 8})


def real_batch(image: ImageBatch | PatchBatch | None) -> SequenceBatch:
    """Return random titles beside images, or none."""
    random = np.random.default_rng(0)
    words = SHAPE.title_tokens["text"]
    mask = torch.arange(words) < torch.arange(SHAPE.num_items)[:, None] % 6 + 3
    tokens = torch.from_numpy(random.integers(4, 40, (SHAPE.num_items, words))) * mask
    contents: dict[str, Any] = {"text": TextBatch(token_ids=tokens, mask=mask)}
    if image is not None:
        contents["image"] = image
    return SequenceBatch(
        items=ItemBatch(items=torch.arange(SHAPE.num_items), contents=contents),
        sequences=torch.from_numpy(random.integers(0, SHAPE.num_items, (SHAPE.num_users, 11))),
        mask=torch.ones(SHAPE.num_users, 11, dtype=torch.bool),
    )


def real_module(settings: Settings) -> RecommenderModule:
    """Build what the run would train."""
    module = build_module(
        settings,
        load_towers(settings, with_weights=True),
        content=ItemContent(),
        log_popularity=torch.zeros(20),
        sequence_length=10,
        states=None,
    )
    module.set_training_modes()
    return module


def config_of(name: str, tmp_path: Path) -> dict[str, Any]:
    """Save the config of a family's small checkpoint, and what it says of its vectors: all that a plan reads of it."""
    architecture = CHECKPOINTS[name].architecture()
    blocks = next(key for key in ("n_layers", "depth", "num_hidden_layers") if key in architecture)
    kinds = {key: value[:2] for key, value in architecture.items() if key == "layer_types"}
    AutoConfig.for_model(**architecture | {blocks: 2} | kinds).save_pretrained(tmp_path / name)
    if dense := CHECKPOINTS[name].dense:
        save_modules(tmp_path / name, (WIDTH, *dense, WIDTH))
    return {"checkpoint": str(tmp_path / name), "random_init": True}


@pytest.mark.parametrize(("strategy", "text", "image"), CASES)
def test_a_planned_step_is_the_measured_one(strategy: str, text: str, image: str | None, tmp_path: Path) -> None:
    side = 16 if image is None else CHECKPOINTS[image].settings.get("image_size", 16)
    pixels = None if image is None else IMAGE | config_of(image, tmp_path) | {"image_size": side}
    settings = settings_of(tmp_path, strategy, towers={"text": config_of(text, tmp_path), "image": pixels})
    planned = StepPlanner(settings, num_items=20, sequence_length=10).plan(SHAPE)
    module = real_module(settings)
    images = settings.towers.image_encoders.get("image")
    measured = probe_step(module, real_batch(None if images is None else images.transform().blank(SHAPE.num_items)))
    assert planned.exact_bytes.parameters == measured.parameter_bytes
    assert planned.exact_bytes.gradients == measured.gradient_bytes
    assert planned.exact_bytes.saved_for_backward == measured.saved_bytes
    assert planned.operations == measured.operations


def test_ready_features_are_planned_from_their_file(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.zeros((20, 5, 16), dtype=np.float16))
    towers = {"text": {"_target_": "peftrec.towers.ready_features.ReadyFeatures", "file": str(tmp_path / "text.npy")}}
    settings = settings_of(tmp_path, "iisan", towers={**towers, "image": None})
    planned = StepPlanner(settings, num_items=20, sequence_length=10).plan(SHAPE)
    module = real_module(settings)
    batch = real_batch(None)
    states = torch.zeros(SHAPE.num_items, 5, 16, dtype=torch.float16)
    items = ItemBatch(items=batch.items.items, contents={"text": FeatureBatch(states=states)})
    measured = probe_step(module, SequenceBatch(items=items, sequences=batch.sequences, mask=batch.mask))
    assert planned.exact_bytes.saved_for_backward == measured.saved_bytes
    assert planned.operations == measured.operations
