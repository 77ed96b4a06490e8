"""The card of an export: README.md as model hubs read it, made from the run's record alone."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from peftrec.models.towers.checkpoint_files import Checkpoint
from peftrec.outputs.safe_text import for_markdown, for_markdown_block, for_markdown_code
from peftrec.results.record import Record
from peftrec.serving.tower_folders import ExportedTower
from peftrec.serving.user_encoder_file import USER_ENCODER, ExportedUserEncoder
from peftrec.training.run.restored_run import RestoredRun

CARD = "README.md"
_METRICS = ("hr@10", "ndcg@10", "mrr@10")
_SHOWN_KEYS = ("strategy", "towers", "user_encoder", "embedding_dim", "seed")
_SCRIPT = """\
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import torch

folder = Path(__file__).parent
table = parquet.read_table(folder / "items.parquet")
ids, titles = table["id"].to_pylist(), table["title"].to_pylist()
row_of = {item: row for row, item in enumerate(ids)}
history = sys.argv[1:]
if not history:
    sys.exit(f"usage: python recommend.py ITEM ITEM ..., oldest first, by ids of items.parquet, such as {ids[0]!r}")
if unknown := [item for item in history if item not in row_of]:
    sys.exit(f"items.parquet has no item {', '.join(map(repr, unknown))}; its ids are such as {ids[0]!r}")
embeddings = torch.from_numpy(np.load(folder / "item_embeddings.npy"))  # [item, dim]
user_encoder = torch.export.load(folder / "user_encoder.pt2").module()

rows = torch.tensor([[row_of[item] for item in history]])  # [user, step]
mask = torch.ones_like(rows, dtype=torch.bool)  # false where a shorter history of several is padded, on the left
state = user_encoder(embeddings[rows], mask)[0]  # the user's vector, [dim]
scores = embeddings @ state
scores[rows[0]] = -torch.inf  # without what the history holds
for row in scores.argsort(descending=True)[:10].tolist():
    print(float(scores[row]), repr(ids[row]), repr(titles[row]))
"""
_TIMED = {
    "import sys\n": "import re\nimport sys\n",
    "history = sys.argv[1:]\n": """\
steps = [re.fullmatch(r"(.+)@(-?[0-9]{1,19}[.]?[0-9]*)", word) for word in sys.argv[1:]]  # ITEM@TIME
if not steps or None in steps:
    sys.exit(f"usage: python recommend.py ITEM@TIME ITEM@TIME ..., oldest first, by ids of items.parquet and times of "
             f"the data, such as {ids[0] + '@0'!r}; got {sys.argv[1:]}")
history, when = [step[1] for step in steps], [float(step[2]) for step in steps]
if when != sorted(when):
    sys.exit(f"times fall in {sys.argv[1:]}: give the oldest item first")
""",
    """\
if not history:
    sys.exit(f"usage: python recommend.py ITEM ITEM ..., oldest first, by ids of items.parquet, such as {ids[0]!r}")
""": "",
    "mask = torch": """\
times = torch.tensor([when], dtype=torch.float64).to(torch.TYPE)  # [user, step]
mask = torch""",
    "(embeddings[rows], mask)": "(embeddings[rows], mask, times)",
}
"""What is another in the script for a user encoder that reads times."""


def model_card(
    run: RestoredRun,
    towers: Sequence[ExportedTower],
    user_encoder: ExportedUserEncoder | None,
    weights: Sequence[str],
) -> str:
    """Return the card as Markdown."""
    record = run.record
    sections = [
        _front_matter(towers),
        f"# {for_markdown(record.strategy)} on {type(run.settings.data).__name__}\n\n"
        f"A sequential recommender whose items are encoded from {_contents(towers)}, trained and exported by peftrec "
        f"{for_markdown(record.latest.versions['peftrec'])}, run {for_markdown_code(record.run_id)} of experiment "
        f"{for_markdown_code(record.experiment)}.",
        "## Files\n\n" + "\n".join(_files(towers, user_encoder, weights)),
        *([] if user_encoder is None else [f"## Recommend\n\n{_recommend(user_encoder)}"]),
        "## Quality\n\n" + _quality(record),
        "## Protocol\n\n" + _protocol(run),
        "## Configuration\n\n" + for_markdown_block(_configuration(run), "yaml"),
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
    if bases := [tower.base_name for tower in towers if not tower.is_local and not tower.is_random]:
        entries["base_model"] = bases
    return f"---\n{yaml.safe_dump(entries, sort_keys=True)}---"


def _contents(towers: Sequence[ExportedTower]) -> str:
    return " and ".join(dict.fromkeys(tower.content for tower in towers)) or "their ids"


def _files(
    towers: Sequence[ExportedTower], user_encoder: ExportedUserEncoder | None, weights: Sequence[str]
) -> list[str]:
    says = {
        "recommender.safetensors": "projections, fusion and user encoder, under the names of the run's checkpoint",
        "introduced.safetensors": "what the strategy trained beside the towers or in them; for peftrec alone",
    }
    return [
        *(f"- {_tower(tower)}" for tower in towers),
        *(f"- `{name}`: {says[name]}" for name in weights),
        *([] if user_encoder is None else [_user_encoder(user_encoder)]),
        "- `item_embeddings.npy` [item, dim], float32, and `items.parquet` (id, title): row r belongs to row r; scores "
        "are dot products with a user's state",
    ]


def _tower(tower: ExportedTower) -> str:
    at = f" at revision {for_markdown_code(tower.base_revision)}" if tower.base_revision else ""
    base = for_markdown_code(tower.base_name) + at
    folder, nowhere = f"`{tower.name}/`", f"no {tower.name} folder"
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
    if tower.is_rounded:
        says += "; its weights were rounded to int8 first" + (
            ", and on weights that are not, its vectors differ by what that takes"
            if tower.form == "peft_folder"
            else ", and are float32 here"
            if tower.form == "checkpoint"
            else ""
        )
    return f"{says}. It reads {for_markdown(tower.reads)}"


def _command(tower: ExportedTower) -> str:
    if tower.is_random:
        return ""  # nobody has that base
    name = "PATH" if tower.is_local else tower.base_name
    revision = f", revision={json.dumps(tower.base_revision)}" if tower.base_revision else ""
    base = f"{tower.model_class}.from_pretrained({json.dumps(name)}{revision})"
    command = for_markdown_code(f'PeftModel.from_pretrained({base}, "{tower.name}")')
    where = " with the folder in which that checkpoint lies on your machine as PATH" if tower.is_local else ""
    return f": {command}{where}"


def _user_encoder(encoder: ExportedUserEncoder) -> str:
    times = "" if encoder.times is None else f", times [user, step] in {encoder.times}"
    return (
        f"- `{USER_ENCODER}`: the user encoder, {encoder.num_parameters:,} parameters, written by torch.export of "
        f"torch {for_markdown(torch.__version__)}: embeddings [user, step, {encoder.dim}], mask [user, step]{times} -> "
        f"states [user, {encoder.dim}]. Any number of users and of steps, of which the last {encoder.longest} are "
        f"read; read back, states differ from the run's by {encoder.difference:.1g} of the largest number"
    )


def _recommend(encoder: ExportedUserEncoder) -> str:
    steps, script = "ITEM ITEM", _SCRIPT
    if encoder.times is not None:
        steps = "ITEM@TIME ITEM@TIME"
        for former, timed in _TIMED.items():
            script = script.replace(former, timed)
        script = script.replace("torch.TYPE", encoder.times)
    return (
        f"Saved in this folder as `recommend.py`, this prints the ten best items after a history, oldest first: "
        f"`python recommend.py {steps} ...`. It needs torch, numpy and pyarrow. (`torch.export.load` may unpickle what "
        f"a file holds, so give it no files of strangers; peftrec writes no pickles.)\n\n"
        f"{for_markdown_block(script, 'python')}"
    )


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


def _configuration(run: RestoredRun) -> str:
    """Return the keys that make the model, with local folders and files under their last names."""
    shown = json.loads(json.dumps({key: run.record.config[key] for key in _SHOWN_KEYS if key in run.record.config}))
    for tower in (shown["towers"][name] for name in run.settings.towers.parts):
        for key in ("checkpoint", "tokenizer"):
            if (name := tower.get(key)) is not None:
                tower[key] = Checkpoint(key=key, name=name).name_without_place()
        if "file" in tower:
            tower["file"] = Path(tower["file"]).name
    return yaml.safe_dump(shown, sort_keys=False)
