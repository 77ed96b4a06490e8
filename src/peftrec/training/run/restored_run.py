"""A finished run as it was: its settings, its data and its trained module, from its own record and checkpoint."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from peftrec.data.catalogue import Catalogue
from peftrec.data.items import Items
from peftrec.data.readers.base import FileSource
from peftrec.data.split import Split, split_catalogue
from peftrec.devices import resolve_device
from peftrec.errors import DataError, OwnCodeError, RecordError, SettingsError
from peftrec.results.record import RECORD_FILE, Provenance, Record, read_finished
from peftrec.settings.places import STORES, bases_of, placed
from peftrec.settings.run import Settings, settings_from_config
from peftrec.towers.ready_features import ReadyFeatures
from peftrec.training.building.assembly import assemble
from peftrec.training.building.reading import read_catalogue
from peftrec.training.building.stored_states import store_key
from peftrec.training.checkpoint import load_best
from peftrec.training.determinism import fix_kernels
from peftrec.training.module import RecommenderModule
from peftrec.training.precision import parameter_dtype
from peftrec.training.run.identity import provenance_of


@dataclass(frozen=True, kw_only=True)
class RestoredRun:
    """What a run ended with."""

    directory: Path
    record: Record
    settings: Settings
    catalogue: Catalogue
    """What its data holds, before the split."""
    split: Split
    module: RecommenderModule
    """With the parameters of the chosen epoch, on `device`, in evaluation mode."""
    device: torch.device


def restore_run(run_directory: Path, places: Sequence[str] = (), *, has_whole_towers: bool = False) -> RestoredRun:
    """Build a run's model again and load its chosen checkpoint; `places` say where its data, towers and stores lie now,
    `data.root=DIR`. `has_whole_towers` gives a run whose lower blocks a store stood in for those blocks back.

    Raises RecordError where the record is missing, the run is not finished, or the data is no longer what the run saw,
    CheckpointError where the checkpoint is missing or another configuration's.
    """
    record = read_finished(run_directory)
    settings = _settings_of(record, run_directory, places)
    if has_whole_towers and settings.strategy.stored_form == "tokens":
        settings = replace(settings, strategy=replace(settings.strategy, states="live"))
    fix_kernels(is_deterministic=settings.trainer.is_deterministic)
    catalogue = _read(settings, run_directory)
    split = split_catalogue(catalogue, settings.data)
    device = resolve_device(settings.trainer.accelerator)
    check_unchanged(run_directory, record, settings, split)
    if settings.strategy.states == "store" and not any(word.startswith(f"{STORES}=") for word in places):
        _refuse_foreign_store(settings, split.items, run_directory)
    module = assemble(settings, split, device).module.to(device, parameter_dtype(settings.trainer.precision))
    load_best(module, run_directory)
    return RestoredRun(
        directory=run_directory,
        record=record,
        settings=settings,
        catalogue=catalogue,
        split=split,
        module=module.eval(),
        device=device,
    )


def check_unchanged(run_directory: Path, record: Record, settings: Settings, split: Split) -> None:
    """Raise RecordError where data or towers are no longer what a run saw."""
    if changes := list(_changes(settings, record.provenance, provenance_of(settings, split))):
        raise RecordError(
            f"{run_directory}: not what this run was trained on any more: {'; '.join(changes)}. Put back what it was "
            "trained on, or train again: the same command then starts a new run"
        )


def _settings_of(record: Record, run_directory: Path, places: Sequence[str]) -> Settings:
    config = placed(
        record.config, record.roles, bases_of(run_directory, record.config, record.latest.started_in), places
    )
    try:
        return settings_from_config(config)
    except OwnCodeError as error:
        raise RecordError(f"{run_directory / RECORD_FILE}: {error}") from error
    except SettingsError as error:
        if places:
            raise
        raise RecordError(
            f"{run_directory / RECORD_FILE}: its configuration is none of this version ({error}); take the version "
            f"that trained it (peftrec {record.latest.versions.get('peftrec', 'unknown')}), or train again"
        ) from error


def _read(settings: Settings, run_directory: Path) -> Catalogue:
    try:
        return read_catalogue(settings)
    except DataError as error:
        raise DataError(
            f"{error}; {run_directory} was trained on this data: if it lies elsewhere now, add its place to the "
            "command, data.root=DIR"
        ) from error


def _refuse_foreign_store(settings: Settings, items: Items, run_directory: Path) -> None:
    """Refuse to build a store where a record alone says so: it may be somebody else's, and name any folder."""
    directory, runs = Path(settings.hidden_states.directory), run_directory.resolve().parent.parent
    if directory.resolve().is_relative_to(runs) or (directory / store_key(settings, items).folder_name()).is_dir():
        return
    raise RecordError(
        f"{run_directory}: its store is not there, and would be built in {directory}, outside {runs}, which only "
        f"the record names; if you want that, add {STORES}={directory} to the command"
    )


def _changes(settings: Settings, recorded: Provenance, found: Provenance) -> Iterator[str]:
    """Yield what is no longer what the run saw, in words, with the field of the record that tells."""
    place = f" in {settings.data.root}" if isinstance(settings.data, FileSource) else ""
    if found.data_hash != recorded.data_hash:
        yield f"the users' histories or the list of items{place} (data_hash differs)"
    for name, part in settings.towers.parts.items():
        if found.content_hashes.get(name) != recorded.content_hashes.get(name):
            if isinstance(part, ReadyFeatures):
                content = f"the {name} features in {part.file}"
            else:
                content = f"the {part.content}{place}"
            yield f"{content} (content_hashes.{name} differs)"
        if found.tower_revisions.get(name) != recorded.tower_revisions.get(name):
            yield f"the weights of the {name} tower, {part.origin()} (tower_revisions.{name} differs)"
