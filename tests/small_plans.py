"""Small runs of every strategy, to plan and to measure."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from peftrec.data.batches import SequenceBatch
from peftrec.data.loading import EpochOrder, TrainingBatches
from peftrec.data.split import Split
from peftrec.planning.step import StepPlanner
from peftrec.planning.workloads import read_workload
from peftrec.settings.run import Settings, settings_from_config
from peftrec.training.building.assembly import assemble
from peftrec.training.building.loaders import competition_of
from peftrec.training.building.reading import prepare_data
from peftrec.training.module import RecommenderModule
from small_models import build_strategy, strategy_files
from small_runs import small_config

STRATEGIES = [file.stem for file in strategy_files()]
TWINS = {
    "adapter_parallel": "adapter",
    "adapter_pfeiffer": "adapter",
    "bitfit": "full",
    "dora": "lora",
    "dtl_plus": "dtl",
    "dtl_cached": "lora_cached",
    "frozen": "iisan",
    "ia3": "lora",
    "iisan_low_rank_cached": "iisan_cached",
    "iisan_phm_cached": "iisan_cached",
    "iisan_versa": "iisan",
    "iisan_versa_cached": "iisan_cached",
    "ln_tuning": "full",
    "lokr": "loha",
    "lst_cached": "lst",
    "oft": "boft",
    "peft": "lora",
    "qst": "lst",
    "qst_cached": "lst",
    "res_tuning": "lst",
    "res_tuning_cached": "lst",
    "rslora": "lora",
    "sherl_cached": "lora_cached",
    "unipt_cached": "lora_cached",
    "vqt_cached": "vqt",
}
"""Strategies whose step asks nothing of a planner that another's does not; the quick tests look at the other alone."""


def each_or_slow(names: Iterable[str]) -> list[Any]:
    """Return parameters for a test of every strategy, those that have a twin marked slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in TWINS else name for name in names]


def settings_of(runs_dir: Path, strategy: str = "lora", **changes: Any) -> Settings:
    """Return a small run of the strategy whose yaml has this name, with towers as shallow as it takes, mostly of one
    block, and a user encoder of one.

    `changes` are merged into a part, or are another part whole where they name its class. Further blocks are planned
    like the first: by `test_families.py`, and by every recipe of a user encoder.
    """
    file = next(file for file in strategy_files() if file.stem == strategy)
    config = small_config(runs_dir, user_encoder={"num_blocks": 1})
    for tower in config["towers"].values():
        tower["architecture"]["num_hidden_layers"] = build_strategy(file).fewest_blocks
    for key, value in changes.items():
        is_part = isinstance(value, dict) and "_target_" not in value
        config[key] = {**config[key], **value} if is_part else value
    return settings_from_config({**config, "strategy": yaml.safe_load(file.read_text()), "strategy_name": strategy})


def planner_of(settings: Settings) -> StepPlanner:
    """Return a planner for the run's own data."""
    workload = read_workload(settings)
    return StepPlanner(
        settings,
        num_items=workload.num_items,
        mean_tokens=workload.mean_tokens,
        sequence_length=workload.sequence_length,
    )


def described(module: RecommenderModule) -> list[tuple[object, ...]]:
    """Return what a run says of each parameter."""
    return [
        (role.name, role.parameter.shape, role.parameter.requires_grad, role.origin, role.group)
        for role in module.parameter_roles
    ]


def real_module(settings: Settings) -> tuple[RecommenderModule, Split]:
    """Build the run's module with values, on the CPU and ready to train."""
    split = prepare_data(settings)
    module = assemble(settings, split, torch.device("cpu")).module
    module.set_training_modes()
    return module, split


def first_batch(settings: Settings, module: RecommenderModule, split: Split) -> SequenceBatch:
    """Return the first batch of the first epoch."""
    order = EpochOrder(len(split.windows), batch_size=settings.batch_size, seed=settings.seed)
    batches = TrainingBatches(
        split.windows,
        module.content,
        length=split.sequence_length + 1,
        competition=competition_of(settings, split),
        reads_times=settings.user_encoder.reads_times,
    )
    return batches[next(iter(order))]
