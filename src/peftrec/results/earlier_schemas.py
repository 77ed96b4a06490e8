"""Records of earlier schemas, brought to the present one, so that tables can still be made of them.

Version 1 holds no roles of keys and no code: the keys that decided nothing then are listed here once and for all, and
its modules are none, so that such a run is never taken for one of the present code.

Versions 1 and 2 count a CPU's memory as the tensors of one step that last: without the forward pass of frozen towers
and without a store in memory. That is another quantity than today's, so `peak_memory_bytes` becomes null there
(`exact_bytes` keeps the count). Their figures of CUDA are what they were.
"""

import json
from typing import Any, Literal

SCHEMA_VERSION: Literal[3] = 3
FIRST, SECOND = 1, 2
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
    """Return a record's JSON in the present schema; what is no record of an earlier one is returned as it is."""
    try:
        record = json.loads(content)
    except ValueError:
        return content
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version not in (FIRST, SECOND):
        return content
    if version == FIRST:
        _to_second(record)
    _to_third(record)
    return json.dumps(record).encode()


def _to_second(record: dict[str, Any]) -> None:
    provenance = dict(record.get("provenance") or {})
    stretch = {name: provenance.pop(name) for name in _OF_STRETCH if name in provenance}
    process = record.get("process") or {}
    _rename(record.get("evaluation"), "floors", "baselines")
    _rename(record.get("parameters"), "fate", "role")
    record |= {
        "schema_version": SECOND,
        "provenance": provenance,
        "stretches": [
            {"first_epoch": 0, "started_at": process.get("started_at", ""), "modules": {}, "packages": {}, **stretch}
        ],
        "roles": dict.fromkeys(COST_KEYS, "cost") | dict.fromkeys(PLACE_KEYS, "place"),
        "question_hash": record.pop("config_hash", None),
        "code_hash": "",
    }


def _to_third(record: dict[str, Any]) -> None:
    record["schema_version"] = SCHEMA_VERSION
    efficiency = record.get("efficiency")
    if not isinstance(efficiency, dict):
        return
    on_cuda = efficiency.get("cuda_max_allocated_bytes")
    efficiency |= {"peak_memory_bytes": on_cuda, "memory_source": None if on_cuda is None else "cuda_allocator"}


def _rename(part: Any, old: str, new: str) -> None:
    if isinstance(part, dict) and old in part:
        part[new] = part.pop(old)


def schema_version(content: bytes) -> int | None:
    """Return the version that a record's JSON says it is of; None where it says none."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        return None
    version = record.get("schema_version") if isinstance(record, dict) else None
    return version if isinstance(version, int) else None
