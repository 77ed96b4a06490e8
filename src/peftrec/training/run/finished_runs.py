"""Runs that are finished already, found without beginning any; of many, what they share is read and hashed once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from peftrec.devices import resolve_device
from peftrec.processes import ProcessRank
from peftrec.results.record import Provenance, Record
from peftrec.settings.run import Settings, settings_to_config
from peftrec.settings.run_identity import cost_differences, digest
from peftrec.training.building.reading import prepare_data
from peftrec.training.precision import with_precision
from peftrec.training.run.earlier_runs import earlier_record, run_folder, taken
from peftrec.training.run.identity import Identity, hashes_of_data, hashes_of_towers, identify, vectors_of_towers


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that need not be trained."""

    folder: Path
    record: Record
    identity: Identity

    def describe(self) -> str:
        """Say where it is, and what its costs do not speak of."""
        return describe_finished(self.folder, self.record, self.identity)


class FinishedRuns:
    """Finds them for the settings of one command. Hashes are kept as long as this object and no longer: files that
    change between two commands are seen."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def find(
        self, settings: Settings, processes: ProcessRank, device: torch.device | None = None
    ) -> FinishedRun | None:
        """Return the run of these settings, None where it is not there or not over. It would train on `device`, which
        need not be here; None is what its settings mean here. Raises what beginning it would: SettingsError, DataError,
        RecordError."""
        if settings.trainer.strategy != "auto":
            from peftrec.training.trainer import check_strategy  # which knows Lightning's, in seconds

            check_strategy(settings.trainer.strategy)
        trainer = with_precision(settings.trainer, device or resolve_device(settings.trainer.accelerator))
        settings = replace(settings, trainer=trainer)
        identity = identify(settings, self._provenance(settings), processes, "train")
        folder = run_folder(settings.experiment_directory, identity, settings.reuse)
        record = earlier_record(folder)
        if record is None or not record.is_over:
            return None
        return FinishedRun(folder=folder, record=taken(record, identity, folder, settings.reuse), identity=identity)

    def _provenance(self, settings: Settings) -> Provenance:
        config, reads_content = settings_to_config(settings), settings.strategy.reads_content
        of_data = [config["data"], config["towers"], settings.user_encoder.reads_times, reads_content]
        of_towers = [config["towers"], settings.seed, reads_content]
        data_hash, content = self._once(of_data, lambda: hashes_of_data(settings, prepare_data(settings)))
        towers = self._once(of_towers, lambda: hashes_of_towers(settings))
        vectors = self._once([*of_towers, "vectors"], lambda: vectors_of_towers(settings))
        return Provenance(data_hash=data_hash, content_hashes=content, tower_revisions=towers, vectors=vectors)

    def _once(self, decided_by: Sequence[Any], compute: Callable[[], Any]) -> Any:
        key = digest(decided_by)
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]


def describe_finished(folder: Path, record: Record, identity: Identity) -> str:
    """Say that a run was finished already, and what its costs do not speak of."""
    differences = cost_differences(identity.config, record.config, identity.roles)
    advice = (
        f"; it was not trained with {', '.join(differences)}: to measure that, set name=NAME" if differences else ""
    )
    return f"finished already: {folder}{advice}"
