"""Which keys of a configuration decide a run's result; the others do not enter its name.

Runs that differ in the others alone are one run: the second is found finished. So what may be measured both ways (a
compiled model, another device) needs an experiment of its own, by `name=NAME`, and whoever asks is told.
"""

import json
from typing import Any

from pydantic import JsonValue

_PLACES = (
    "data.root",
    "towers.text.checkpoint",
    "towers.text.file",
    "towers.text.revision",
    "towers.image.checkpoint",
    "towers.image.file",
    "towers.image.revision",
)
"""Where something lies; hashes of what lies there stand in."""
_KEEPING = (
    "name",
    "runs_dir",
    "logger",
    "hidden_states.directory",
    "trainer.has_progress_bar",
    "trainer.detect_anomaly",
)
"""Where and how results are kept and shown."""
_BESIDE_TRAINING = ("hidden_states.batch_size", "evaluation.max_score_bytes")
"""How the same is computed before and after training."""
_EXECUTION = (
    "hidden_states.placement",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.negatives",  # but see `identify`
    "trainer.gradient_checkpointing",
    "trainer.compile",
    "trainer.num_workers",
    "trainer.decoded_image_bytes",
)
"""How the same is trained: what it costs, and not what comes out, but for rounding and, where a model is compiled, the
draws of dropout."""


def decisive_config(config: dict[str, JsonValue]) -> dict[str, Any]:
    """Return the configuration without the keys that do not decide the result."""
    copy: dict[str, Any] = json.loads(json.dumps(config))
    for key in (*_PLACES, *_KEEPING, *_BESIDE_TRAINING, *_EXECUTION):
        *parents, last = key.split(".")
        node: Any = copy
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(last, None)
    return copy


def training_conditions(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a run's costs depend on besides the devices, by its keys."""
    return {key: _at(config, key) for key in _EXECUTION}


def execution_differences(config: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return `key=value` of `config` for what `other` computes in another way."""
    keys = (*_BESIDE_TRAINING, *_EXECUTION)
    return [f"{key}={json.dumps(own)}" for key in keys if (own := _at(config, key)) != _at(other, key)]


def are_one_run(config: dict[str, Any], other: dict[str, Any]) -> bool:
    """Say whether two configurations lead to one run's folder, whatever lies in the places that they name."""
    shared = (*_PLACES, "name", "runs_dir", "trainer.negatives")
    return decisive_config(config) == decisive_config(other) and all(
        _at(config, key) == _at(other, key) for key in shared
    )


def _at(config: dict[str, Any], key: str) -> Any:
    node: Any = config
    for name in key.split("."):
        node = (node or {}).get(name)
    return node
