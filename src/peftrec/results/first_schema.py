"""Records of the first schema, brought to the present one, so that tables can still be made of them.

They hold no roles of keys and no code: the keys that decided nothing then are listed here once and for all, and their
modules are none, so that such a run is never taken for one of the present code.
"""

import json
from typing import Any

FIRST = 1
COST_KEYS = (
    "hidden_states.placement",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.negatives",
    "trainer.gradient_checkpointing",
    "trainer.compile",
    "trainer.num_workers",
    "trainer.decoded_image_bytes",
)
PLACE_KEYS = (
    "name",
    "runs_dir",
    "logger",
    "data.root",
    "towers.text.checkpoint",
    "towers.text.file",
    "towers.text.revision",
    "towers.image.checkpoint",
    "towers.image.file",
    "towers.image.revision",
    "hidden_states.directory",
    "hidden_states.batch_size",
    "evaluation.max_score_bytes",
    "trainer.has_progress_bar",
    "trainer.detect_anomaly",
)
_OF_STRETCH = ("versions", "git_commit", "git_dirty", "device", "num_devices", "num_nodes")


def upgraded(content: bytes) -> bytes:
    """Return a record's JSON in the present schema; what is no record of the first one is returned as it is."""
    try:
        record = json.loads(content)
    except ValueError:
        return content
    if not isinstance(record, dict) or record.get("schema_version") != FIRST:
        return content
    provenance = dict(record.get("provenance") or {})
    stretch = {name: provenance.pop(name) for name in _OF_STRETCH if name in provenance}
    process = record.get("process") or {}
    _rename(record.get("evaluation"), "floors", "baselines")
    _rename(record.get("parameters"), "fate", "role")
    record |= {
        "schema_version": FIRST + 1,
        "provenance": provenance,
        "stretches": [
            {"first_epoch": 0, "started_at": process.get("started_at", ""), "modules": {}, "packages": {}, **stretch}
        ],
        "roles": dict.fromkeys(COST_KEYS, "cost") | dict.fromkeys(PLACE_KEYS, "place"),
        "question_hash": record.pop("config_hash", None),
        "code_hash": "",
    }
    return json.dumps(record).encode()


def _rename(part: Any, old: str, new: str) -> None:
    if isinstance(part, dict) and old in part:
        part[new] = part.pop(old)
