"""A finished run as files that others load: towers, user encoder, weights, item embeddings, and a card.

The folder appears by one rename when all of it is written, and towers and user encoder have been read back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from peftrec.data.split import kept_histories
from peftrec.errors import CheckpointError, UserError, shortlist
from peftrec.files import folder_written_beside
from peftrec.models.towers.names import TowerName
from peftrec.results.record import read_finished
from peftrec.serving.catalogue import require_finite
from peftrec.serving.model_card import CARD, model_card
from peftrec.serving.tower_folders import ExportedTower, Form, TrainedTower, described
from peftrec.serving.user_encoder_file import USER_ENCODER, ExportedUserEncoder, write_user_encoder
from peftrec.training.module import RecommenderModule
from peftrec.training.run.restored_run import RestoredRun, restore_run

RECOMMENDER, INTRODUCED = "recommender.safetensors", "introduced.safetensors"
EMBEDDINGS, ITEMS = "item_embeddings.npy", "items.parquet"
DEFAULT_FOLDER = "export"
NUM_COMPARED = 16
"""Items whose vectors are compared after a tower was written."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written, and where."""

    folder: Path
    towers: tuple[ExportedTower, ...]
    user_encoder: ExportedUserEncoder | None
    """None where it was left out."""
    num_weights: dict[str, int]
    """File of weights outside the towers' folders to the numbers in it."""
    num_items: int


def export_run(
    run_directory: Path,
    *,
    to: Path | None = None,
    merges: bool = False,
    has_user_encoder: bool = True,
    overwrites: bool = False,
    places: Sequence[str] = (),
) -> Export:
    """Write a finished run to `to`, or to a folder of its own.

    With `merges`, peft's layers are merged into the weights they stand around. Raises RecordError where the run is not
    finished, CheckpointError where a tower or the user encoder cannot be written so, UserError where something is at
    the place already.
    """
    folder = to or run_directory / DEFAULT_FOLDER
    read_finished(run_directory)
    _check_place(folder, overwrites=overwrites)
    run = restore_run(run_directory, places, has_whole_towers=True)
    exporter = Exporter(run=run, merges=merges, has_user_encoder=has_user_encoder)
    exporter.check()
    try:
        with folder_written_beside(folder) as beside:
            written = exporter.write(beside)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{folder}: cannot be written ({error}); nothing was left there; name another place with to=DIR"
        ) from error
    return replace(written, folder=folder)


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """A restored run on its way out."""

    run: RestoredRun
    merges: bool
    has_user_encoder: bool = True

    @cached_property
    def trained(self) -> dict[TowerName, TrainedTower]:
        """The towers that run in the module; none where it reads a store, or ids."""
        settings = self.run.settings
        sources = settings.towers.encoders
        return {
            name: TrainedTower(name=name, tower=tower, source=source, seed=settings.seed)
            for name, tower in self.run.module.recommender.item_encoder.towers.present().items()
            if (source := sources.get(name)) is not None
        }

    @cached_property
    def forms(self) -> dict[TowerName, Form]:
        """What can be written of each."""
        return {name: tower.form() for name, tower in self.trained.items()}

    def check(self) -> None:
        """Raise CheckpointError where towers are to be merged that cannot be."""
        if not self.merges:
            return
        strategy = self.run.record.strategy
        for name, tower in self.trained.items():
            if self.forms[name] == "introduced":
                own = shortlist(tower.own_modules(tower.tower.encoder))
                raise CheckpointError(
                    f"merge=true: {strategy} put modules of its own ({own}) into the {name} tower, which no "
                    f"checkpoint can express; leave out merge=true, and their weights go to {INTRODUCED}"
                )
        if not set(self.forms.values()) & {"peft_folder", "checkpoint"}:
            raise CheckpointError(
                f"merge=true: {strategy} leaves the towers as they are, so there is nothing to merge; leave it out to "
                "export what was trained beside them"
            )

    def write(self, folder: Path) -> Export:
        """Fill an empty folder."""
        module, items = self.run.module, self.run.split.items
        towers = self._write_towers(folder)
        groups = weights_beside_towers(module, self.forms)
        for name, tensors in groups.items():
            save_file(tensors, folder / name, metadata={"format": "pt"})
        embeddings = item_embeddings(module)
        require_finite(embeddings, items.ids)
        np.save(folder / EMBEDDINGS, embeddings, allow_pickle=False)
        titles = items.titles if items.titles is not None else [None] * len(items)
        pd.DataFrame({"id": items.ids, "title": titles}).to_parquet(folder / ITEMS, index=False)
        user_encoder = self._write_user_encoder(folder, embeddings) if self.has_user_encoder else None
        (folder / CARD).write_text(model_card(self.run, towers, user_encoder, sorted(groups)), encoding="utf-8")
        for file in folder.rglob("*.safetensors"):  # their library lets the owner alone read them
            file.chmod((folder / CARD).stat().st_mode)
        return Export(
            folder=folder,
            towers=towers,
            user_encoder=user_encoder,
            num_weights={name: sum(tensor.numel() for tensor in tensors.values()) for name, tensors in groups.items()},
            num_items=len(items),
        )

    def _write_user_encoder(self, folder: Path, embeddings: np.ndarray) -> ExportedUserEncoder:
        run = self.run
        return write_user_encoder(
            run.module.recommender.user_encoder,
            folder / USER_ENCODER,
            embeddings=embeddings,
            histories=kept_histories(run.catalogue, run.settings.data),
            longest=run.split.sequence_length,
            reads_times=run.settings.user_encoder.reads_times,
        )

    def _write_towers(self, folder: Path) -> tuple[ExportedTower, ...]:
        settings = self.run.settings
        if not settings.strategy.reads_content:
            return ()
        written = []
        for name, source in settings.towers.parts.items():
            form = self.forms.get(name, "untouched")
            if form in ("peft_folder", "checkpoint"):
                compared = self.run.module.content.batch(np.arange(min(NUM_COMPARED, len(self.run.split.items))))
                tower = self.trained[name]
                written.append(tower.write(folder / name, compared.content(name), merges=self.merges))
            else:
                written.append(described(name, source, form))
        return tuple(written)


def weights_beside_towers(module: RecommenderModule, forms: Mapping[TowerName, Form]) -> dict[str, dict[str, Tensor]]:
    """Return, by file, what no tower's folder holds: the recommender's own weights, and what the strategy trained
    beside the towers or, where neither checkpoint nor adapter can express it, inside them. Names are those of the run's
    checkpoint."""
    state = module.recommender.state_dict()
    roles = {role.name: role for role in module.parameter_roles}
    groups: dict[str, dict[str, Tensor]] = {RECOMMENDER: {}, INTRODUCED: {}}
    shared = {name for name, _ in module.recommender.named_parameters(remove_duplicate=False)} - set(roles)
    for name in sorted(set(state) - shared):
        inside = next((tower for tower in forms if name.startswith(f"item_encoder.towers.{tower}.")), None)
        role = roles.get(name)  # a buffer has none
        if inside is not None and (forms[inside] != "introduced" or role is None or role.group is None):
            continue
        is_introduced = inside is not None or (role is not None and role.origin == "introduced")
        tensor = state[name].detach().cpu().contiguous()
        groups[INTRODUCED if is_introduced else RECOMMENDER][name] = tensor
    return {name: tensors for name, tensors in groups.items() if tensors}


@torch.no_grad()
def item_embeddings(module: RecommenderModule) -> np.ndarray:
    """Return every candidate's embedding in float32, [item, dim]."""
    return module.eval().encode_catalogue().float().cpu().numpy()


def _check_place(folder: Path, *, overwrites: bool) -> None:
    """Refuse, before anything is loaded, a place that cannot be written or holds something else."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); name another place with to=DIR") from error
    if not folder.exists():
        return
    if not all((folder / name).is_file() for name in (CARD, RECOMMENDER, EMBEDDINGS)):
        raise UserError(f"{folder}: this is no export, so nothing is written over it; name another place with to=DIR")
    if not overwrites:
        raise UserError(
            f"{folder}: an export is here already; say overwrite=true to replace it, or name another place with to=DIR"
        )
