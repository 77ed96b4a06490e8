"""Small runs of every strategy, to plan and to measure."""

from pathlib import Path
from typing import Any

import torch
import yaml

from peftrec.data.batches import SequenceBatch
from peftrec.data.loading import EpochOrder, TrainingBatches
from peftrec.data.split import Split
from peftrec.planning.step import StepPlanner
from peftrec.planning.workloads import read_workload
from peftrec.settings.run import Settings, settings_from_config
from peftrec.training.building.assembly import assemble
from peftrec.training.building.reading import prepare_data
from peftrec.training.module import RecommenderModule
from small_models import strategy_files
from small_runs import small_config

STRATEGIES = [file.stem for file in strategy_files()]


def settings_of(runs_dir: Path, strategy: str = "lora", **changes: Any) -> Settings:
    """Return a small run of the strategy whose yaml has this name, with towers of two blocks."""
    file = next(file for file in strategy_files() if file.stem == strategy)
    config = small_config(runs_dir)
    for tower in config["towers"].values():
        tower["architecture"]["num_hidden_layers"] = 2
    for key, value in changes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    return settings_from_config({**config, "strategy": yaml.safe_load(file.read_text()), "strategy_name": strategy})


def planner_of(settings: Settings) -> StepPlanner:
    """Return a planner for the run's own data."""
    workload = read_workload(settings)
    return StepPlanner(settings, num_items=workload.num_items, sequence_length=workload.sequence_length)


def real_module(settings: Settings) -> tuple[RecommenderModule, Split]:
    """Build the run's module with values, on the CPU and ready to train."""
    split = prepare_data(settings)
    module = assemble(settings, split, torch.device("cpu")).module
    module.set_training_modes()
    return module, split


def first_batch(settings: Settings, module: RecommenderModule, split: Split) -> SequenceBatch:
    """Return the first batch of the first epoch."""
    order = EpochOrder(len(split.windows), batch_size=settings.batch_size, seed=settings.seed)
    batches = TrainingBatches(split.windows, module.content, length=split.sequence_length + 1)
    return batches[next(iter(order))]
