"""The card of an export: README.md as model hubs read it, made from the run's record alone."""

import json
from collections.abc import Sequence

import yaml

from peftrec.outputs.safe_text import for_markdown, for_markdown_block, for_markdown_code
from peftrec.results.record import Record
from peftrec.serving.tower_folders import ExportedTower
from peftrec.training.run.restored_run import RestoredRun

CARD = "README.md"
_METRICS = ("hr@10", "ndcg@10", "mrr@10")
_SHOWN_KEYS = ("strategy", "towers", "user_encoder", "embedding_dim", "seed")


def model_card(run: RestoredRun, towers: Sequence[ExportedTower], weights: Sequence[str]) -> str:
    """Return the card as Markdown."""
    record = run.record
    sections = [
        _front_matter(towers),
        f"# {for_markdown(record.strategy)} on {type(run.settings.data).__name__}\n\n"
        f"A sequential recommender whose items are encoded from {_contents(towers)}, trained and exported by peftrec "
        f"{for_markdown(record.latest.versions['peftrec'])}, run {for_markdown_code(record.run_id)} of experiment "
        f"{for_markdown_code(record.experiment)}.",
        "## Files\n\n" + "\n".join(_files(towers, weights)),
        "## Quality\n\n" + _quality(record),
        "## Protocol\n\n" + _protocol(run),
        "## Configuration\n\n" + for_markdown_block(_configuration(record), "yaml"),
        "## Versions\n\n"
        + for_markdown(", ".join(f"{name} {version}" for name, version in record.latest.versions.items()))
        + f"; trained on {for_markdown(record.latest.devices)}.",
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(towers: Sequence[ExportedTower]) -> str:
    entries: dict[str, object] = {"tags": ["peftrec", "sequential-recommendation"]}
    if any(tower.form == "peft_folder" for tower in towers):
        entries["library_name"] = "peft"
    elif any(tower.form == "checkpoint" for tower in towers):
        entries["library_name"] = "transformers"
    if bases := [tower.base_name for tower in towers if tower.base_revision]:  # others are no names of the hub
        entries["base_model"] = bases
    return f"---\n{yaml.safe_dump(entries, sort_keys=True)}---"


def _contents(towers: Sequence[ExportedTower]) -> str:
    return " and ".join("titles" if tower.modality == "text" else "images" for tower in towers) or "their ids"


def _files(towers: Sequence[ExportedTower], weights: Sequence[str]) -> list[str]:
    says = {
        "recommender.safetensors": "projections, fusion and user encoder, under the names of the run's checkpoint",
        "introduced.safetensors": "what the strategy trained beside the towers or in them; for peftrec alone",
    }
    return [
        *(f"- {_tower(tower)}" for tower in towers),
        *(f"- `{name}`: {says[name]}" for name in weights),
        "- `item_embeddings.npy` [item, dim], float32, and `items.parquet` (id, title): row r belongs to row r; scores "
        "are dot products with a user's state",
    ]


def _tower(tower: ExportedTower) -> str:
    at = f" at revision {for_markdown_code(tower.base_revision)}" if tower.base_revision else ""
    base = for_markdown_code(tower.base_name) + at
    folder, nowhere = f"`{tower.modality}/`", f"no {tower.modality} folder"
    match tower.form:
        case "peft_folder":
            says = f"{folder}: a peft adapter of {tower.num_parameters:,} parameters for {base}{_command(tower)}"
        case "checkpoint":
            says = (
                f"{folder}: a whole checkpoint, {tower.model_class} of {tower.num_parameters:,} parameters without its "
                f"heads, made from {base}"
            )
        case "introduced":
            says = f"{nowhere}: {base} with modules of the strategy's own in it"
        case "untouched":
            says = f"{nowhere}: {base}, as it is"
    if tower.difference is not None:
        says += f"; read back, its vectors differ from the run's by {tower.difference:.1g} of the largest number"
    return f"{says}. It reads {tower.reads}"


def _command(tower: ExportedTower) -> str:
    if tower.is_random:
        return ""  # nobody has that base
    revision = f", revision={json.dumps(tower.base_revision)}" if tower.base_revision else ""
    base = f"{tower.model_class}.from_pretrained({json.dumps(tower.base_name)}{revision})"
    command = f'PeftModel.from_pretrained({base}, "{tower.modality}")'
    return f": {for_markdown_code(command)}"


def _quality(record: Record) -> str:
    assert record.evaluation is not None  # a finished run has it
    rows = {record.strategy: record.evaluation.test, **record.evaluation.baselines}
    lines = [f"| | {' | '.join(_METRICS)} |", f"|---|{'---|' * len(_METRICS)}"]
    lines += [
        f"| {for_markdown(name)} | {' | '.join(f'{row[key]:.4f}' for key in _METRICS)} |" for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n\nFractions over the test users; below the run, baselines on the same protocol."


def _protocol(run: RestoredRun) -> str:
    record, data = run.record, run.record.data
    assert data is not None  # as above
    return (
        f"{data.num_users:,} users, {data.num_candidates:,} candidates, {data.num_interactions:,} interactions; data "
        f"hash {for_markdown_code(record.provenance.data_hash[:12])}. Histories are read up to "
        f"{run.split.sequence_length} items. All "
        f"candidates are ranked; ties count against the model; history mask `{run.settings.evaluation.mask_history}`: "
        f"{data.num_unreachable_test:,} test targets are unreachable, {data.num_cold_test:,} are cold. Epoch "
        f"{record.chosen_epoch_from_one} was chosen by validation {run.settings.evaluation.monitor}, and the test set "
        "scored once, from it."
    )


def _configuration(record: Record) -> str:
    shown = {key: record.config[key] for key in _SHOWN_KEYS if key in record.config}
    return yaml.safe_dump(json.loads(json.dumps(shown)), sort_keys=False)
