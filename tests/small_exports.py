"""Runs to export, and towers that peft adapted and that moved."""

from pathlib import Path
from typing import Any

import torch
import yaml
from peft import LoraConfig, PeftConfig
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

from peftrec.data.batches import ImageBatch, PatchBatch, TextBatch
from peftrec.models.towers.tower import Tower
from peftrec.serving.tower_folders import TrainedTower
from peftrec.settings.run import settings_from_config
from peftrec.training.run.pipeline import train_run
from small_families import VOCABULARY, Saved, made_up_images
from small_models import NUM_BLOCKS
from small_runs import small_config

SITES = ("query", "value")


def finished_run(runs_dir: Path, strategy_file: Path, *, num_blocks: int = NUM_BLOCKS, **changes: Any) -> Path:
    """Train one epoch of the strategy that a yaml describes; return the run's folder."""
    config = small_config(runs_dir, trainer={"max_epochs": 1}, **changes)
    for tower in config["towers"].values():
        if tower is not None and "architecture" in tower:
            tower["architecture"] |= {"num_hidden_layers": num_blocks}
    config |= {"strategy": yaml.safe_load(strategy_file.read_text()), "strategy_name": strategy_file.stem}
    return train_run(settings_from_config(config)).run_directory


def site_paths(tower: Tower, sites: tuple[str, ...] = SITES) -> list[str]:
    return tower.paths_of(dict.fromkeys(map(tower.site_that_holds, sites)))


def lora(tower: Tower, **changes: Any) -> LoraConfig:
    return LoraConfig(**{"r": 2, "target_modules": site_paths(tower), **changes})


def adapted(tower: Tower, config: PeftConfig, *, seed: int = 0) -> Tower:
    """Inject an adapter and move what trains, as if it had been trained."""
    # What inject_adapter_in_model does, also for methods whose layers share tensors.
    PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](tower.encoder, config, "default")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tower.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return tower.eval()


def trained(saved: Saved, tower: Tower) -> TrainedTower:
    return TrainedTower(name=saved.modality, tower=tower, source=saved.settings(), seed=0)  # type: ignore[arg-type]


def inputs_for(saved: Saved, num_items: int = 6) -> TextBatch | ImageBatch | PatchBatch:
    """Random titles or pixels for a small checkpoint."""
    if saved.modality == "image":
        return made_up_images(saved.checkpoint, num_items)
    generator = torch.Generator().manual_seed(5)
    mask = torch.arange(8) < torch.randint(3, 9, (num_items, 1), generator=generator)
    tokens = torch.randint(4, VOCABULARY, (num_items, 8), generator=generator)
    padding = int(saved.settings().config("text").pad_token_id or 0)
    return TextBatch(token_ids=torch.where(mask, tokens, padding), mask=mask)
