"""Whole runs that take a second or two: a small synthetic catalogue, small random towers."""

from pathlib import Path
from typing import Any

from peftrec.settings.run import Settings, settings_from_config
from small_models import SMALL

ADALORA = {"_target_": "peftrec.strategies.peft_library.PeftLibrary", "method": "ADALORA"}
BUDGET = {"init_r": 6, "target_r": 2, "deltaT": 1}
TARGETS: dict[str, dict[str, Any]] = {
    "full": {"_target_": "peftrec.strategies.full.Full"},
    "frozen": {"_target_": "peftrec.strategies.frozen.Frozen"},
    "lora": {"_target_": "peftrec.strategies.lora.LoRA"},
    "lora_top": {"_target_": "peftrec.strategies.lora.LoRA", "blocks": "top_1"},
    "lora_cached": {"_target_": "peftrec.strategies.lora.LoRA", "blocks": "top_1", "states": "store"},
    "iisan": {"_target_": "peftrec.strategies.iisan.IISAN"},
    "iisan_cached": {"_target_": "peftrec.strategies.iisan.IISAN", "states": "store"},
    "iisan_versa": {"_target_": "peftrec.strategies.iisan_versa.IISANVersa"},
    "iisan_versa_cached": {"_target_": "peftrec.strategies.iisan_versa.IISANVersa", "states": "store"},
    # 16 steps: after the tenth, ranks are still taken in the first and settled in the second
    "allocating": {**ADALORA, "arguments": {**BUDGET, "tinit": 2, "tfinal": 2}},
    "allocated": {**ADALORA, "arguments": {**BUDGET, "tinit": 2, "tfinal": 9}},
    "id": {"_target_": "peftrec.strategies.id.IdEmbedding"},
}
TOKENIZER = "package:tiny_towers/bert"


def small_config(runs_dir: Path, strategy: str = "full", /, **changes: Any) -> dict[str, Any]:
    """Return the config of a small run; `changes` replace top-level keys, nested ones are merged."""
    config: dict[str, Any] = {
        "name": "small",
        "strategy_name": strategy,
        "runs_dir": str(runs_dir),
        "seed": 1,
        "embedding_dim": 8,
        "batch_size": 16,
        "data": {
            "_target_": "peftrec.data.synthetic.catalogue.SyntheticCatalogue",
            "num_users": 64,
            "num_items": 100,
            "image_size": 16,
        },
        "towers": {
            "text": {
                "architecture": {"model_type": "bert", "vocab_size": 1000, **SMALL},
                "random_init": True,
                "tokenizer": TOKENIZER,
            },
            "image": {
                "architecture": {"model_type": "vit", "image_size": 16, "patch_size": 8, **SMALL},
                "random_init": True,
            },
        },
        "strategy": TARGETS[strategy],
        "user_encoder": {"_target_": "peftrec.user_encoders.sasrec.SASRec"},
        "objective": {
            "_target_": "peftrec.objectives.debiased_cross_entropy.DebiasedCrossEntropy",
        },
        "learning_rates": {"text": 1e-3, "image": 1e-3, "introduced": 1e-3, "recommender": 1e-3},
        "evaluation": {},
        "trainer": {"accelerator": "cpu", "max_epochs": 4, "has_progress_bar": False},
        "hidden_states": {"directory": str(runs_dir / "hidden_states")},
        "logger": {},
    }
    for key, value in changes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    return config


def small_settings(runs_dir: Path, strategy: str = "full", /, **changes: Any) -> Settings:
    """Return the settings of a small run."""
    return settings_from_config(small_config(runs_dir, strategy, **changes))
