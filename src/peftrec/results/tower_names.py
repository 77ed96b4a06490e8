"""The towers of runs in words: `text`, `MiniLM-L6`, `tiny BERT + tiny ViT, text + image`.

A row says what tells its towers from those of the others and no more: the towers where these differ, the encoders
where those differ. What a table says of towers comes from records alone.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from pydantic import JsonValue

from peftrec.results.configs import flatten
from peftrec.results.record import Record

TOWERS = "towers"
FIRST = ("text", "image")
SHORT_NAMES = {
    "all-MiniLM-L12-v2": "MiniLM-L12",
    "all-MiniLM-L6-v2": "MiniLM-L6",
    "bert-base-uncased": "BERT-base",
    "clip-vit-base-patch32": "CLIP ViT-B/32",
    "deberta-v3-base": "DeBERTa-v3-base",
    "deit-base-distilled-patch16-224": "DeiT-B/16",
    "dinov2-base": "DINOv2-base",
    "dinov2-small": "DINOv2-small",
    "distilbert-base-uncased": "DistilBERT",
    "roberta-base": "RoBERTa-base",
    "siglip-base-patch16-224": "SigLIP-B/16",
    "tiny_towers/bert": "tiny BERT",
    "tiny_towers/vit": "tiny ViT",
    "vit-base-patch16-224": "ViT-B/16",
}
"""What the field calls a checkpoint, by the end of its name; any other has the last part of its own."""
_HUB_CACHE = re.compile(r"models--.+?--(?P<name>[^/]+)/snapshots/[^/]+")
_DIGITS = 8  # of a hash of weights


def tower_texts(records: Sequence[Record]) -> list[str]:
    """Return for each record what tells its towers from those of the others, and where nothing does, the same text for
    all; "" for a configuration that names none."""
    named = _named_apart([_towers(record) for record in records])
    towers = [" + ".join(each) for each in named]
    by_tower: dict[str, set[str]] = defaultdict(set)
    for each in named:
        for tower, name in each.items():
            by_tower[tower].add(name)
    if all(len(names) <= 1 for names in by_tower.values()):
        return towers
    encoders = [" + ".join(each.values()) for each in named]
    if len(set(towers)) == 1:
        return encoders
    return [f"{encoder}, {tower}" if encoder else "" for encoder, tower in zip(encoders, towers, strict=True)]


def encoder_name(tower: Mapping[str, JsonValue]) -> str:
    """Return what people call an encoder: that of its checkpoint, its architecture, or its file of features."""
    if "file" in tower:
        return f"features {PurePosixPath(str(tower['file'])).stem}"
    checkpoint, architecture = tower.get("checkpoint"), tower.get("architecture")
    if isinstance(checkpoint, str):
        name = _checkpoint_name(checkpoint)
    else:
        name = str(architecture.get("model_type", "encoder")) if isinstance(architecture, dict) else "encoder"
    return f"random {name}" if tower.get("random_init") else name


def _checkpoint_name(checkpoint: str) -> str:
    """Return a hub name, or a folder's, without who published it and where it lies."""
    path = checkpoint.rstrip("/")
    cached = _HUB_CACHE.search(path)
    path = cached["name"] if cached else path
    short = next((short for end, short in SHORT_NAMES.items() if f"/{path}".endswith((f"/{end}", f":{end}"))), None)
    return short or PurePosixPath(path).name or path


def towers_of(record: Record) -> dict[str, Mapping[str, JsonValue]]:
    """Return the towers of a run as its record has them, by name: text, image, then the others."""
    towers = record.config.get(TOWERS)
    towers = towers if isinstance(towers, dict) else {}
    found = {name: tower for name, tower in towers.items() if isinstance(tower, dict)}
    return {name: found[name] for name in (*FIRST, *sorted(set(found) - set(FIRST))) if name in found}


def _towers(record: Record) -> dict[str, tuple[str, dict[str, str], str | None]]:
    """Return by tower an encoder's name, what of its configuration decides the result, and its weights' hash."""
    towers = towers_of(record)
    roles = {
        key.split(".", 2)[2]: role
        for key, role in record.roles.items()
        if key.startswith(tuple(f"{TOWERS}.{name}." for name in towers))
    }
    return {
        name: (encoder_name(tower), flatten(tower, roles), record.provenance.tower_revisions.get(name))
        for name, tower in towers.items()
    }


def _named_apart(runs: Sequence[Mapping[str, tuple[str, dict[str, str], str | None]]]) -> list[dict[str, str]]:
    """Give encoders of one name and other settings the settings that differ, and those of other weights their hash."""
    found: dict[tuple[str, str], list[tuple[dict[str, str], str | None]]] = defaultdict(list)
    for run in runs:
        for tower, (name, config, weights) in run.items():
            found[tower, name].append((config, weights))
    return [
        {
            tower: f"{name}{_apart(config, weights, found[tower, name])}"
            for tower, (name, config, weights) in run.items()
        }
        for run in runs
    ]


def _apart(
    config: Mapping[str, str], weights: str | None, twins: Iterable[tuple[Mapping[str, str], str | None]]
) -> str:
    twins = list(twins)
    keys = sorted({key for other, _ in twins for key in {**config, **other} if other.get(key) != config.get(key)})
    said = [f"{key.rpartition('.')[2]}={config[key]}" for key in keys if key in config and not key.endswith("seed")]
    alike = {other_weights for other, other_weights in twins if other == config and other_weights is not None}
    if len(alike) > 1 and weights is not None and json.loads(config.get("random_init", "false")) is not True:
        said.append(weights[:_DIGITS])  # random weights differ by their seed
    return f" ({', '.join(said)})" if said else ""
