"""A finished division answers and is evaluated: each user by the weights of the own group.

Who is in none, because nothing of the user trained, or a history is nobody's, is answered by the run's own weights, as
such users were ranked when the division was made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from peftrec.evaluation.metrics import ranking_metrics
from peftrec.progress.quiet import quieten_libraries
from peftrec.results.costs import Metrics
from peftrec.serving.loaded_run import LoadedRun
from peftrec.training.run.restored_ranks import rank_over
from peftrec.training.run.restored_run import RestoredRun, restore_run
from peftrec.training.run.scoring import encoded_candidates
from peftrec.user_groups.clusters import NONE
from peftrec.user_groups.group_split import group_split
from peftrec.user_groups.members import read_members
from peftrec.user_groups.part import Part
from peftrec.user_groups.ranking import rank_by_group


@dataclass(frozen=True, kw_only=True)
class GroupOfRun(LoadedRun):
    """A run with what one of its groups has for itself in the place of its own."""

    group: Path
    """The group's folder."""

    @cached_property
    def restored(self) -> RestoredRun:
        quieten_libraries()
        run = restore_run(self.directory, self.overrides)
        Part.of(run, epochs=1).load(self.group)
        return run


def group_of(folder: Path, user: str | None) -> int | None:
    """Return the number of a user's group, from 1; None where there is none. Raises RecordError where a division does
    not say it."""
    found = NONE if user is None else int(read_members(folder).of((user,))[0])
    return None if found == NONE else found + 1


def run_of_group(run: Path, folder: Path, group: int | None, places: Sequence[str] = ()) -> LoadedRun:
    """Return what answers the users of a group, and those of none."""
    overrides = tuple(places)
    if group is None:
        return LoadedRun(directory=run, overrides=overrides)
    return GroupOfRun(directory=run, overrides=overrides, group=group_folder(folder, group))


def evaluate_division(run: RestoredRun, folder: Path) -> Metrics:
    """Rank all test users again, by what their groups' checkpoints hold. Raises CheckpointError where one cannot be
    read."""
    groups = read_members(folder)
    of_run = rank_over(run, run.split.test, encoded_candidates(run.module))
    part = Part.of(run, epochs=1)
    splits = [group_split(run.split, groups, group) for group in range(len(groups))]
    folders = [group_folder(folder, number) for number in range(1, len(groups) + 1)]
    ranked = rank_by_group(part, groups, splits, folders, of_run).ranks
    return ranking_metrics(ranked.ranks, ranked.is_unreachable)


def group_folder(folder: Path, number: int) -> Path:
    """Return where a division keeps what a group has for itself."""
    return folder / f"group_{number}"
