"""The towers of all groups as adapter folders of peft, which `peftrec.serving.adapter_bank` serves on shared towers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from peftrec.errors import SettingsError
from peftrec.files import folder_written_beside
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.divisions import read_result
from peftrec.serving.exporting import NUM_COMPARED, Exporter
from peftrec.training.run.restored_run import restore_run
from peftrec.user_groups.part import Part

FOLDER = "adapters"


def check_adapted(directory: Path, places: Sequence[str] = ()) -> None:
    """Raise SettingsError where the strategy of a run puts no layers of peft into towers."""
    _exporter(directory, places)


def write_adapters(directory: Path, folder: Path, places: Sequence[str] = ()) -> Path:
    """Write `adapters/text/1`, `adapters/text/2`, ... below the folder of a finished division of a run's users, or find
    them there.

    Each is read again and compared, as `peftrec export` does it. What a group has beside its towers, the projections
    above all, stays in its checkpoint.
    """
    target = folder / FOLDER
    if target.exists():
        return target
    exporter = _exporter(directory, places)
    run, part = exporter.run, Part.of(exporter.run, epochs=1)
    towers = {name: tower for name, tower in exporter.trained.items() if exporter.forms[name] == "peft_folder"}
    compared = run.module.content.batch(np.arange(min(NUM_COMPARED, len(run.split.items))))
    with folder_written_beside(target) as beside:
        for number in range(1, len(read_result(folder).groups) + 1):
            part.load(folder / f"group_{number}")
            for name, tower in towers.items():
                tower.write(beside / name / str(number), compared.content(name), merges=False)
    return target


def _exporter(directory: Path, places: Sequence[str]) -> Exporter:
    quieten_libraries()
    exporter = Exporter(run=restore_run(directory, places, has_whole_towers=True), merges=False)
    if "peft_folder" not in exporter.forms.values():
        raise SettingsError(
            f"adapters=true: {exporter.run.record.strategy} puts no layers of peft into towers, so that no adapter "
            "folder can hold a group's part; leave it out: what each group trained is in its checkpoint"
        )
    return exporter
