"""Records with the folders they lie in, and the checks that they may stand in one table."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peftrec.errors import RecordError
from peftrec.results.configs import differing, flatten
from peftrec.results.record import RECORD_FILE, Evaluation, Record, read_record


@dataclass(frozen=True)
class Run:
    """One run: its record and its folder."""

    record: Record
    folder: Path

    @property
    def name(self) -> str:
        return self.record.run_id

    @property
    def is_success(self) -> bool:
        return self.record.status == "success"

    @property
    def evaluation(self) -> Evaluation:
        """The test scores, which a successful run has."""
        if self.record.evaluation is None:
            raise RecordError(f"{self.folder / RECORD_FILE}: status is success but evaluation is null; train it again")
        return self.record.evaluation


def find_runs(runs: Path) -> list[Run]:
    """Read every record below `runs`, sorted by strategy, seed and id; RecordError where there is none."""
    found = [Run(read_record(file), file.parent) for file in sorted(runs.rglob(RECORD_FILE))]
    if not found:
        raise RecordError(f"{runs}: no {RECORD_FILE} below this folder; train first, or name another folder")
    return sorted(found, key=lambda run: (run.record.strategy, run.record.seed, run.name))


def check_comparable(successes: Sequence[Run]) -> None:
    """Refuse what no table may mix: data, split, evaluation; devices; two records of one run."""
    by_name: dict[str, list[Run]] = defaultdict(list)
    for run in successes:
        by_name[run.name].append(run)
    for name, twins in by_name.items():
        if len(twins) > 1:
            places = " and ".join(str(run.folder) for run in twins)
            raise RecordError(f"{name}: two records of this run ({places}); remove one folder")
    _check_comparison(successes)
    _check_device(successes)


def _check_comparison(successes: Sequence[Run]) -> None:
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in successes:
        groups[run.record.comparison_hash].append(run)
    if len(groups) <= 1:
        return
    lines = ["these runs differ in data, split or evaluation, so no table may hold them together:"]
    for identity, members in groups.items():
        folders = ", ".join(sorted({str(run.folder.parent) for run in members}))
        lines.append(f"  {identity[:12]} in {folders}: {', '.join(run.name for run in members)}")
    found = differing({identity[:12]: _identity(members[0].record) for identity, members in groups.items()})
    lines.append("keys that differ: " + ("; ".join(found) or "none that the records show"))
    folders_of = [{run.folder.parent for run in members} for members in groups.values()]
    if all(len(folders) == 1 for folders in folders_of) and len(set.union(*folders_of)) == len(groups):
        choices = " or ".join(sorted(f"peftrec report {folder}" for folders in folders_of for folder in folders))
        lines.append(f"report each experiment by itself: {choices}")
    else:
        lines.append("move the runs of each comparison into a folder of their own and report that folder")
    raise RecordError("\n".join(lines))


def _identity(record: Record) -> dict[str, str]:
    """Return what may have decided the comparison hash: configuration and data, without the strategy itself."""
    data = {} if record.data is None else record.data.model_dump(exclude={"counts"})
    return flatten(record.config, with_strategy=False) | flatten(
        {"provenance": {"data_hash": record.provenance.data_hash}, "record": {"data": data}}
    )


def _check_device(successes: Sequence[Run]) -> None:
    groups: dict[str, list[str]] = defaultdict(list)
    for run in successes:
        groups[run.record.provenance.devices].append(run.name)
    if len(groups) > 1:
        listed = "; ".join(f"{device}: {', '.join(names)}" for device, names in groups.items())
        raise RecordError(
            f"provenance.device differs, and costs of different devices cannot be compared ({listed}); "
            "run all strategies on the same devices, or move the runs of each kind into a folder of their own"
        )
