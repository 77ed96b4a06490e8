"""Where training starts and stops as in the published IISAN code, in `experiment=paper`."""

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import nn

from peftrec.settings.composition import compose_settings
from peftrec.testing.small_towers import SMALL_PAIRS
from peftrec.testing.steps import build, small

pytestmark = pytest.mark.integration

PAPER = compose_settings(["experiment=paper", "data.root=somewhere", "towers=bert_vit_base_random", "strategy=iisan"])
IMAGE_STRATEGIES = ("full", "bitfit", "adapter", "lora_published", "frozen", "iisan", "iisan_versa", "lst")


def published_last_epoch(values: list[float]) -> int:
    """`run_eval` of the published run.py: the epoch, counted from one, after which training ends."""
    max_eval_value, early_stop_count = 0.0, 0
    for now_epoch, valid_hit10 in enumerate(values, start=1):
        if valid_hit10 > max_eval_value:
            max_eval_value, early_stop_count = valid_hit10, 0
        else:
            early_stop_count += 1
            if early_stop_count > 10:
                return now_epoch
    return len(values)


def our_last_epoch(values: list[float], patience: int) -> int:
    stopping = EarlyStopping(monitor="val/hr@10", mode="max", patience=patience)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)
    for epoch, value in enumerate(values, start=1):
        trainer.callback_metrics["val/hr@10"] = torch.tensor(value)
        stopping._run_early_stopping_check(trainer)
        if trainer.should_stop:
            return epoch
    return len(values)


@pytest.mark.parametrize("seed", range(8))
def test_the_paper_s_experiment_stops_where_the_published_code_does(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.round(0.05 + 0.02 * np.log1p(np.arange(100)) + random.normal(0, 0.02, 100), 3).clip(0.001).tolist()
    expected = published_last_epoch(values)
    assert expected < 100
    assert our_last_epoch(values, PAPER.evaluation.patience) == expected
    assert our_last_epoch(values, 10) <= expected


def test_the_eleventh_epoch_without_gain_is_the_last() -> None:
    values = [0.1, *[0.1] * 20]
    assert published_last_epoch(values) == our_last_epoch(values, PAPER.evaluation.patience) == 12
    assert our_last_epoch(values, 10) == 11


@pytest.mark.parametrize("strategy", IMAGE_STRATEGIES)
def test_the_image_projection_starts_xavier_normal_where_that_is_asked_for(strategy: str) -> None:
    assert PAPER.image_projection == "xavier_normal"
    pair = SMALL_PAIRS["text_and_image"]
    layers: dict[str, nn.Linear] = {}
    for start in ("uniform", "xavier_normal"):
        words = [f"strategy={strategy}", f"image_projection={start}"]
        layer = build(small(compose_settings(words), pair)).recommender.item_encoder.image_projection()
        assert layer is not None
        layers[start] = layer
    bound = layers["uniform"].in_features ** -0.5
    assert layers["uniform"].weight.abs().max() <= bound
    assert layers["uniform"].bias.any()
    published = layers["xavier_normal"]
    assert not published.bias.any()
    assert published.weight.abs().max() > bound
    deviation = (2 / (published.in_features + published.out_features)) ** 0.5
    assert published.weight.std().item() == pytest.approx(deviation, rel=0.25)


def test_without_images_nothing_is_started_anew() -> None:
    pair = SMALL_PAIRS["text_only"]
    modules = [
        build(small(compose_settings(["strategy=iisan", f"image_projection={start}"]), pair))
        for start in ("uniform", "xavier_normal")
    ]
    states = [module.state_dict() for module in modules]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
