"""Records with the folders they lie in, and the checks that they may stand in one table."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from peftrec.errors import RecordError, nearest_name
from peftrec.files import folders_below
from peftrec.results.configs import flatten, telling_values, value_at
from peftrec.results.record import ANEW, RECORD_FILE, Evaluation, Record, read_record
from peftrec.results.tower_names import FIRST, TOWERS, towers_of

_DIGITS = 8  # of a hash that tells groups of runs apart
_SHOWN = 16  # runs of a group


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
            raise RecordError(f"{self.folder / RECORD_FILE}: status is success but evaluation is null; {ANEW}")
        return self.record.evaluation


def find_runs(runs: Path, *, with_trials: bool = False, unreadable: list[str] | None = None) -> list[Run]:
    """Read every record below `runs`, sorted by strategy, seed and id; trials of a tuning only where asked for.

    Links are followed, and a run that several ways lead to is one. Raises RecordError where there is none, and where
    one cannot be read, unless there is a list that it is noted in.
    """
    every = []
    for file in record_files(runs):
        try:
            every.append(Run(read_record(file), file.parent))
        except RecordError as error:
            if unreadable is None:
                raise
            unreadable.append(str(error))
    if not every and unreadable:
        raise RecordError("\n".join(unreadable))
    if not every:
        raise RecordError(f"{runs}: no {RECORD_FILE} below this folder; {_instead_of(runs)}")
    found = [run for run in every if with_trials or run.record.kind != "trial"]
    if not found:
        raise RecordError(
            f"{runs}: nothing but trials of a tuning ({len(every)}), whose test set is never scored, so that no table "
            "can hold them; give the command of `peftrec tune` again, which trains the chosen settings, then report "
            "the folder of the experiment"
        )
    return sorted(found, key=lambda run: (run.record.strategy, run.record.seed, run.name))


def _instead_of(missing: Path) -> str:
    """Return what to do about a folder that has no runs: the one beside it that is called nearly so, if it is not there
    itself."""
    beside = [each.name for each in missing.parent.iterdir() if each.is_dir()] if missing.parent.is_dir() else []
    near = None if missing.exists() else nearest_name(missing.name, beside)
    return "train first, or name another folder" if near is None else f"did you mean {missing.parent / near}?"


def record_files(runs: Path) -> list[Path]:
    """Return the records below a folder. Raises RecordError where a folder cannot be listed."""
    if not runs.is_dir():
        return []
    try:
        places = [place for place, entries in folders_below(runs) if any(each.name == RECORD_FILE for each in entries)]
    except OSError as error:
        place = error.filename or runs
        raise RecordError(f"{place}: cannot be listed ({error.strerror}); name another folder") from error
    return sorted(runs / place / RECORD_FILE for place in places)


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
        lines.append(f"  {identity[:_DIGITS]} in {folders}: {_shortlist(members)}")
    identities = {identity[:_DIGITS]: _identity(members[0].record) for identity, members in groups.items()}
    told = _told(identities) or _told({key[:_DIGITS]: _places(members[0].record) for key, members in groups.items()})
    lines.append("keys that differ: " + ("; ".join(told) or "none, so that the files themselves do"))
    folders_of = [{run.folder.parent for run in members} for members in groups.values()]
    if all(len(folders) == 1 for folders in folders_of) and len(set.union(*folders_of)) == len(groups):
        choices = " or ".join(sorted(f"peftrec report {folder}" for folders in folders_of for folder in folders))
        lines.append(f"report each experiment by itself: {choices}")
    else:
        lines.append("move the runs of each comparison into a folder of their own and report that folder")
    raise RecordError("\n".join(lines))


def _shortlist(members: Sequence[Run]) -> str:
    """Name the first runs, and count the others."""
    names = ", ".join(run.name for run in members[:_SHOWN])
    return names if len(members) <= _SHOWN else f"{names} and {len(members) - _SHOWN} more"


def _identity(record: Record) -> dict[str, str]:
    """Return what may have decided the comparison hash: the data, which modalities are read of it, the evaluation."""
    flat = flatten(record.config, record.roles)
    numbers = {} if record.data is None else record.data.model_dump(include={"num_users", "num_candidates"})
    towers = [f"{TOWERS}.{name}" for name in dict.fromkeys((*FIRST, *towers_of(record)))]
    return {
        **{key: value for key, value in flat.items() if key.startswith("data.") or key == "evaluation.mask_history"},
        **{tower: str(value_at(flat, tower)) for tower in towers},
        **{name: f"{number:,}" for name, number in numbers.items()},
    }


def _places(record: Record) -> dict[str, str]:
    """Return where the data lies, which tells runs apart where what the files hold does not."""
    return {key: value for key, value in flatten(record.config).items() if key.startswith("data.")}


def _told(identities: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return one entry a key: `data (SyntheticCatalogue: 92a44a42; IisanFiles: 6593b706)`."""
    by_key: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for identity, values in telling_values(identities).items():
        for key, value in values.items():
            by_key[key][value].append(identity)
    return [
        f"{key} ({'; '.join(value + ': ' + ', '.join(those) for value, those in by_value.items())})"
        for key, by_value in sorted(by_key.items())
    ]


def _check_device(successes: Sequence[Run]) -> None:
    groups: dict[str, list[str]] = defaultdict(list)
    for run in successes:
        groups[run.record.latest.devices].append(run.name)
    if len(groups) > 1:
        listed = "; ".join(f"{device}: {', '.join(names)}" for device, names in groups.items())
        raise RecordError(
            f"the devices differ, and costs of different devices cannot be compared ({listed}); "
            "run all strategies on the same devices, or move the runs of each kind into a folder of their own"
        )
